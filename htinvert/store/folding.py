"""Fold committed rows from the journal into the archive, in a thread beside the driver.

A block of rows is sealed once it is written, synced, read back and marked in the log; from then on
nothing writes its files again. Rows beyond the last sealed block are folded too, as a copy for
other programs: at a clean stop, and whenever they have doubled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from htinvert.store import archive
from htinvert.store.columns import Column, Layout, block_columns
from htinvert.store.images import layouts_of, signal_columns
from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.patient import WRITER
from htinvert.store.record import PackedSignal, Stored
from htinvert.store.trouble import Damaged

TAIL = 1024  # rows beyond the sealed ones that are worth a copy during a run
RETRY = 60.0  # s to wait after a fold that failed


@dataclass
class Folding:
    """Folds one run; ``guard`` raises where this driver may write no more."""

    path: Path
    layout: Layout
    attributes: Mapping[str, Any]
    marks: Marks
    guard: Callable[[], None]
    locks: bool = True

    def __post_init__(self) -> None:
        self.sound = 0  # rows whose sealed copy was whole when it was looked at last
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._rest = 0.0  # no fold before this time

    def advance(self, committed: int) -> None:
        """Begin a fold in the background where one is due and none goes on."""
        if self.busy() or monotonic() < self._rest:
            return
        state = self.marks.state()
        waiting, copied = committed - state.sealed, state.folded - state.sealed
        if waiting >= min(self.layout.block, max(TAIL, 2 * copied)):
            self._thread = threading.Thread(target=self._work, args=(committed,), daemon=True)
            self._thread.start()

    def busy(self) -> bool:
        """Whether a fold goes on in the background."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Wait for the fold in the background."""
        if self._thread is not None:
            self._thread.join()

    def failure(self) -> BaseException | None:
        """Why the last fold in the background failed, told once."""
        if self.busy():
            return None
        found, self._failure = self._failure, None
        return found

    def _work(self, committed: int) -> None:
        try:
            self.fold(committed, one=True)
        except BaseException as error:
            self._failure, self._rest = error, monotonic() + RETRY

    def fold(self, committed: int, *, one: bool = False) -> None:
        """Fold all rows up to ``committed``, or one block of them.

        Raises:
            Damaged: what is read back is not what was written, or a row in the journal is damaged.
            OSError: the disk is full or failing.
        """
        journal = Journal(
            self.path / "journal.sqlite", writable=False, locks=self.locks, patience=WRITER
        )
        try:
            state = self.marks.state()
            while state.folded < committed or state.unfinished:
                stop = min(committed, state.sealed + self.layout.block)
                self._fold_block(journal, stop)
                state = self.marks.state()
                if one:
                    return
        finally:
            journal.connection.close()

    def _fold_block(self, journal: Journal, stop: int) -> None:
        self.guard()
        state = self.marks.state()
        start, root = state.sealed, self.path / archive.NAME
        if state.tail:  # no copy is removed before its rows are known to be whole elsewhere
            require_rows(journal, start, stop)
        self.marks.append("folding", start=start, stop=stop)
        if state.folded:
            archive.forget(self.path, state.tail)
        else:  # what may be there was never marked, and its groups may lack descriptions
            archive.discard(root)
        arrays: Mapping[str, Any] = {}
        if root.exists():
            with archive.opened(root, "a") as group:
                arrays = archive.members(group)
        ends = dict(state.ends)
        groups = self._groups(journal, start, stop, arrays, ends)
        files = archive.fold(root, groups, self.attributes)
        self.guard()
        sealed = stop - start == self.layout.block
        self.marks.append("folded", start=start, stop=stop, sealed=sealed, files=files, ends=ends)
        if sealed:
            self.look(journal)

    def look(self, journal: Journal) -> None:
        """Read the copies of the rows that the journal is to let go of next, one block late."""
        span = int(journal.meta("dropped")), self.marks.state().sealed - self.layout.block
        self.sound = archive.sound_rows(self.path, self.marks.blocks(), *span)

    def _groups(
        self,
        journal: Journal,
        start: int,
        stop: int,
        arrays: Mapping[str, Any],
        ends: dict[str, int],
    ) -> Iterator[Sequence[Column]]:
        """Columns to write, the rows last; notes where their entries end."""
        kept: Iterator[tuple[int, Mapping[str, PackedSignal]]] = (
            (row, journal.pixels(row)) for row in journal.rows_with_signals(start, stop)
        )
        images = {name: end for name, end in ends.items() if name != "atoms"}
        for columns in signal_columns(kept, layouts_of(arrays), images):
            ends[columns[0].path.split("/")[1]] = columns[0].start + len(columns[0].values)
            yield columns
        pages = pages_of(journal, start, stop)
        columns = block_columns(self.layout, start, ends.get("atoms", 0), pages, arrays)
        last = next(column for column in columns if column.path == "atoms/number")
        ends["atoms"] = last.start + len(last.values)
        yield columns


def require_rows(journal: Journal, start: int, stop: int) -> None:
    """Read rows of the journal and their signals for nothing but to know that they are whole.

    Raises:
        Damaged: one is not there, or not what was written.
    """
    for _ in pages_of(journal, start, stop):
        pass
    for number in journal.rows_with_signals(start, stop):
        journal.pixels(number)


def pages_of(journal: Journal, start: int, stop: int) -> Iterator[list[Stored]]:
    """Rows of the journal from start to stop, a page at a time."""
    while start < stop:
        page = journal.page(start, stop)
        if not page or page[0].number != start:
            raise Damaged(f"result {start} is not in journal.sqlite")
        yield page
        start = page[-1].number + 1
