"""A run on disk: one folder, one writer, any number of readers, safe to kill at any moment.

A result counts when :meth:`Run.commit` has returned: it is then in ``journal.sqlite`` for good.
Whole blocks of results are folded into ``results.zarr`` on the way and the rest at the end, so
that after a clean stop ``results.zarr`` alone is the complete record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from htinvert.core import Candidate, Evaluation, UserError
from htinvert.store.journal import Journal
from htinvert.store.lock import acquire, release
from htinvert.store.record import Row, tabulate

BLOCK = 4096
"""Rows that are folded at once."""
BLOCK_BYTES = 256 * 2**20
"""Bytes of signals after which a block ends early, to bound memory."""
MOST_PARENTS = 2


@dataclass(frozen=True)
class Counts:
    """How many candidates are where; ``refused`` counts per reason, before any evaluation."""

    ok: int
    failed: int
    pending: int
    refused: Mapping[str, int]
    refused_by: Mapping[tuple[str, str], int]
    """The same per (operator, reason)."""


class Run:
    """A run's folder; make one with :meth:`create_or_open` or, to look only, :meth:`open`.

    As a context manager it is closed at the end of the block, after an exception without folding.
    """

    def __init__(self, path: Path, journal: Journal, lock: int | None):
        self.path = path
        self._journal = journal
        self._lock = lock
        self._refused: dict[tuple[str, str], int] = {}
        self._next = journal.next_index()
        self._committed = journal.committed()
        self._archive_checked = False

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
            UserError: the recipe differs, another driver holds the run, the folder holds something
                else, or its file system is full, read-only or without locks.
        """
        folder = Path(path).absolute()
        try:
            lock = acquire(folder)
        except OSError as error:
            raise _explained(folder, error) from error
        journal = None
        try:
            journal = Journal(folder / "journal.sqlite", writable=True, recipe=recipe)
            journal.require_recipe(recipe)
            run = cls(folder, journal, lock)
            run._note_provenance(provenance)
            return run
        except BaseException as error:
            if journal is not None:
                journal.connection.close()
            release(folder, lock)
            if isinstance(error, OSError):
                raise _explained(folder, error) from error
            raise

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Look at a run, also while a driver writes it; what would change it raises ValueError.

        Raises:
            UserError: there is no run, or it is of a newer format.
        """
        folder = Path(path).absolute()
        if not (folder / "journal.sqlite").is_file():
            raise UserError(f"{path} is not a run (it has no journal.sqlite); name a run's folder")
        return cls(folder, Journal(folder / "journal.sqlite", writable=False), None)

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
        self._committed = self._journal.committed()
        folded = int(self._journal.meta("folded"))
        if self._committed - folded >= BLOCK:
            self._fold(folded + (self._committed - folded) // BLOCK * BLOCK)

    def event(self, **fields: Any) -> None:
        """Append a line of JSON with the time and these fields to ``log.jsonl``."""
        self._require_writable()
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **fields}, default=str, ensure_ascii=False) + "\n"
        try:
            with (self.path / "log.jsonl").open("a+b") as log:
                if log.tell() and os.pread(log.fileno(), 1, log.tell() - 1) != b"\n":
                    line = "\n" + line  # the last writer was killed in the middle of a line
                log.write(line.encode())
        except OSError as error:
            raise _explained(self.path, error) from error

    def fold(self) -> None:
        """Fold everything committed into ``results.zarr``; what is folded already stays."""
        self._require_writable()
        self._fold(self._committed)

    def close(self) -> None:
        """Stop cleanly: fold the rest, let go of the lock. A second call does nothing."""
        if self._lock is None:
            self._journal.connection.close()
            return
        try:
            if self._refused:
                self.propose([])
            self._fold(self._committed)
        finally:
            self._shut()

    def _shut(self) -> None:
        self._journal.connection.close()
        if self._lock is not None:
            release(self.path, self._lock)
            self._lock = None

    def _write(self, change: Callable[[Journal], None]) -> None:
        self._require_writable()
        with self._journal.transaction():
            change(self._journal)
            self._journal.refuse(self._refused)
            self._journal.remember("next_index", self._next)
        self._refused = {}

    def _require_writable(self) -> None:
        if self._lock is None:
            raise ValueError(f"{self.path} is open for reading; use Run.create_or_open to write")

    def _note_provenance(self, provenance: Mapping[str, Any]) -> None:
        target = self.path / "provenance.json"
        if target.exists():
            self.event(event="resumed", provenance=dict(provenance))
            return
        partial = self.path / "provenance.json.partial"
        partial.write_text(json.dumps(provenance, indent=1, default=str, ensure_ascii=False))
        partial.replace(target)
        self.event(event="created")

    @property
    def _attributes(self) -> dict[str, Any]:
        run_id = self._journal.meta("run_id")
        return {
            "format": "htinvert-run",
            "schema": int(self._journal.meta("schema")),
            "run_id": run_id,
        }

    def _fold(self, stop: int) -> None:
        from htinvert.store import archive

        try:
            if not self._archive_checked and not self._archive_is_whole():
                self.event(event="refold", reason="results.zarr is not what was folded")
                self._journal.remember("folded", 0)
            try:
                self._fold_blocks(stop)
            except archive.Damaged as damage:
                self.event(event="refold", reason=str(damage))
                self._journal.remember("folded", 0)
                self._fold_blocks(stop)
            archive.discard_damaged(self.path / "results.zarr")
            self._archive_checked = True
        except (archive.Damaged, OSError) as error:
            raise UserError(
                f"{self.path}/results.zarr could not be written ({error}): free space or check the "
                "disk and start the same command again; everything committed is safe in "
                "journal.sqlite"
            ) from error

    def _archive_is_whole(self) -> bool:
        from htinvert.store import archive

        folded = int(self._journal.meta("folded"))
        keys = self._journal.committed_keys(max(0, folded - BLOCK), folded)
        return archive.is_whole(self.path / "results.zarr", folded, keys, self._attributes)

    def _fold_blocks(self, stop: int) -> None:
        from htinvert.store import archive

        self._archive_checked = False  # until it came to a good end
        start = int(self._journal.meta("folded"))
        while start < stop:
            rows = self._block(start, stop)
            archive.fold(self.path / "results.zarr", start, rows, self._attributes)
            start += len(rows)
            self._journal.remember("folded", start)

    def _block(self, start: int, stop: int) -> list[Row]:
        rows, size = [], 0
        for row in self._journal.rows(start, min(stop, start + BLOCK), signals=True):
            rows.append(row)
            size += sum(signal.data.nbytes for signal in row.evaluation.signals.values())
            if size > BLOCK_BYTES:
                break
        return rows

    def verify(self) -> list[str]:
        """Check every row against its checksums and ``results.zarr`` against the journal.

        Returns:
            One sentence per problem, none if all is well; where this process is the writer,
            damage to ``results.zarr`` was repaired from the journal.
        """
        damage = self._journal.damage()
        if damage:
            return [damage]
        wrong = self._differences()
        if wrong and self._lock is not None:
            self._journal.remember("folded", 0)
            self._fold(self._committed)
        return wrong

    def _differences(self) -> list[str]:
        from htinvert.store import archive

        folded, start, wrong = int(self._journal.meta("folded")), 0, set[str]()
        try:
            while start < folded:
                rows = self._block(start, folded)
                wrong.update(archive.differences(self.path / "results.zarr", start, rows))
                start += len(rows)
        except archive.Damaged as damage:
            return [str(damage)]
        return [f"results.zarr/{path} differs from the journal" for path in sorted(wrong)]

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe that the run was made with."""
        found: dict[str, Any] = json.loads(self._journal.meta("recipe"))
        return found

    @property
    def run_id(self) -> str:
        """A name of this run that no other has."""
        return self._journal.meta("run_id")

    @property
    def next_index(self) -> int:
        """The lowest index above all proposed and refused ones."""
        return max(self._next, self._journal.next_index())

    def evaluations(self, start: int = 0, *, signals: bool = False) -> Iterator[Evaluation]:
        """Everything committed, ok and failed, in commit order from number ``start`` on.

        Signals are read only on request; ``evaluation`` reads those of one candidate.
        """
        return (row.evaluation for row in self._journal.rows(start, signals=signals))

    def evaluation(self, index: int) -> Evaluation:
        """The evaluation of the candidate ``index`` with the signals that were kept of it.

        Raises:
            UserError: it has none.
        """
        number = self._journal.number(index)
        if number is None:
            raise UserError(f"{self.path} has no result of candidate {index}; name one it has")
        return next(self._journal.rows(number, number + 1, signals=True)).evaluation

    def pending(self) -> list[Candidate]:
        """Candidates proposed but without a result, to be sent out again on resume, by index."""
        return self._journal.pending()

    def attempts(self, index: int) -> int:
        """How many tries of a candidate came to nothing, see :meth:`attempt`."""
        return self._journal.attempts(index)

    def known(self, key: bytes) -> bool:
        """Whether a structure of this key was proposed before."""
        return self._journal.known(key)

    def keys(self) -> set[bytes]:
        """All keys proposed (32 bytes each)."""
        return self._journal.keys()

    def counts(self) -> Counts:
        """How many candidates are ok, failed, pending and refused."""
        ok, failed, pending, refused = self._journal.tally()
        for which, count in self._refused.items():
            refused[which] = refused.get(which, 0) + count
        by_reason: dict[str, int] = {}
        for (_, reason), count in refused.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
        return Counts(ok, failed, pending, by_reason, refused)

    def table(self) -> dict[str, NDArray[Any]]:
        """Numbers of all evaluations as columns of equal length, in commit order, NaN if absent.

        Columns: index, operator, ok, energy [eV], converged, steps, seconds, attempts, time [s],
        error, ``objectives.<name>``, ``scores.<name>`` and ``parameters.<channel>.<name>``.
        ``pandas.DataFrame(run.table())`` is a data frame of it.
        """
        return tabulate(self._journal.results())


def _explained(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"{folder} could not be written ({error.strerror or error}): free space on its file system "
        "or make it writable for you, and start the same command again"
    )
