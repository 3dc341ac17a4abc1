"""Operations of a space group from the names that files give it, by spglib's tables.

A symbol such as ``F d -3 m`` names a group, not yet its operations: these follow from the origin
(``:1`` or ``S``, ``:2`` or ``Z``), the axes (``:H``, ``:R``) and the setting as well. A Hall symbol
names operations. Tables of the 530 settings: Togo, Shinohara & Tanaka, Sci. Technol. Adv. Mater.
Methods 4, 2384822 (2024).
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.geometry.hall import generators

SETTINGS = 530
LARGEST_GROUP = 192
STEPS = 24  # shifts of all operations of all settings are multiples of 1/24
METRIC = 0.01  # of a product of lengths: a cell of rounded lengths and angles still has its shape
CUBIC = 195  # the first number of a cubic group
MONOCLINIC = range(3, 16)
CHOICES = {"s": "1", "z": "2", "o1": "1", "o2": "2", "h": "H", "r": "R", "hr": "H"}
USUAL = ("", "1", "2", "H", "R", "b", "b1", "c", "c1", "a", "a1")
CENTERINGS: dict[str, list[tuple[float, float, float]]] = {
    "A": [(0, 0.5, 0.5)],
    "B": [(0.5, 0, 0.5)],
    "C": [(0.5, 0.5, 0)],
    "I": [(0.5, 0.5, 0.5)],
    "F": [(0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)],
    "R": [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
}
_QUALIFIER = re.compile(
    r"\s*(?::\s*([\w+-]+)|\(?\s*origin\s*(?:choice|at)?\s*([12])\s*\)?|\b(o[12]))\s*$", re.I
)
_TERM = re.compile(r"([+-]?)(\d+(?:\.\d*)?(?:/\d+)?|\.\d+)?\*?([xyz]?)")


@dataclass(frozen=True, eq=False)
class Operations:
    """``fraction -> rotation @ fraction + shift``, and what they are called.

    Attributes:
        rotations: shape (m, 3, 3), in fractions of the cell.
        shifts: shape (m, 3), from 0 to below 1.
        name: for a message.
        number: of the space group, 0 where it is not known.
    """

    rotations: NDArray[np.int64]
    shifts: NDArray[np.float64]
    name: str
    number: int = 0

    def __len__(self) -> int:
        return len(self.rotations)

    def keys(self) -> set[tuple[int, ...]]:
        """The operations as whole numbers, to compare them with others in any order."""
        steps = np.rint(self.shifts * STEPS).astype(np.int64) % STEPS
        rows = np.hstack([self.rotations.reshape(-1, 9), steps])
        return set(map(tuple, rows.tolist()))

    def fit(self, cell: NDArray[np.float64]) -> bool:
        """Whether a cell with these vectors, shape (3, 3) [Å], has the shape that they ask for."""
        metric = cell @ cell.T
        lengths = np.sqrt(np.diag(metric))
        turned = self.rotations.transpose(0, 2, 1) @ metric @ self.rotations
        return bool((np.abs(turned - metric) < METRIC * np.outer(lengths, lengths)).all())


def listed(texts: Iterable[str]) -> Operations:
    """Operations written like ``-x+1/2,y,z``; the identity is added where it is left out.

    Raises :class:`UserError` for one that cannot be read.
    """
    found = [_parsed(text) for text in texts]
    found.insert(0, (np.eye(3, dtype=np.int64), np.zeros(3)))
    rotations = np.array([rotation for rotation, _ in found])
    shifts = np.array([shift for _, shift in found])
    return _unique(rotations, shifts, "the operations that it lists")


def centered(operations: Operations, letter: str) -> Operations:
    """The same with the translations of a centering, ``A`` to ``R``, where they are left out."""
    moves = np.array([(0.0, 0.0, 0.0), *CENTERINGS.get(letter, [])])
    rotations = np.repeat(operations.rotations, len(moves), axis=0)
    shifts = (operations.shifts[:, None] + moves).reshape(-1, 3)
    return _unique(rotations, shifts, f"{operations.name} with the centering {letter}")


def is_group(operations: Operations) -> bool:
    """Whether one operation after another is always one of them."""
    both = Operations(*_products(operations), operations.name)
    return both.keys() <= operations.keys()


def _products(operations: Operations) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rotations and shifts of every operation after every one."""
    r, s = operations.rotations, operations.shifts
    rotations = np.einsum("aij,bjk->abik", r, r).reshape(-1, 3, 3)
    shifts = (np.einsum("aij,bj->abi", r, s) + s[:, None]).reshape(-1, 3)
    return rotations, shifts


