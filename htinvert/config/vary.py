"""Many structures from one description: every combination of values that its ``vary`` block lists.

.. code-block:: yaml

    use: bicrystal
    top: {phase: ..., zone_axis: [1, 1, 0], up: [0, 0, 1], tilt: 0}
    ...
    vary:
      top.tilt: {from: 0, to: 30, by: 2}        # a range
      termination: [[0, 0], [1, 0]]             # a list
      top.tilt, bottom.tilt: [[4, -4], [5, -5]] # keys that go together
      choice: all                               # every row: common cells, substitutions, vacancies
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert import plugins
from htinvert.config.numbers import with_numbers
from htinvert.config.yaml_file import read_yaml
from htinvert.core import UserError

MOST = 100_000  # combinations; beyond it narrow the ranges
ALL = "all"
Values = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Built:
    """One structure of an enumeration: its number, the values it was built with, or why not."""

    number: int
    values: Values
    atoms: Atoms | None = None
    reason: str = ""


@dataclass(frozen=True)
class Enumeration:
    """What to build: a structure's block and the values of those keys that vary."""

    block: Mapping[str, Any]
    vary: Mapping[str, list[Any]]
    rows: bool
    folder: Path

    @property
    def combinations(self) -> int:
        """How many there are, every row of a table counted once."""
        return int(np.prod([len(values) for values in self.vary.values()], dtype=float))

    def build(self) -> Iterator[Built]:
        """Build them one after the other; what cannot be built comes with its reason."""
        numbers = count(1)
        for chosen in product(*self.vary.values()):
            values: dict[str, Any] = {}
            for keys, value in zip(self.vary, chosen, strict=True):
                values |= _assigned(keys, value)
            for row in count() if self.rows else (None,):
                tried = values if row is None else {**values, "choice": row}
                try:
                    atoms = plugins.build("structure", _block(self.block, tried), self.folder)
                except UserError as error:
                    if row:  # the table has no more rows
                        break
                    yield Built(next(numbers), tried, reason=str(error))
                    break
                yield Built(next(numbers), tried, atoms)

    def build_one(self, values: Values) -> Atoms:
        """The structure with these values; UserError where it cannot be built."""
        atoms: Atoms = plugins.build("structure", _block(self.block, values), self.folder)
        return atoms


def read_enumeration(path: Path, *, leave: Sequence[str] = ()) -> Enumeration:
    """Read a structure's description with its ``vary`` block; ``leave`` names blocks of others.

    Raises :class:`UserError` where that is missing, a value is no list or range, or a key is
    unknown to the description.
    """
    raw = read_yaml(path)
    if wrong := with_numbers([], raw):
        raise UserError("\n".join(f"{path.name}: {problem}" for problem in wrong))
    described = dict(raw.get("structure", raw))
    vary = raw.get("vary") or described.pop("vary", None)
    for name in ("vary", *leave):
        described.pop(name, None)
    if not isinstance(vary, dict) or not vary:
        raise UserError(
            f"{path.name} has no vary; list what changes, such as vary: {{top.tilt: [0, 5, 10]}}"
        )
    rows = vary.pop("choice", None) if vary.get("choice") == ALL else None
    lists = {
        str(keys): _values(values, f"{path.name}: vary.{keys}") for keys, values in vary.items()
    }
    found = Enumeration(described, lists, rows is not None, path.parent)
    if found.combinations > MOST:
        raise UserError(
            f"{path.name} asks for {found.combinations} structures, more than {MOST}; "
            "give fewer values"
        )
    for keys, values in lists.items():
        _block(described, _assigned(keys, values[0]))
    return found


def _values(given: Any, place: str) -> list[Any]:
    """A list as it is, or the numbers of a range with both ends."""
    if isinstance(given, list) and given:
        return given
    if isinstance(given, dict) and set(given) == {"from", "to", "by"}:
        low, high, step = (float(given[key]) for key in ("from", "to", "by"))
        if step > 0 and high >= low:
            steps = int((high - low) / step + 1e-6) + 1
            return [round(low + k * step, 9) for k in range(min(steps, MOST + 1))]
    raise UserError(f"{place} is {given!r}; give a list, or {{from: 0, to: 10, by: 2}}")


def _assigned(keys: str, value: Any) -> dict[str, Any]:
    """Values by key; keys that go together take one value each."""
    names = [name.strip() for name in keys.split(",")]
    if len(names) == 1:
        return {names[0]: value}
    if not isinstance(value, list) or len(value) != len(names):
        raise UserError(f"vary.{keys} needs {len(names)} values at once but has {value!r}")
    return dict(zip(names, value, strict=True))


def _block(block: Mapping[str, Any], values: Values) -> dict[str, Any]:
    """The description with some values replaced, each by its dotted path."""
    made: dict[str, Any] = copy.deepcopy(dict(block))
    for path, value in values.items():
        *parents, last = path.split(".")
        inner: Any = made
        for name in parents:
            inner = inner.get(name) if isinstance(inner, dict) else None
            if not isinstance(inner, dict):
                raise UserError(f"vary.{path} leads nowhere; {name} is no block of the description")
        inner[last] = value
    return made
