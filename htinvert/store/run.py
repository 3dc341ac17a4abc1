"""A run on disk: one folder, one writer, any number of readers, safe to kill at any moment.

A result counts when :meth:`RunStore.commit` has returned: it is then in ``journal.sqlite`` for
good. Whole blocks of results are sealed in ``results.zarr`` on the way, in the background, and
leave the journal one block later; what is left is copied at the end, so that after a clean stop
``results.zarr`` alone is the complete record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

from htinvert.core import Candidate, Evaluation, UserError
from htinvert.store import archive
from htinvert.store.agreement import (
    advice,
    behind,
    require_agreement,
    require_fresh,
    require_no_repair,
)
from htinvert.store.checkpoint import Checkpoint
from htinvert.store.columns import Layout
from htinvert.store.folding import Folding, require_rows
from htinvert.store.identity import require_recipe
from htinvert.store.journal import Journal
from htinvert.store.links import require_no_links_to_read
from htinvert.store.lock import Owner, has_locks
from htinvert.store.marks import Marks, checksum
from htinvert.store.patient import WRITER, busy
from htinvert.store.provenance import own_provenance, read_provenance, write_provenance
from htinvert.store.reader import Reader
from htinvert.store.record import Row, is_snapped
from htinvert.store.trouble import Damaged, NotBegun, OutOfSpace, explained

BLOCK = 32768
"""Rows that are sealed at once in a new run: 31 files per column and million rows."""
MOST_PARENTS = 2
BESIDE = ("journal.sqlite", "provenance.json", "config.yaml", "log.jsonl")


def is_run(folder: Path) -> bool:
    """Whether a run was begun in a folder, whatever has become of it."""
    return (folder / "journal.sqlite").is_file()


class RunStore(Reader):
    """A run's folder; make one with :meth:`create_or_open` or, to look only, :meth:`open`.

    As a context manager it is closed at the end of the block, after an exception without folding.
    """

    def __init__(self, path: Path, journal: Journal, owner: Owner | None):
        super().__init__(path, journal)
        self._owner = owner
        self._noted = 0  # lines of the log when the journal last heard of them
        layout = Layout(int(journal.meta("block", str(BLOCK))))
        attributes: dict[str, Any] = {
            "format": "htinvert-run",
            "schema": int(journal.meta("schema")),
        }
        attributes |= {"run_id": journal.meta("run_id"), "recipe": journal.meta("recipe")}
        if owner is not None:
            who = (owner.require, owner.locks)
            self._folding = Folding(path, layout, attributes, self._marks, *who)
            self.checkpoint = Checkpoint(path, owner.require)

    @classmethod
    def create_or_open(
        cls, path: str | Path, *, recipe: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> Self:
        """Become the one writer of a run, new or resumed.

        Args:
            path: the run's folder, made where missing.
            recipe: everything that decides an evaluation, as nested mappings of plain values; a
                run continues only under the recipe it was made with.
            provenance: versions and hosts; kept in ``provenance.json`` at first, in the log later.

        Raises:
            Held: another driver owns the run.
            OutOfSpace: its file system is full or read-only.
            Busy: another program holds its journal for over ten minutes.
            UserError: the recipe differs, or the folder holds something else.
            Damaged: sealed results are not what was written, or log or archive know of a run or of
                results that the journal does not: it would end by writing over them.
        """
        folder = Path(path).absolute()
        journal = owner = None
        try:
            require_no_repair(folder)
            owner = Owner.of(folder)
            journal = Journal(
                folder / "journal.sqlite",
                writable=True,
                recipe=recipe,
                locks=owner.locks,
                patience=WRITER,
                guard=owner.require,
                fresh=partial(require_fresh, folder),
            )
            require_agreement(folder, journal, Marks(folder))
            require_recipe(folder, json.loads(journal.meta("recipe")), recipe)
            run = cls(folder, journal, owner)
            run._begin(provenance)
            return run
        except BaseException as error:
            if journal is not None:
                journal.connection.close()
            if owner is not None:
                owner.release()
            if isinstance(error, OSError):
                raise explained(folder, error) from error
            raise

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Look at a run, also while a driver writes it; what would change it raises ValueError.

        Raises:
            UserError: there is no run, or it is of another format.
            Damaged: its journal is lost, or older than its log.
        """
        folder = Path(path).absolute()
        require_no_links_to_read(folder)
        if not is_run(folder):
            require_fresh(folder)
            raise UserError(f"{path} is not a run (it has no journal.sqlite); name a run's folder")
        marks = Marks(folder)  # read before the journal, which a driver writes first
        try:
            journal = Journal(folder / "journal.sqlite", writable=False, locks=has_locks(folder))
        except NotBegun:
            if marks.events or marks.broken:
                require_fresh(folder)
            raise
        try:
            if what := behind(journal, marks):
                raise Damaged(f"run {folder}: {what}; {advice(folder)}")
            return cls(folder, journal, None)
        except BaseException:
            journal.connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self._shut()

    def propose(self, candidates: Iterable[tuple[Candidate, bytes]]) -> None:
        """Record candidates and their keys durably, before they are sent out.

        The same index with the same key again is ignored.

        Raises:
            ValueError: a key was proposed under another index (ask :meth:`known` first).
            UserError: the disk is full, or a structure cannot be kept whole.
        """
        batch = list(candidates)
        for candidate, _ in batch:
            if len(candidate.parents) > MOST_PARENTS:
                raise UserError(
                    f"operator {candidate.operator} names {len(candidate.parents)} parents and a "
                    f"run keeps {MOST_PARENTS}; let it name at most {MOST_PARENTS}"
                )
            if not is_snapped(candidate.atoms):
                raise ValueError(f"candidate {candidate.index} is off the grid; snap it first")
        highest = max([self._next, *(candidate.index + 1 for candidate, _ in batch)])
        self._write(lambda journal: journal.propose(batch))
        self._next = highest

    def refuse(self, index: int, operator: str, reason: str) -> None:
        """Count a proposal refused before evaluation: duplicate, min_distance, infeasible, ...

        Durable with the next proposal, commit or close; after a crash in between the index is
        asked for, and refused, again.
        """
        self._require_writable()
        self._refused[operator, reason] = self._refused.get((operator, reason), 0) + 1
        self._next = max(self._next, index + 1)

    def attempt(self, index: int, reason: str) -> int:
        """Record durably that a try came to nothing and will be repeated; return how many did.

        The candidate stays pending: commit an Evaluation with an error to give it up.
        """
        self._write(lambda journal: journal.attempt(index, reason))
        return self._journal.attempts(index)

    def commit(self, evaluations: Iterable[Evaluation]) -> None:
        """Keep evaluations, ok or failed, durably: all of them when this returns, else none.

        A candidate that has a result already is ignored. All signals in an evaluation are kept, so
        strip those that should not be. Call it with batches: it costs one fsync'd transaction.

        Raises:
            ValueError: a candidate was never proposed.
            UserError: the disk is full or failing; call again with the same batch once it is not.
        """
        batch = list(evaluations)
        self._write(lambda journal: journal.commit(batch))
        self._advance()

    def adopt(
        self,
        found: Iterable[Row],
        pending: Callable[[], Iterable[tuple[Candidate, bytes]]],
        words: Mapping[str, Any],
    ) -> None:
        """Take over rows, then pending proposals, counts and name of another run, in a new one."""
        if words.get("run_id"):
            self._rename(words["run_id"])
        waiting = iter(found)
        while batch := list(islice(waiting, 1024)):
            self._write(partial(Journal.adopt, rows=batch))
            self._advance()
        self._next = max(self._next, int(words.get("next_index", 0)))
        for (operator, reason), count in words.get("refused", {}).items():
            self._refused[operator, reason] = count
        self.propose(pending())
        for index, reason in words.get("attempts", ()):
            self.attempt(index, reason)

    def _rename(self, name: str) -> None:
        """Be another run from now on, in journal, log and archive."""
        self._journal.remember("run_id", name)
        self._marks.append("opened", run=name, recipe=self.recipe)
        self._folding.attributes = {**self._folding.attributes, "run_id": name}

    def wait_with(self, *, say: Callable[[str], None], leave: Callable[[], bool]) -> None:
        """Tell why where a write waits for another program; where one is to ``leave``, wait less.

        A driver waits for ten minutes, one that is to leave for half a minute.
        """
        connection = self._journal.connection
        connection.held = lambda: say(str(busy(self._journal.path)))
        connection.leave = leave

    def event(self, **fields: Any) -> None:
        """Append a line of JSON with the time and these fields to ``log.jsonl``."""
        self._require_writable()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **fields}, default=str, ensure_ascii=False) + "\n"
        try:
            with (self.path / "log.jsonl").open("a+b") as log:
                if log.tell() and os.pread(log.fileno(), 1, log.tell() - 1) != b"\n":
                    line = "\n" + line  # the last writer was killed in the middle of a line
                log.write(line.encode(errors="replace"))  # of a text that is not UTF-8
        except OSError as error:
            raise explained(self.path, error) from error

    def fold(self) -> None:
        """Fold everything committed into ``results.zarr``; what is sealed already stays.

        Raises:
            OutOfSpace: the disk is full.
            Damaged: the archive cannot be read, and the journal has not all that it held, whole.
        """
        self._require_writable()
        self._folding.wait()
        self._note_fold()
        committed = self._journal.committed()
        try:
            try:
                self._folding.fold(committed)
            except Damaged as damage:
                self._start_archive_anew(str(damage))
                self._folding.fold(committed)
        except OSError as error:
            raise OutOfSpace(
                f"{self.path}/results.zarr could not be written ({error}): free space or check the "
                "disk and start the same command again; everything committed is safe in "
                "journal.sqlite"
            ) from error
        with suppress(OSError):  # the next fold does it
            archive.forget_damaged(self.path / archive.NAME, self.run_id, committed)
        self._note_fold()

    def close(self) -> None:
        """Stop cleanly: fold the rest, let go of the lock. A second call does nothing."""
        if self._owner is None:
            self._shut()
            return
        try:
            if self._refused:
                self.propose([])
            self.fold()
            self._mark_closed()
        finally:
            self._shut()

    def _shut(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            self._folding.wait()
        self._journal.connection.close()
        if owner is not None:
            owner.release()

    def _begin(self, provenance: Mapping[str, Any]) -> None:
        """What a new driver does first: fence out the one before, look at the archive."""
        assert self._owner is not None  # noqa: S101
        epoch = str(self._owner.epoch)
        if self._marks.events and not self._journal.meta("block", ""):
            raise Damaged(f"{self._journal.path}: entry block is lost; {advice(self.path)}")
        with self._journal.transaction():
            self._journal.remember("epoch", epoch)
            if not self._journal.meta("block", ""):
                self._journal.remember("block", self._folding.layout.block)
        self._journal.epoch = epoch
        state = self._marks.state()
        if self._marks.broken or int(self._journal.meta("dropped")) > state.sealed:
            what = self._marks.broken or f"{self._marks.path} has lost its end"
            raise Damaged(f"{what}; {advice(self.path)}")
        told: dict[str, Any] = {"epoch": self._owner.epoch, "rows": self._journal.committed()}
        if self._marks.told("run") != self.run_id:
            told |= {"run": self.run_id, "recipe": self.recipe}
        self._marks.append("opened", **told)
        if not archive.is_whole(self.path, state):
            self._start_archive_anew(f"{self.path / archive.NAME} is not what was folded")
        self._folding.look(self._journal)
        self._note_fold()
        self._note_provenance(provenance)

    def _start_archive_anew(self, why: str) -> None:
        """Set a damaged archive aside, where the journal has all that it held.

        Raises:
            Damaged: it has not, or a row of it is not what was written.
        """
        if int(self._journal.meta("dropped")):
            raise Damaged(
                f"{why}, and results that it holds are nowhere else; htinvert verify --repair "
                f"{self.path} saves the others and sends what is lost to be evaluated again"
            )
        require_rows(self._journal, 0, self._journal.committed())
        self.event(event="refold", reason=why)
        self._folding.sound = 0
        self._journal.allow_dropping(0)
        self._marks.append("discarded")
        archive.discard(self.path / archive.NAME)

    def _advance(self) -> None:
        if len(self._marks.events) != self._noted:
            self._note_fold()
        self._folding.advance(self._journal.committed())

    def _note_fold(self) -> None:
        """Let rows go that are sealed, and whole still one block later; note the log's length."""
        failure = self._folding.failure()
        if failure is not None:
            self.event(event="fold failed", reason=str(failure))
        if self._folding.busy():
            return
        self._noted = len(self._marks.events)
        with self._journal.transaction():
            self._journal.allow_dropping(self._folding.sound)
            self._journal.remember("marks", self._noted)

    def _mark_closed(self) -> None:
        self._journal.remember("marks", len(self._marks.events) + 1)
        found = [self.path / name for name in BESIDE]
        try:
            files = {path.name: checksum(path) for path in found if path.exists()}
            self._marks.append("closed", files=files, rows=self._journal.committed())
        except OSError as error:
            raise explained(self.path, error) from error

    def _write(self, change: Callable[[Journal], None]) -> None:
        self._require_writable()
        with self._journal.transaction():
            change(self._journal)
            self._journal.refuse(self._refused)
            self._journal.remember("next_index", self._next)
        self._refused = {}

    def _require_writable(self) -> None:
        if self._owner is None:
            raise ValueError(
                f"{self.path} is open for reading; use RunStore.create_or_open to write"
            )

    def _note_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Write it at first, and again where it was lost; the log has a copy."""
        known = read_provenance(self.path)
        if own_provenance(self.path) is None:
            write_provenance(self.path, known or provenance)
        self.event(event="resumed" if known else "created", provenance=dict(provenance))