def number_of(operations: Operations, cell: NDArray[np.float64] | None = None) -> int:
    """Number of the space group that operations make, 0 where they make none."""
    try:
        found = _spglib(
            "get_spacegroup_type_from_symmetry", operations.rotations, operations.shifts, cell
        )
    except Exception:  # its own error types are new and still moving
        return 0
    return int(found.number) if found is not None else 0


def by_number(number: int) -> list[Operations]:
    """All usual settings of a group: origins, axes, unique axes. Raises for no number of one."""
    if not 1 <= number <= 230:
        raise UserError(f"there is no space group {number}; numbers go from 1 to 230")
    return [_setting(entry.hall) for entry in _entries() if entry.usual and entry.number == number]


def by_symbol(symbol: str, *, code: str = "") -> list[Operations]:
    """The settings that a Hermann-Mauguin symbol leaves open, by its qualifier or ``code``.

    ``code`` is CIF's coordinate system code, such as ``2`` or ``b1``. Raises :class:`UserError` for
    a symbol or a qualifier that is not known.
    """
    bare, choice = _split(symbol)
    choice = choice or code
    names = _names()
    found = names.get(_plain(bare), [])
    if not found and (last := _plain(bare)[-1:]) in tuple("szhr"):
        found, choice = names.get(_plain(bare)[:-1], []), choice or last
    if not found:
        raise UserError(
            f"space group {symbol} is not known; write a symbol of the International Tables, such "
            "as F d -3 m :2, or list the symmetry operations"
        )
    wanted = CHOICES.get(choice.lower(), choice.lower()).removesuffix("abc")
    chosen = [entry for entry in found if not wanted or _is_choice(entry.choice, wanted)]
    if not chosen:
        known = sorted({f":{entry.choice}" for entry in found if entry.choice})
        raise UserError(
            f"space group {symbol} has no setting {choice}; "
            + (f"choose one of {', '.join(known)}" if known else "leave it out")
        )
    return [_setting(entry.hall) for entry in chosen]


def by_hall(symbol: str) -> Operations | None:
    """Operations of a Hall symbol, with a change of basis if it has one; None where it is none."""
    whole = symbol.strip().strip("'")
    if (hall := _halls().get(_plain_hall(whole))) is not None:
        return _setting(hall)
    bare, _, change = whole.partition("(")
    found = _setting(_halls()[_plain_hall(bare)]) if _plain_hall(bare) in _halls() else None
    found = found or _generated(bare)
    if found is None or not change:
        return found
    return _changed(found, change.rstrip(") "), symbol)


def _generated(symbol: str) -> Operations | None:
    """The group of a Hall symbol that is in no table; its number is spglib's."""
    made = generators(symbol.replace("_", " "))
    if made is None:
        return None
    letter, first = made
    rotations = np.array([np.eye(3, dtype=np.int64), *(rotation for rotation, _ in first)])
    shifts = np.array([np.zeros(3), *(shift for _, shift in first)])
    name = f"Hall symbol {symbol.strip()}"
    found = _closed(replace(centered(_unique(rotations, shifts, name), letter), name=name))
    return replace(found, number=number_of(found)) if found is not None else None


