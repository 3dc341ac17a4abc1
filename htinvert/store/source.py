"""What can still be read of a damaged run, from its journal and its archive."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from htinvert.core import Candidate, UserError
from htinvert.store import archive
from htinvert.store.agreement import behind
from htinvert.store.journal import Journal
from htinvert.store.lock import has_locks
from htinvert.store.marks import Archived, Marks, checksum
from htinvert.store.reading import Archive
from htinvert.store.record import Row
from htinvert.store.trouble import Damaged
from htinvert.store.verify import LACKS, Findings

CHUNK = 1024
UNREADABLE = (
    Damaged, sqlite3.Error, ValueError, TypeError, OverflowError, LookupError, StopIteration,
)  # fmt: skip
_PROPOSALS = (
    "SELECT k.idx, k.key, p.operator, p.parents, p.crc, p.structure FROM keys k"
    " JOIN proposals p ON p.idx = k.idx WHERE k.seq"
)
_ONE, _PENDING = f"{_PROPOSALS} = ?", f"{_PROPOSALS} IS NULL ORDER BY k.idx"

Observer = Callable[[int, int], None]
"""Told of rows done and rows in all."""


class Rowed(Protocol):
    """What a new run can be written from."""

    folder: Path
    recipe: dict[str, Any]
    words: dict[str, Any]

    def rows(self, observer: Observer) -> Iterator[Row]:
        """Its rows, in commit order."""
        ...

    def pending(self) -> list[tuple[Candidate, bytes]]:
        """Proposals without a result, with their keys."""
        ...


class Remains:
    """Everything that can still be read of a run, or what one half of it holds.

    ``lost`` counts results that cannot be read; ``unknown`` says whether there may have been others
    of which nothing tells. ``known`` says whether there is a recipe to go on with.
    """

    def __init__(
        self, folder: Path, found: Findings, *, journal: bool = True, archived: bool = True
    ) -> None:
        self.folder = folder
        self.lost = 0
        self.unknown = False
        self.known = False
        self.notes: list[str] = []
        self.recipe: dict[str, Any] = {}
        self.words: dict[str, Any] = {}
        self.again: list[tuple[Candidate, bytes]] = []
        self.journal: Journal | None = None
        if found.journal and journal:
            path = folder / "journal.sqlite"
            self.journal = Journal(path, writable=False, locks=has_locks(folder))
        self._marks = Marks(folder)
        self.state = _state_of(folder, self._marks, found) if archived else Archived()
        self.archive = Archive(folder, self.state, found.bad)
        self.first = 0
        self.total = max(self.state.folded, self._marks.rows) if archived else 0
        self._learn(archived=archived)

    def close(self) -> None:
        """Let go of the journal."""
        if self.journal is not None:
            self.journal.connection.close()

    def _learn(self, *, archived: bool) -> None:
        """Read recipe, name and counts, from wherever they can be."""
        unknown = True
        if self.journal is not None:
            with suppress(*UNREADABLE):
                self.total = max(self.total, _committed(self.journal))
                unknown = archived and bool(behind(self.journal, self._marks))
                self.first = 0 if archived else int(self.journal.meta("dropped"))
            with suppress(*UNREADABLE):
                self.words["run_id"] = self.journal.meta("run_id")
                self._take(self.journal.meta("recipe"))
            with suppress(*UNREADABLE):
                self.words["next_index"] = self.journal.meta("next_index")
            with suppress(*UNREADABLE):
                self.words["refused"] = self.journal.refused()
            with suppress(*UNREADABLE):
                tries = self.journal.connection.execute("SELECT idx, reason FROM attempts")
                self.words["attempts"] = tries.fetchall()
        if not self.known:
            self._learn_elsewhere()
        if unknown and (self._marks.broken or self._marks.closed() is None):
            self.unknown = True
            self.notes.append(
                f"results committed after the first {self.total}, if there were any, are lost"
            )

    def _learn_elsewhere(self) -> None:
        """Read name and recipe from the log, or from the archive's attributes."""
        with suppress(*UNREADABLE):
            self.words["run_id"] = self._marks.told("run")
            self._take(json.dumps(self._marks.told("recipe")))
        if not self.known:
            with suppress(OSError, AttributeError, *UNREADABLE):
                text = (self.folder / archive.NAME / "zarr.json").read_bytes()
                attributes = json.loads(text)["attributes"]
                self.words["run_id"] = attributes["run_id"]
                self._take(attributes["recipe"])

    def _take(self, recipe: str) -> None:
        found = json.loads(recipe)
        if isinstance(found, dict):
            self.recipe, self.known = found, True

    def rows(self, observer: Observer) -> Iterator[Row]:
        """All rows that can be read, in commit order."""
        for start in range(self.first, self.total, CHUNK):
            stop = min(start + CHUNK, self.total)
            yield from self._between(start, stop)
            observer(stop, self.total)
        if self.lost:
            self.notes.append(f"of {self.total} committed results {self.lost} are lost")

    def _between(self, start: int, stop: int) -> Iterator[Row]:
        found = self._from_journal(start, stop) or self._from_archive(start, stop)
        if found:
            yield from found
        elif stop - start > 1:
            middle = (start + stop) // 2
            yield from self._between(start, middle)
            yield from self._between(middle, stop)
        else:
            self.lost += 1
            with suppress(UserError, *UNREADABLE):
                self.again.append(self._proposal(start))

    def _from_journal(self, start: int, stop: int) -> list[Row]:
        if self.journal is None:
            return []
        try:
            page = self.journal.page(start, stop)
            if [row.number for row in page] != list(range(start, stop)):
                return []
            return [row.row(self.journal.pixels(row.number)) for row in page]
        except UNREADABLE:
            return []

    def _from_archive(self, start: int, stop: int) -> list[Row]:
        if stop > self.state.folded:
            return []
        try:
            return self.archive.rows(start, stop, signals=True)
        except UNREADABLE:
            return []

    def _proposal(self, number: int) -> tuple[Candidate, bytes]:
        with suppress(*UNREADABLE):
            return self.archive.proposal(number)
        if self.journal is None:
            raise Damaged("no journal")
        (row,) = self.journal.connection.execute(_ONE, (number + 1,)).fetchall()
        return self.journal.candidate(*row), row[1]

    def keys(self) -> list[tuple[int, bytes]]:
        """Index and key of all that the journal knows to be proposed."""
        if self.journal is None:
            return []
        found = self.journal.connection.execute("SELECT idx, key FROM keys ORDER BY idx")
        return list(found.fetchall())

    def dropped(self) -> list[bytes]:
        """Keys of the rows that the journal has left to the archive."""
        if self.journal is None:
            return []
        query = "SELECT key FROM keys WHERE seq <= ?"
        return [row[0] for row in self.journal.connection.execute(query, (self.first,))]

    def pending(self) -> list[tuple[Candidate, bytes]]:
        """Proposals without a result, those included whose result is lost; ask after the rows."""
        found = list(self.again)
        if self.journal is None:
            return found
        with suppress(*UNREADABLE):
            for row in self.journal.connection.execute(_PENDING):
                with suppress(*UNREADABLE):
                    found.append((self.journal.candidate(*row), row[1]))
        return found


