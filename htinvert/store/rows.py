"""Committed rows wherever they are: sealed ones in the archive, the rest in the journal."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Signal, UserError
from htinvert.store.columns import NAMED, OK, numbers_only, unescaped
from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.reading import PAGE, Archive
from htinvert.store.record import Row
from htinvert.store.trouble import Damaged

if TYPE_CHECKING:
    import pandas as pd

APART = 400  # rows: to begin to read anew costs as much as to read over so many
TABLE = (
    "index", "operator", "status", "energy", "converged", "steps", "force", "seconds", "attempts",
    "time", "error", "natoms",
)  # fmt: skip


@dataclass(frozen=True)
class Ancestor:
    """A candidate, what proposed it out of which parents, and how many generations back it is."""

    index: int
    operator: str
    parents: tuple[int, ...]
    generation: int


class Rows:
    """All rows of a run, as of each call; others may add to them meanwhile."""

    def __init__(self, folder: Path, journal: Journal, marks: Marks) -> None:
        self._folder = folder
        self._journal = journal
        self._marks = marks
        self._archive: Archive | None = None

    def between(
        self,
        start: int,
        stop: int | None = None,
        *,
        signals: bool = False,
        only: Container[int] | None = None,
    ) -> Iterator[Row]:
        """Rows from start to stop, in commit order; ``only`` those of these numbers, if any."""
        end = self._journal.committed() if stop is None else stop
        while start < end:
            sealed = min(self._sealed(), end)
            if start < sealed:
                upto = min(start + PAGE, sealed)
                rows = self._archived().rows(start, upto, only=only)
                numbers = [n for n in range(start, upto) if only is None or n in only]
                yield from self._archived().illustrated(numbers, rows) if signals else rows
                start = upto
                continue
            page = self._journal.page(start, end)
            if not page or page[0].number != start:
                if self._sealed() > start:
                    continue  # it was sealed and dropped meanwhile
                raise Damaged(
                    f"result {start} is neither in journal.sqlite nor in results.zarr; "
                    f"htinvert verify {quote(str(self._folder))} says what remains"
                )
            for row in (row for row in page if only is None or row.number in only):
                kept = self._journal.pixels(row.number) if signals else {}
                yield row.row(kept)
            start = page[-1].number + 1

    def some(self, numbers: Collection[int], *, signals: bool = False) -> Iterator[Row]:
        """Rows of these numbers, in commit order."""
        wanted = sorted(set(numbers))
        parts = np.cumsum(np.diff(wanted, prepend=wanted[:1]) > APART).tolist()
        for _, part in groupby(zip(parts, wanted, strict=True), key=lambda pair: pair[0]):
            near = [number for _, number in part]
            yield from self.between(near[0], near[-1] + 1, signals=signals, only=set(near))

    def one(self, number: int, *, signals: bool = True) -> Row:
        """One row."""
        if number < self._sealed():
            return self._archived().rows(number, number + 1, signals=signals)[0]
        page = self._journal.page(number, number + 1)
        if not page or page[0].number != number:
            run = quote(str(self._folder))
            raise Damaged(f"result {number} is lost; see htinvert verify {run}")
        found = page[0]
        return found.row(self._journal.pixels(number) if signals else {})

    def structures(self, numbers: Sequence[int], *, proposed: bool) -> list[Atoms]:
        """Structures of some rows, in any order, as proposed, or else as relaxed."""
        sealed, found = self._sealed(), {}
        held = sorted({number for number in numbers if number < sealed})
        if held:
            read = self._archived().structures(held, proposed=proposed)
            found = dict(zip(held, read, strict=True))
        rest = sorted(set(numbers) - set(held))
        for _, run in groupby(enumerate(rest), key=lambda pair: pair[1] - pair[0]):
            some = [number for _, number in run]  # one after the other
            evaluations = (row.evaluation for row in self.between(some[0], some[-1] + 1))
            for number, evaluation in zip(some, evaluations, strict=True):
                found[number] = evaluation.candidate.atoms if proposed else evaluation.atoms
        return [found[number] for number in numbers]

    def signals(self, number: int) -> Mapping[str, Signal]:
        """Signals kept of one row, by channel."""
        if number < self._sealed():
            found = self._archived().pixels(number, number + 1).get(number, {})
        else:
            found = self._journal.pixels(number)
        return {channel: pixels.signal() for channel, pixels in found.items()}

    def columns(self, paths: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Columns by path, of one number or word per row; without paths all of them."""
        sealed, end = self._sealed(), self._journal.committed()
        state, marked = self._marks.state(), len(self._marks.events)
        if state.folded > sealed and not state.unfinished:  # a copy of more, as columns
            with suppress(Damaged, OSError):
                found = self._columns(paths, state.folded, end)
                self._marks.read()
                if len(self._marks.events) == marked:  # nobody has begun to write it anew
                    return found
        return self._columns(paths, sealed, end)

    def _columns(
        self, paths: Sequence[str] | None, sealed: int, end: int
    ) -> dict[str, NDArray[Any]]:
        """The first ``sealed`` rows from the archive, the others from the journal."""
        tail = self._tail(sealed, end)
        held = self._archived().arrays if sealed else {}
        names = paths or [f"candidates/{name}" for name in TABLE] + sorted(
            path for path in {*tail, *held} if path.split("/")[0] in NAMED
        )
        found = {}
        for path in names:
            parts = []
            if sealed:
                parts.append(
                    self._archived().column(path, 0, sealed)
                    if path in held
                    else np.full(sealed, np.nan)
                )
            if tail or not sealed:
                parts.append(tail.get(path, np.full(end - sealed, np.nan)))
            found[path] = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return found

    def _tail(self, start: int, end: int) -> dict[str, NDArray[Any]]:
        pages = []
        while start < end and (page := self._journal.page(start, end)):
            if page[0].number != start:
                raise UserError("the run has gone on meanwhile; read it again")
            pages.append(page)
            start = page[-1].number + 1
        return numbers_only(pages) if pages else {}

    def _sealed(self) -> int:
        self._marks.read()
        return self._marks.state().sealed

    def _archived(self) -> Archive:
        state = self._marks.state()
        known = self._archive and (self._archive.sealed, self._archive.held)
        if self._archive is None or known != (state.sealed, state.folded):
            self._archive = Archive(self._folder, state)
        return self._archive