def _closed(found: Operations) -> Operations | None:
    """The group that operations generate, None where it is none of a crystal."""
    while not is_group(found):
        if len(found) > LARGEST_GROUP:
            return None
        found = _unique(*_products(found), found.name)
    return found


def _changed(found: Operations, change: str, symbol: str) -> Operations | None:
    """The operations in other axes: ``(x-y,y,z)``, or ``(0 0 1)`` in twelfths of the cell."""
    rotation: NDArray[np.float64] = np.eye(3)
    numbers = change.split()
    try:
        if len(numbers) == 3 and "," not in change:
            shift = np.array([float(number) for number in numbers]) / 12.0
        else:
            rotation, shift = _row_by_row(change)
    except (ValueError, UserError):
        return None
    if abs(np.linalg.det(rotation)) < 1e-6:
        return None
    inverse = np.linalg.inv(rotation)
    turned = rotation @ found.rotations @ inverse
    moved = found.shifts @ rotation.T + shift - turned @ shift
    if np.abs(turned - np.rint(turned)).max() > 1e-6:
        return None
    lattice = np.tile(np.eye(3, dtype=np.int64), (3, 1, 1))  # a larger cell repeats the old one
    rotations = np.concatenate([np.rint(turned).astype(np.int64), lattice])
    made = _closed(_unique(rotations, np.concatenate([moved, rotation.T]), symbol))
    return replace(made, number=found.number) if made is not None else None


# ---------------------------------------------------------------- operations in words


