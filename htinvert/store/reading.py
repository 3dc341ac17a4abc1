"""Rows from the archive, back as evaluations; only what the log calls whole is read."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Candidate, Evaluation, Relaxation, Score
from htinvert.store.archive import NAME, damage, members, opened
from htinvert.store.columns import FAILED, NAMED, PRESENT, unescaped
from htinvert.store.images import pixels_of, rows_of
from htinvert.store.marks import Archived, Marks, checksum
from htinvert.store.record import STEPS, Geometry, PackedSignal, Row, moved, unpacked
from htinvert.store.trouble import Damaged

PAGE = 4096  # rows that are decoded at once
PICTURES = 64  # the same where all may have an exact image, which is large

_BITS = PRESENT.view("<u8")


def read(folder: Path, *, signals: bool = False) -> Iterator[Row]:
    """All rows that a run's archive holds, in commit order, without its journal.

    Raises:
        Damaged: the archive is not what was written.
    """
    archive = Archive(folder, Marks(folder).state())
    for start in range(0, archive.held, PAGE):
        numbers = range(start, min(start + PAGE, archive.held))
        rows = archive.rows(numbers.start, numbers.stop)
        yield from archive.illustrated(numbers, rows) if signals else rows


class Archive:
    """The archive of a run as its log describes it."""

    def __init__(self, folder: Path, state: Archived, bad: Collection[str] = ()) -> None:
        self.folder = folder
        self._bad = bad  # files, by path in the run's folder, that are not to be trusted
        self.held = state.folded
        self.sealed = state.sealed
        self._state = state
        self._arrays: dict[str, Any] = {}
        self._damage = ""

    @property
    def arrays(self) -> Mapping[str, Any]:
        """Its Zarr arrays by path, once all files are known to be there.

        Raises:
            Damaged: a file is lost, or a description is not what was written.
        """
        if self._damage:
            raise Damaged(self._damage)
        if not self._arrays:
            for name, entry in self._state.files.items():
                described = name.endswith("zarr.json") and not self._state.unfinished
                path = self.folder / name
                if described and (not path.is_file() or checksum(path) != entry):
                    self._damage = f"{path} is not what was written; see htinvert verify"
                    raise Damaged(self._damage)
            with opened(self.folder / NAME, "r") as group:
                self._arrays = members(group)
        return self._arrays

    def column(self, path: str, start: int, stop: int) -> NDArray[Any]:
        """Values of a column from one entry to another.

        Raises:
            Damaged: they are not what was written.
        """
        with damage(self.folder / NAME):
            array = self.arrays[path]
            self._require_files(path, array, start, stop)
            values = np.asarray(array[start:stop])
        if len(values) != stop - start:
            raise Damaged(f"{self.folder / NAME}/{path} is too short; see htinvert verify")
        return values

    def _require_files(self, path: str, array: Any, start: int, stop: int) -> None:
        """Zarr reads a lost file as fill values; columns that came late lack their first files."""
        length = (array.shards or array.chunks)[0]
        rest = "/0" * (array.ndim - 1)
        for number in range(start // length, -(-stop // length)):
            name = f"{NAME}/{path}/c/{number}{rest}"
            held = name in self._state.files
            if name in self._bad or (held and not (self.folder / name).is_file()):
                raise Damaged(f"{self.folder / name} is lost; htinvert verify says what remains")
            if not held and path.split("/")[0] not in NAMED:
                raise Damaged(f"{self.folder / name} is not in the log; see htinvert verify")

    def rows(
        self,
        start: int,
        stop: int,
        *,
        signals: bool = False,
        only: Container[int] | None = None,
    ) -> list[Row]:
        """Rows from start to stop; ``only`` those of these numbers, if any."""
        paths = [p for p in self.arrays if p.split("/")[0] in ("candidates", *NAMED)]
        paths.append("proposed/cell")
        for path in paths:  # before anything is read in vain
            self._require_files(path, self.arrays[path], start, stop)
        page = {path: self.column(path, start, stop) for path in paths}
        kept = self.pixels(start, stop) if signals else {}
        atoms = self._atoms(page)
        return [
            _row({path: values[i] for path, values in page.items()}, atoms, kept.get(start + i, {}))
            for i in range(stop - start)
            if only is None or start + i in only
        ]

    def illustrated(self, numbers: Sequence[int], rows: Sequence[Row]) -> Iterator[Row]:
        """Rows of ascending numbers with their signals, of which a few are in memory at once."""
        for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
            if place % PICTURES == 0:
                kept = self.pixels(number, numbers[place : place + PICTURES][-1] + 1)
            signals, exact = unpacked(kept.get(number, {}))
            yield replace(row, evaluation=replace(row.evaluation, signals=signals, exact=exact))

    def structures(self, rows: Sequence[int], *, proposed: bool) -> list[Atoms]:
        """Structures of some rows, given in ascending order, as proposed, or else as relaxed.

        Where there is no relaxation both are the same.
        """
        found: list[Atoms] = []
        for _, some in groupby(rows, key=lambda row: row // PAGE):
            found += self._page_structures(list(some), proposed=proposed)
        return found

    def _page_structures(self, rows: Sequence[int], *, proposed: bool) -> list[Atoms]:
        """The same for rows that are near one another."""
        start, stop = rows[0], rows[-1] + 1
        cell = "proposed/cell" if proposed else "candidates/cell"
        paths = ("candidates/atom_start", "candidates/natoms", "candidates/pbc", cell)
        first, count, pbc, cells = (self.column(path, start, stop) for path in paths)
        begin, end = int(first[0]), int(first[-1] + count[-1])
        position = "proposed/position" if proposed else "atoms/position"
        paths = ("atoms/number", "atoms/tag", "atoms/motion", position)
        columns = [self.column(path, begin, end) for path in paths]
        if proposed:
            columns[-1] = columns[-1] / STEPS
        found = []
        for i in (row - start for row in rows):
            part = slice(int(first[i]) - begin, int(first[i] + count[i]) - begin)
            arrays = (column[part] for column in columns)
            found.append(Geometry(cells[i], pbc[i], *arrays).atoms())
        return found

    def proposal(self, row: int) -> tuple[Candidate, bytes]:
        """What was proposed and became row ``row``, and its key, from its own columns alone."""
        names = ("index", "key", "operator", "parents", "natoms", "atom_start", "pbc")
        paths = [*(f"candidates/{name}" for name in names), "proposed/cell"]
        index, key, operator, parents, count, first, pbc, cell = (
            self.column(path, row, row + 1)[0] for path in paths
        )
        begin, end = int(first), int(first + count)
        kinds = ("number", "tag", "motion")
        number, tag, motion = (self.column(f"atoms/{kind}", begin, end) for kind in kinds)
        position = self.column("proposed/position", begin, end) / STEPS
        atoms = Geometry(cell, pbc, number, tag, motion, position).atoms()
        named = tuple(int(parent) for parent in parents if parent >= 0)
        return Candidate(int(index), atoms, str(operator), named), key.tobytes()

    def pixels(self, start: int, stop: int) -> dict[int, dict[str, PackedSignal]]:
        """Signals of the rows from start to stop as they are stored."""
        with damage(self.folder / NAME):
            return pixels_of(self.column, self.arrays, start, stop, self._state.entries)

    def pictured(self) -> Iterator[tuple[int, int]]:
        """Spans of rows, first and one after the last, of which 64 have signals."""
        with damage(self.folder / NAME):
            found = rows_of(self.column, self.arrays)
        for start in range(0, len(found), PICTURES):
            some = found[start : start + PICTURES]
            yield int(some[0]), int(some[-1]) + 1

    def _atoms(self, page: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        first = page["candidates/atom_start"]
        begin, end = int(first[0]), int(first[-1] + page["candidates/natoms"][-1])
        names = ("number", "tag", "motion", "position")
        found = {name: self.column(f"atoms/{name}", begin, end) for name in names}
        steps = self.column("proposed/position", begin, end)
        return {**found, "proposed": steps / STEPS, "begin": begin}


def _row(row: Mapping[str, Any], atoms: Mapping[str, Any], kept: Mapping[str, PackedSignal]) -> Row:
    plain = {path.removeprefix("candidates/"): value for path, value in row.items()}
    low = int(plain["atom_start"]) - atoms["begin"]
    part = slice(low, low + int(plain["natoms"]))
    number, tag, motion = (atoms[name][part] for name in ("number", "tag", "motion"))
    position = atoms["proposed"][part]
    proposed = Geometry(row["proposed/cell"], plain["pbc"], number, tag, motion, position).atoms()
    candidate = Candidate(
        int(plain["index"]),
        proposed,
        str(plain["operator"]),
        tuple(int(parent) for parent in plain["parents"] if parent >= 0),
    )
    relaxation = None
    if plain["relaxed"]:
        relaxation = Relaxation(
            moved(proposed, plain["cell"], atoms["position"][part]),
            float(plain["energy"]),
            bool(plain["converged"]),
            int(plain["steps"]),
            None if np.isnan(plain["force"]) else float(plain["force"]),
        )
    signals, exact = unpacked(kept)
    evaluation = Evaluation(
        candidate,
        relaxation=relaxation,
        **_nested(row),
        signals=signals,
        exact=exact,
        error=str(plain["error"]) if plain["status"] == FAILED else None,
        seconds=float(plain["seconds"]),
    )
    return Row(plain["key"].tobytes(), evaluation, int(plain["attempts"]), float(plain["time"]))


@lru_cache(maxsize=1024)  # the same few for every row
def _label(path: str) -> tuple[str, ...]:
    """The names that a path is made of."""
    return tuple(map(unescaped, path.split("/")))


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """The objectives, scores and parameters of an evaluation."""
    found: dict[str, dict[str, Any]] = {name: {} for name in NAMED}
    for path, value in row.items():
        kind, *label = _label(path)
        if kind not in NAMED or not (value == value or value.view("<u8") == _BITS):
            continue
        target = found[kind]
        if len(label) == 2:
            target = target.setdefault(label[0], {})
        target[label[-1]] = float(value)
    details = found.pop("details")
    costs = found["scores"]
    found["scores"] = {name: Score(cost, details.get(name, {})) for name, cost in costs.items()}
    return found