def table(rows: Rows) -> pd.DataFrame:
    """Numbers of all rows, one column each; ``attrs`` says units and meanings."""
    import pandas as pd

    from htinvert.store.columns import explained

    found, units, meanings = {}, {}, {}
    for path, values in rows.columns().items():
        kind, *label = map(unescaped, path.split("/"))
        name = label[0] if kind == "candidates" else ".".join([kind, *label])
        if name == "status":
            found["ok"] = values == OK
            units["ok"], meanings["ok"] = "1", "whether it was evaluated to the end"
            continue
        found[name] = values
        text = explained(path)
        units[name], meanings[name] = text["unit"], text["description"]
    made = pd.DataFrame(found)
    made.attrs = {"units": units, "descriptions": meanings}
    return made


def lineage(rows: Rows, index: int) -> list[Ancestor]:
    """A candidate and all its ancestors, the nearest first.

    Raises:
        UserError: it has no result.
    """
    paths = ["candidates/index", "candidates/operator", "candidates/parents"]
    indices, operators, parents = rows.columns(paths).values()
    place = {int(number): row for row, number in enumerate(indices)}
    if index not in place:
        raise UserError(f"candidate {index} has no result; name one that has")
    found: dict[int, Ancestor] = {}
    waiting = [(index, 0)]
    while waiting:
        number, generation = waiting.pop(0)
        if number in found or number not in place:
            continue
        row = place[number]
        named = tuple(int(parent) for parent in parents[row] if parent >= 0)
        found[number] = Ancestor(number, str(operators[row]), named, generation)
        waiting += [(parent, generation + 1) for parent in named]
    return list(found.values())