def _parsed(text: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rotation, shift = _row_by_row(text)
    if (
        np.abs(rotation - np.rint(rotation)).max() > 1e-6
        or abs(abs(np.linalg.det(rotation)) - 1.0) > 1e-6
    ):
        raise UserError(f"symmetry operation {text} maps no lattice onto itself; check it")
    return np.rint(rotation).astype(np.int64), shift


def _row_by_row(text: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (3, 3) and shift (3,) of ``x-y,1/2+x,z``; shifts become whole 24ths."""
    rows = re.sub(r"[\s'\"]", "", text.lower().replace("\u2212", "-")).split(",")
    rotation, shift = np.zeros((3, 3)), np.zeros(3)
    if len(rows) != 3 or not all(rows):
        raise UserError(f"symmetry operation {text} is not understood; write it like -x+1/2,y,z")
    for row, words in enumerate(rows):
        if "".join(match[0] for match in _TERM.finditer(words)) != words:
            raise UserError(
                f"symmetry operation {text} is not understood; write it like -x+1/2,y,z"
            )
        for match in _TERM.finditer(words):
            if not match[0]:
                continue
            sign, size, axis = -1.0 if match[1] == "-" else 1.0, match[2], match[3]
            value = sign * (float(Fraction(size)) if size else 1.0)
            if axis:
                rotation[row, "xyz".index(axis)] += value
            else:
                shift[row] += value
    steps = np.rint(shift * STEPS)
    near = np.abs(shift * STEPS - steps) < 0.2  # .33 is a third
    return rotation, np.where(near, steps / STEPS, shift)


def _unique(rotations: NDArray[np.int64], shifts: NDArray[np.float64], name: str) -> Operations:
    """Operations without repetitions."""
    steps = np.rint(shifts * STEPS).astype(np.int64) % STEPS
    rows = np.hstack([rotations.reshape(-1, 9), steps])
    first = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    return Operations(rotations[first], shifts[first] % 1.0, name)


# ---------------------------------------------------------------- names


@dataclass(frozen=True)
class _Entry:
    """One of spglib's settings; ``names`` are compact Hermann-Mauguin symbols."""

    hall: int
    number: int
    choice: str
    names: frozenset[str]
    symbol: str

    @property
    def usual(self) -> bool:
        return self.choice in USUAL


@lru_cache(maxsize=1)
def _entries() -> tuple[_Entry, ...]:
    found = []
    for hall in range(1, SETTINGS + 1):
        kind = _spglib("get_spacegroup_type", hall)
        parts = str(kind.international).split("=")
        if kind.number in MONOCLINIC:
            full = str(kind.international_full)
            names = {full, " ".join(word for word in full.split() if word != "1")}
        else:
            names = {*parts, str(kind.international_full), str(kind.international_short)}
        names = {_plain(name) for name in names}
        names |= {old for name in names for old in _old(name, kind.number)}
        symbol = " ".join(parts[-1].replace("_", "").split())
        symbol += f" :{kind.choice}" if kind.choice else ""
        found.append(_Entry(hall, kind.number, kind.choice, frozenset(names), symbol))
    return tuple(found)


def _old(name: str, number: int) -> list[str]:
    """Older spellings: Fd3m, and Cmca or Cmcb for Cmce."""
    made = [name.replace("-3", "3")] if number >= CUBIC else []
    glides = {"a": "bc", "b": "ac", "c": "ab"}.get(name[0], "")
    return made + [name.replace("e", letter) for letter in glides if "e" in name]


@lru_cache(maxsize=1)
def _names() -> dict[str, list[_Entry]]:
    """Settings by compact symbol; what is usual for a symbol of several groups' hides the rest."""
    table: dict[str, list[_Entry]] = defaultdict(list)
    for entry in _entries():
        for name in entry.names:
            table[name].append(entry)
    return dict(table)


@lru_cache(maxsize=1)
def _halls() -> dict[str, int]:
    kinds = {hall: _spglib("get_spacegroup_type", hall) for hall in range(1, SETTINGS + 1)}
    return {_plain_hall(str(kind.hall_symbol)): hall for hall, kind in kinds.items()}


@lru_cache(maxsize=64)
def _setting(hall: int) -> Operations:
    found = _spglib("get_symmetry_from_database", hall)
    entry = _entries()[hall - 1]
    rotations = np.asarray(found["rotations"], dtype=np.int64)
    shifts = np.asarray(found["translations"], dtype=float)
    return Operations(rotations, shifts % 1.0, entry.symbol, entry.number)


def _spglib(name: str, *given: Any) -> Any:
    """Call a function of spglib, loaded here for the start of the program does not need it."""
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # versions 2 and 3 fail differently
        return getattr(spglib, name)(*given)


def _plain(symbol: str) -> str:
    """A Hermann-Mauguin symbol without spaces and marks of subscripts."""
    return re.sub(r"<[^>]*>|[\s_~()'\"^{}$\\]", "", symbol).lower()


def _plain_hall(symbol: str) -> str:
    return " ".join(symbol.replace("_", " ").lower().split())


def _split(symbol: str) -> tuple[str, str]:
    """A symbol and its qualifier, as in ``F d -3 m :2`` or ``F d -3 m (origin choice 2)``."""
    match = _QUALIFIER.search(symbol)
    if match is None:
        return symbol, ""
    return symbol[: match.start()], next(part for part in match.groups() if part)


def _is_choice(choice: str, wanted: str) -> bool:
    """Whether a setting of spglib, such as ``2cab`` or ``-b1``, is what a qualifier asks for."""
    if wanted in ("1", "2"):
        return choice[:1] == wanted
    if wanted in ("a", "b", "c"):
        return choice.lstrip("-")[:1] == wanted and choice not in ("cab", "bca", "ba-c", "a-cb")
    return choice.lower() == wanted.lower()


def preferred(options: Sequence[Operations]) -> list[Operations]:
    """Of settings that differ in the unique axis alone, those of b, else c, else a."""
    by_hall_name = {entry.symbol: entry for entry in _entries()}
    axes = defaultdict(list)
    for option in options:
        entry = by_hall_name.get(option.name)
        axis = entry.choice.lstrip("-")[:1] if entry and entry.number in MONOCLINIC else ""
        axes[axis].append(option)
    return next((axes[axis] for axis in ("b", "c", "a") if axes.get(axis)), list(options))