def _committed(journal: Journal) -> int:
    """How many rows a journal has, from its keys where the count itself is damaged."""
    with suppress(Damaged, ValueError):
        return journal.committed()
    return int(journal.connection.execute("SELECT count(seq) FROM keys").fetchone()[0])


def _state_of(folder: Path, marks: Marks, found: Findings) -> Archived:
    """What the log says of the archive; where the log is damaged, what the files themselves say.

    A fold that was cut short before it touched a file has left all as it was.
    """
    state = marks.state()
    if marks.broken or not marks.archived or any(LACKS in text for text in found.problems):
        return _state_of_files(folder) if not _is_all(folder, state) else state
    before = marks.state(whole=True)
    return before if state.unfinished and _is_all(folder, before) else state


def _is_all(folder: Path, state: Archived) -> bool:
    """Whether there is an archive in the log, and every file of it is what was written."""
    files = {folder / name: entry for name, entry in state.files.items()}
    return bool(files) and all(p.is_file() and checksum(p) == e for p, e in files.items())


def _state_of_files(folder: Path) -> Archived:
    state, root = Archived(), folder / archive.NAME
    with suppress(*UNREADABLE), archive.opened(root, "r") as group:
        rows = group["candidates/status"].shape[0]
        block = int(group["candidates/status"].chunks[0])
        state.sealed, state.folded = rows // block * block, rows
        paths = [path for path in root.rglob("*") if path.is_file()]
        state.files = {str(path.relative_to(folder)): checksum(path) for path in paths}
    return state
