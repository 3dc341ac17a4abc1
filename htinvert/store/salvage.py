"""Save what a damaged run still holds, from journal and archive together, into a new one."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from htinvert.core import Candidate, UserError
from htinvert.store import archive
from htinvert.store.journal import Journal
from htinvert.store.lock import has_locks, is_owned
from htinvert.store.marks import Archived, Marks, checksum
from htinvert.store.reading import Archive
from htinvert.store.record import Row
from htinvert.store.run import Run
from htinvert.store.trouble import Damaged, Held
from htinvert.store.verify import Findings, inspect

CHUNK = 1024
_UNREADABLE = (Damaged, sqlite3.Error, ValueError, KeyError, IndexError, StopIteration)

Observer = Callable[[int, int], None]
"""Told of rows done and rows in all."""


def verify(
    path: str | Path,
    *,
    full: bool = False,
    repair: bool = False,
    observer: Observer | None = None,
) -> Findings:
    """Check a run, and repair it where asked for and needed.

    What cannot be repaired in place is written as a new run, and the damaged one is kept beside it
    as ``<run>.damaged``. A result that is lost is sent to be evaluated again where its proposal can
    still be read.

    Raises:
        UserError: there is no run, or a driver is writing it and it is to be repaired.
    """
    folder = Path(path).absolute()
    if repair and (owner := is_owned(folder)):
        raise Held(f"run {path} is held by {owner}; stop it before it is repaired")
    found = inspect(folder, full=full or repair)
    if not found.problems:
        return found
    if repair:
        _repair(folder, found, observer or _ignore)
    elif full and not _only_descriptions(folder, found):
        _count(folder, found, found, observer or _ignore)
    return found


def _only_descriptions(folder: Path, found: Findings) -> bool:
    """Whether nothing is wrong but descriptions of which there is a copy: all values are there."""
    copied = archive.restorable(folder, Marks(folder).state(), found.bad)
    return len(found.problems) == len(copied) and copied == found.bad


def _count(folder: Path, damaged: Findings, found: Findings, observer: Observer) -> None:
    """Note in ``found`` how many results cannot be read of a run that is ``damaged``."""
    source = Source(folder, damaged)
    for _ in source.rows(observer):
        pass
    found.lost = source.lost
    found.notes += source.notes
    source.close()


def _repair(folder: Path, found: Findings, observer: Observer) -> None:
    left = found
    if restored := archive.restore_descriptions(folder, Marks(folder).state(), found.bad):
        found.notes.append(f"written again: {', '.join(restored)}")
        left = inspect(folder, full=True)
    if not left.problems:
        return
    _count(folder, left, found, observer)
    if left.journal and not found.lost and _fold_anew(folder):
        found.notes.append("results.zarr was made again from journal.sqlite")
    else:
        _write_anew(folder, left, observer)
        found.notes.append(f"written as a new run; the damaged one is {folder}.damaged")
    found.notes += [f"still: {problem}" for problem in inspect(folder, full=True).problems]


def _fold_anew(folder: Path) -> bool:
    """Make the archive and its log again from the journal, where that holds all rows, whole."""
    with suppress(UserError, sqlite3.Error):
        journal = Journal(folder / "journal.sqlite", writable=False)
        recipe, whole = json.loads(journal.meta("recipe")), journal.meta("dropped") == "0"
        whole = whole and journal.connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        numbers = sum(len(journal.page(n, n + CHUNK)) for n in range(0, journal.committed(), CHUNK))
        whole = whole and numbers == journal.committed()
        journal.pending()
        journal.connection.close()
        if whole:
            (folder / "commits.log").unlink(missing_ok=True)
            archive.discard(folder / archive.NAME)
            Run.create_or_open(folder, recipe=recipe, provenance={"repaired": True}).close()
            return True
    return False


def _write_anew(folder: Path, found: Findings, observer: Observer) -> None:
    new = folder.with_name(folder.name + ".repaired")
    shutil.rmtree(new, ignore_errors=True)
    source = Source(folder, found)
    write(source, new, observer)
    source.close()
    swap(folder, new, folder.with_name(folder.name + ".damaged"))


def swap(folder: Path, new: Path, aside: Path) -> None:
    """Put a new folder in the place of one, which is kept aside."""
    number = 2
    while aside.exists():
        aside = aside.with_name(f"{aside.name.rstrip('0123456789.')}.{number}")
        number += 1
    folder.rename(aside)
    new.rename(folder)


def write(source: Rowed, new: Path, observer: Observer) -> None:
    """Write all that a source gives as a new run in the folder ``new``."""
    for name in ("provenance.json", "config.yaml", "log.jsonl"):
        new.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copy2(source.folder / name, new / name)
    with Run.create_or_open(new, recipe=source.recipe, provenance={"from": "verify"}) as run:
        run.adopt(source.rows(observer), source.pending, source.words)


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


class Source:
    """Everything that can still be read of a run; ``lost`` counts results that cannot."""

    def __init__(self, folder: Path, found: Findings) -> None:
        self.folder = folder
        self.lost = 0
        self.notes: list[str] = []
        self.recipe: dict[str, Any] = {}
        self.words: dict[str, Any] = {}
        self._again: list[tuple[Candidate, bytes]] = []
        self._journal: Journal | None = None
        if found.journal:
            self._journal = Journal(
                folder / "journal.sqlite", writable=False, locks=has_locks(folder)
            )
        self._state = _state_of(folder, found)
        self._archive = Archive(folder, self._state, found.bad)
        self.total = self._words()

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.connection.close()

    def _words(self) -> int:
        """Read recipe and counts; returns how many rows there were."""
        total = self._state.folded
        closed = Marks(self.folder).closed() is not None
        try:
            if self._journal is None:
                raise Damaged("no journal")
            self.recipe = json.loads(self._journal.meta("recipe"))
            self.words = {"refused": self._journal.refused()}
            tries = self._journal.connection.execute("SELECT idx, reason FROM attempts")
            self.words["attempts"] = tries.fetchall()
            total = max(total, self._journal.committed())
            self.words |= {n: self._journal.meta(n) for n in ("run_id", "next_index", "block")}
        except _UNREADABLE:
            with (
                suppress(Damaged, KeyError),
                archive.opened(self.folder / archive.NAME, "r") as group,
            ):
                attributes = dict(group.attrs)
                self.recipe = json.loads(attributes["recipe"])
                self.words = {"run_id": attributes["run_id"]}
            if not closed:
                self.lost = 1
                self.notes.append(
                    f"results committed after the first {total}, if there were any, are lost"
                )
        return total

    def rows(self, observer: Observer) -> Iterator[Row]:
        """All rows that can be read, in commit order."""
        for start in range(0, self.total, CHUNK):
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
            with suppress(*_UNREADABLE, UserError):
                self._again.append(self._proposal(start))

    def _from_journal(self, start: int, stop: int) -> list[Row]:
        if self._journal is None:
            return []
        try:
            page = self._journal.page(start, stop)
            if [row.number for row in page] != list(range(start, stop)):
                return []
            return [row.row(self._journal.pixels(row.number)) for row in page]
        except _UNREADABLE:
            return []

    def _from_archive(self, start: int, stop: int) -> list[Row]:
        if stop > self._state.folded:
            return []
        try:
            return self._archive.rows(start, stop, signals=True)
        except _UNREADABLE:
            return []

    def _proposal(self, number: int) -> tuple[Candidate, bytes]:
        with suppress(*_UNREADABLE):
            return self._archive.proposal(number)
        if self._journal is None:
            raise Damaged("no journal")
        query = (
            "SELECT k.idx, k.key, p.operator, p.parents, p.crc, p.structure FROM keys k"
            " JOIN proposals p ON p.idx = k.idx WHERE k.seq = ?"
        )
        (row,) = self._journal.connection.execute(query, (number + 1,)).fetchall()
        return self._journal.candidate(*row), row[1]

    def pending(self) -> list[tuple[Candidate, bytes]]:
        """Proposals without a result, those included whose result is lost; ask after the rows."""
        found = list(self._again)
        if self._journal is None:
            return found
        query = (
            "SELECT k.idx, k.key, p.operator, p.parents, p.crc, p.structure FROM keys k"
            " JOIN proposals p ON p.idx = k.idx WHERE k.seq IS NULL ORDER BY k.idx"
        )
        with suppress(*_UNREADABLE):
            for row in self._journal.connection.execute(query):
                with suppress(*_UNREADABLE):
                    found.append((self._journal.candidate(*row), row[1]))
        return found


def _state_of(folder: Path, found: Findings) -> Archived:
    """What the log says of the archive; where the log is damaged, what the files themselves say."""
    marks = Marks(folder)
    state = marks.state()
    if not marks.broken and not any("commits.log" in problem for problem in found.problems):
        return state
    root = folder / archive.NAME
    with suppress(*_UNREADABLE), archive.opened(root, "r") as group:
        rows = group["candidates/status"].shape[0]
        block = int(group["candidates/status"].chunks[0])
        state.sealed, state.folded = rows // block * block, rows
        paths = [path for path in root.rglob("*") if path.is_file()]
        state.files = {str(path.relative_to(folder)): checksum(path) for path in paths}
    return state


def _ignore(done: int, total: int) -> None:
    """Observe nothing."""
