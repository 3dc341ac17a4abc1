"""The intake of a run: proposals and results in one SQLite file, durable when a call returns.

Journal mode TRUNCATE with ``synchronous=FULL`` on every file system. WAL would save a sync or two,
but needs shared memory, which network file systems lack, and on any of them a flipped bit in the
log makes SQLite drop all later commits without a word (https://sqlite.org/fileformat2.html,
section 4.4). Every row carries a CRC-32 of its bytes, for SQLite itself checks none.

Rows that are sealed in the archive are dropped, a few with each commit; their keys stay.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any
from uuid import uuid4

from htinvert.core import Candidate, Evaluation, UserError
from htinvert.store.patient import READER, connect, renewed
from htinvert.store.record import (
    PackedSignal,
    Row,
    Stored,
    pack_relaxed,
    pack_signal,
    pack_structure,
    unpack_pixels,
    unpack_structure,
)
from htinvert.store.result import clean_label, clean_reason, pack_result
from htinvert.store.sqlite_errors import is_broken, meaning, require_rolled_back
from htinvert.store.tables import PROPOSALS as _PROPOSALS
from htinvert.store.tables import ROWS as _ROWS
from htinvert.store.tables import SCHEMA, TABLES, crc_of
from htinvert.store.trouble import Damaged, Fenced, NotBegun

PAGE = 1024  # rows per query: a reader must not hold the file's lock while its caller works
DROPPED_AT_LEAST = 64  # rows dropped with a commit, where as many may go


class Journal:
    """The SQLite file of a run; a writable one is created where it is missing.

    Args:
        path: the file.
        writable: whether to change it.
        recipe: what a new one is made with.
        locks: whether the file system has POSIX locks; without, a lock file is used.
        patience: how long to wait for another program that holds it [s].
        guard: called in every transaction; raises where this driver may write no more.
        fresh: called before a new one is made; raises where there was one before.

    Raises:
        NotBegun: there is nothing in it, and it is to be read.
        UserError: the file is missing, damaged, or of another format.
    """

    def __init__(
        self,
        path: Path,
        *,
        writable: bool,
        recipe: Mapping[str, Any] | None = None,
        locks: bool = True,
        patience: float = READER,
        guard: Callable[[], None] = lambda: None,
        fresh: Callable[[], None] = lambda: None,
    ):
        self.path = path
        self.epoch: str | None = None
        self._guard, self._fresh = guard, fresh
        if writable and not path.exists():
            fresh()
        mode = "rwc" if writable else "rw"  # a reader may have to roll back after a crash
        with self._explained():
            uri = f"{path.absolute().as_uri()}?mode={mode}" + ("" if locks else "&vfs=unix-dotfile")
            self._connect = partial(connect, uri, writable=writable)
            self.connection = self._connect(patience=patience)
        try:
            self._prepare(writable, recipe)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, writable: bool, recipe: Mapping[str, Any] | None) -> None:
        with self._explained():
            empty = not self._all("SELECT 1 FROM sqlite_master")
        if empty and not writable:
            raise NotBegun(f"{self.path.parent} is not a run yet; wait for its first proposals")
        if empty:
            self._fresh()
            self._create(recipe or {})
        with self._explained():
            (schema,) = self._all("SELECT value FROM meta WHERE name = 'schema'") or [("0",)]
        if schema[0] == "1":
            raise UserError(
                f"{self.path.parent} was written in run format 1; bring it to format {SCHEMA} "
                f"with: htinvert migrate {self.path.parent}"
            )
        if schema[0] != str(SCHEMA):
            written = f"{self.path.parent} was written in run format {schema[0]}"
            raise UserError(f"{written} and this htinvert knows {SCHEMA}; update htinvert")

    def _create(self, recipe: Mapping[str, Any]) -> None:
        meta = {
            "schema": str(SCHEMA),
            "run_id": str(uuid4()),
            "created": str(time.time()),
            "recipe": json.dumps(recipe, sort_keys=True),
            **dict.fromkeys(("next_index", "committed", "ok", "dropped", "marks"), "0"),
        }
        with self.transaction():
            for statement in filter(str.strip, TABLES.split(";")):
                self.connection.execute(statement)
            for name, value in meta.items():
                self.remember(name, value)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an SQLite error into a UserError that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise meaning(self.path, error, within=self._within()) from error

    def _within(self) -> bool:
        """Whether a transaction of this program goes on."""
        return hasattr(self, "connection") and self.connection.in_transaction

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block is durable when it ends, or none of it is.

        Raises:
            Fenced: another driver has taken the run over.
        """
        with self._explained():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                require_rolled_back(self.path)
                self._guard()
                if self.epoch is not None and self.meta("epoch") != self.epoch:
                    raise Fenced(f"run {self.path.parent} was taken over; stop this driver")
                yield
                self.connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise ValueError(f"{self.path}: {error}") from error
                raise

    def _all(self, query: str, *values: object) -> list[Any]:
        """All rows; where they seem damaged, once more from the file and not from what is kept.

        A disk that failed for a moment leaves pages in a connection that the file does not hold.
        """
        with self._explained():
            try:
                return self.connection.rows(query, values)
            except sqlite3.DatabaseError as error:
                if self._within() or not is_broken(error):
                    raise
                self.connection = renewed(self.connection, self._connect)
                return self.connection.rows(query, values)

    def meta(self, name: str, default: str | None = None) -> str:
        """A word of the run's own: schema, run_id, recipe (JSON), committed, dropped, epoch, ...

        Raises:
            Damaged: it is not what was written, or lost and there is no default.
        """
        found = self._all("SELECT value, crc FROM meta WHERE name = ?", name)
        for value, crc in found:
            self._require(crc == crc_of(name, value), f"entry {name}")
        self._require(bool(found) or default is not None, f"entry {name}")
        return str(found[0][0] if found else default)

    def remember(self, name: str, value: object) -> None:
        """Set a :meth:`meta` entry; inside a transaction it is durable with it, else at once."""
        row = (name, str(value), crc_of(name, str(value)))
        with self._explained():
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", row)

    def propose(self, candidates: Iterable[tuple[Candidate, bytes]]) -> None:
        """Insert proposals (inside a transaction); the same index with the same key is ignored."""
        for candidate, key in candidates:
            held = self._all("SELECT key FROM keys WHERE idx = ?", candidate.index)
            if held and held[0][0] == key:
                continue
            structure = pack_structure(candidate.atoms)
            parents = json.dumps([int(parent) for parent in candidate.parents])
            index, operator = candidate.index, clean_label(candidate.operator)
            crc = crc_of(index, key, operator, parents, structure)
            self.connection.execute("INSERT INTO keys VALUES (?, ?, NULL)", (index, key))
            row = (index, operator, parents, crc, structure)
            self.connection.execute("INSERT INTO proposals VALUES (?, ?, ?, ?, ?)", row)

    def refuse(self, counted: Mapping[tuple[str, str], int]) -> None:
        """Add to the counts of refusals per (operator, reason), inside a transaction."""
        held = self.refused() if counted else {}
        for words, count in counted.items():
            operator, reason = map(clean_label, words)
            total = held.get((operator, reason), 0) + count
            row = (operator, reason, total, crc_of(operator, reason, total))
            self.connection.execute("INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)", row)

    def attempt(self, index: int, reason: str) -> None:
        """Note a try that came to nothing and will be repeated, inside a transaction."""
        now, why = time.time(), clean_reason(reason)
        row = (index, now, why, crc_of(index, now, why))
        self.connection.execute("INSERT INTO attempts VALUES (?, ?, ?, ?)", row)

    def attempts(self, index: int) -> int:
        """How many tries of a candidate came to nothing."""
        found = self._all("SELECT time, reason, crc FROM attempts WHERE idx = ?", index)
        for moment, reason, crc in found:
            self._require(crc == crc_of(index, moment, reason), f"an attempt of candidate {index}")
        return len(found)

    def commit(self, evaluations: Iterable[Evaluation]) -> None:
        """Insert results (inside a transaction); one that is there already is ignored.

        Raises:
            ValueError: a candidate was never proposed.
        """
        seq, ok = int(self.meta("committed")), int(self.meta("ok"))
        before = seq
        for evaluation in evaluations:
            index = evaluation.candidate.index
            change = "UPDATE keys SET seq = ? WHERE idx = ? AND seq IS NULL"
            if self.connection.execute(change, (seq + 1, index)).rowcount == 0:
                if not self._all("SELECT 1 FROM keys WHERE idx = ?", index):
                    raise ValueError(f"candidate {index} was never proposed; propose it first")
                continue
            seq, ok = seq + 1, ok + evaluation.ok
            self._insert(seq, self.attempts(index) + 1, time.time(), evaluation)
        self.remember("committed", seq)
        self.remember("ok", ok)
        self._drop(max(DROPPED_AT_LEAST, 2 * (seq - before)))

    def adopt(self, rows: Iterable[Row]) -> None:
        """Insert proposals and results of another run as they are, inside a transaction."""
        seq, ok = int(self.meta("committed")), int(self.meta("ok"))
        for row in rows:
            evaluation = row.evaluation
            index = evaluation.candidate.index
            self.propose([(evaluation.candidate, row.key)])
            seq, ok = seq + 1, ok + evaluation.ok
            self.connection.execute("UPDATE keys SET seq = ? WHERE idx = ?", (seq, index))
            self._insert(seq, row.attempts, row.time, evaluation)
        self.remember("committed", seq)
        self.remember("ok", ok)
        self._drop(2 * PAGE)

    def _insert(self, seq: int, tries: int, moment: float, evaluation: Evaluation) -> None:
        index, relaxed = evaluation.candidate.index, None
        result = pack_result(evaluation)
        if evaluation.relaxation is not None:
            relaxed = pack_relaxed(evaluation.relaxation.atoms, evaluation.candidate.atoms)
        crc = crc_of(seq, index, tries, moment, result, relaxed or b"")
        row = (seq, index, tries, moment, crc, result, relaxed)
        self.connection.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        for channel, signal in evaluation.signals.items():
            layout, data = pack_signal(signal, evaluation.exact.get(channel, ""))
            kept = (seq, channel, layout, crc_of(seq, channel, layout, data), data)
            self.connection.execute("INSERT INTO signals VALUES (?, ?, ?, ?, ?)", kept)

    def allow_dropping(self, rows: int) -> None:
        """Let the first so many rows go, as far as they have not gone; a few with each commit."""
        self.remember("droppable", rows)

    def _drop(self, most: int) -> None:
        dropped = int(self.meta("dropped"))
        span = (dropped, stop := min(int(self.meta("droppable", "0")), dropped + most))
        if stop <= dropped:
            return
        self.connection.execute(
            "DELETE FROM proposals WHERE idx IN"
            " (SELECT idx FROM results WHERE seq > ? AND seq <= ?)",
            span,
        )
        for table in ("results", "signals"):
            query = f"DELETE FROM {table} WHERE seq > ? AND seq <= ?"  # noqa: S608
            self.connection.execute(query, span)
        self.remember("dropped", stop)

    def page(self, start: int, stop: int | None = None) -> list[Stored]:
        """Up to 1024 committed rows from number ``start`` on, in commit order.

        Where the first is not number ``start``, the rows before it were dropped.

        Raises:
            Damaged: a row's bytes are not those that were written.
        """
        count = PAGE if stop is None else min(PAGE, stop - start)
        found: list[Stored] = []
        for line in self._all(f"{_ROWS} WHERE r.seq > ? ORDER BY r.seq LIMIT ?", start, count):
            row = Stored(*line[:10])
            self._check_proposal(row.index, row.key, row.operator, row.parents, line[10], line[5])
            crc = crc_of(
                row.number + 1, row.index, row.attempts, row.time, row.result, row.relaxed or b""
            )
            self._require(crc == line[11], f"result {row.number}")
            follows = not found or row.number == found[-1].number + 1
            self._require(follows, f"result {row.number - 1}")  # or its key or proposal is lost
            found.append(row)
        return found

    def _check_proposal(
        self, index: int, key: bytes, operator: str, parents: str, crc: int, structure: bytes
    ) -> None:
        good = crc == crc_of(index, key, operator, parents, structure)
        self._require(good, f"proposal {index}")

    def _require(self, sound: bool, what: str) -> None:
        if not sound:
            run = quote(str(self.path.parent))
            raise Damaged(f"{self.path}: {what} is damaged; see htinvert verify --repair {run}")

    def pixels(self, number: int) -> dict[str, PackedSignal]:
        """The signals kept of a committed row, by channel."""
        query = "SELECT channel, layout, crc, data FROM signals WHERE seq = ? ORDER BY channel"
        found = {}
        for channel, layout, crc, data in self._all(query, number + 1):
            good = crc == crc_of(number + 1, channel, layout, data)
            self._require(good, f"signal {channel} of result {number}")
            found[channel] = unpack_pixels(layout, data)
        return found

    def rows_with_signals(self, start: int, stop: int) -> list[int]:
        """Numbers of the rows from start to stop of which a signal is kept."""
        query = "SELECT DISTINCT seq - 1 FROM signals WHERE seq > ? AND seq <= ? ORDER BY seq"
        return [row[0] for row in self._all(query, start, stop)]

    def pending(self) -> list[Candidate]:
        """Proposals without a result, by index."""
        return self._proposals("k.seq IS NULL ORDER BY k.idx")

    def proposal(self, index: int) -> Candidate | None:
        """A proposal that has not gone to the archive, by its index."""
        return next(iter(self._proposals("k.idx = ?", index)), None)

    def _proposals(self, where: str, *values: object) -> list[Candidate]:
        found = []
        for row in self._all(f"{_PROPOSALS} WHERE {where}", *values):
            self._require(row[5] is not None, f"proposal {row[0]}")
            found.append(self.candidate(*row))
        return found

    def candidate(
        self, index: int, key: bytes, operator: str, parents: str, crc: int, structure: bytes
    ) -> Candidate:
        """A proposal from its fields, checked."""
        self._check_proposal(index, key, operator, parents, crc, structure)
        atoms = unpack_structure(structure)
        return Candidate(index, atoms, operator, tuple(json.loads(parents)))

    def number(self, index: int) -> int | None:
        """The row a candidate was committed as, or None where it has no result."""
        found = self._all("SELECT seq - 1 FROM keys WHERE idx = ? AND seq IS NOT NULL", index)
        return int(found[0][0]) if found else None

    def known(self, key: bytes) -> bool:
        """Whether a key was proposed."""
        return bool(self._all("SELECT 1 FROM keys WHERE key = ?", key))

    def keys(self) -> set[bytes]:
        """All keys proposed, 32 bytes each."""
        return {row[0] for row in self._all("SELECT key FROM keys")}

    def committed(self) -> int:
        """How many rows are committed."""
        return int(self.meta("committed"))

    def tally(self) -> tuple[int, int, int]:
        """Numbers of ok, failed and pending candidates."""
        committed, ok = self.committed(), int(self.meta("ok"))
        pending = self._all("SELECT count(*) FROM keys WHERE seq IS NULL")[0][0]
        return ok, committed - ok, int(pending)

    def refused(self) -> dict[tuple[str, str], int]:
        """Refusals per (operator, reason)."""
        found = {}
        for operator, reason, count, crc in self._all("SELECT * FROM refused"):
            self._require(crc == crc_of(operator, reason, count), "a count of refusals")
            found[operator, reason] = count
        return found

    def next_index(self) -> int:
        """One more than the highest index proposed or durably refused."""
        proposed = self._all("SELECT coalesce(max(idx) + 1, 0) FROM keys")[0][0]
        return max(int(self.meta("next_index")), int(proposed))
