"""The intake of a run: proposals and results in one SQLite file, durable when a call returns.

Journal mode TRUNCATE with ``synchronous=FULL``: unlike WAL it needs no shared memory, so it is
right on network file systems that honor POSIX locks; the truncated rollback journal is itself
synced, so that a commit survives a power cut (https://sqlite.org/pragma.html#pragma_journal_mode).
Every row carries a CRC-32 of its bytes, for SQLite itself checks none.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from htinvert.core import Candidate, Evaluation, Signal, UserError
from htinvert.store.record import (
    Row,
    pack_result,
    pack_signal,
    pack_structure,
    require_storable,
    unpack_result,
    unpack_signal,
    unpack_structure,
)

SCHEMA = 1
PAGE_BYTES = 16384  # rows are some kB long: in SQLite's usual 4096 half of a page would be empty
PAGE = 1024  # rows per query: a reader must not hold the file's lock while its caller works

_TABLES = """
CREATE TABLE proposals (idx INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, operator TEXT NOT NULL,
    parents TEXT NOT NULL, crc INTEGER NOT NULL, structure BLOB NOT NULL);
CREATE TABLE results (seq INTEGER PRIMARY KEY, idx INTEGER NOT NULL UNIQUE REFERENCES proposals,
    ok INTEGER NOT NULL, attempts INTEGER NOT NULL, time REAL NOT NULL, crc INTEGER NOT NULL,
    result TEXT NOT NULL, relaxed BLOB);
CREATE INDEX results_ok ON results (ok);
CREATE TABLE signals (seq INTEGER NOT NULL, channel TEXT NOT NULL, layout TEXT NOT NULL,
    crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (seq, channel));
CREATE TABLE attempts (idx INTEGER NOT NULL, time REAL NOT NULL, reason TEXT NOT NULL);
CREATE INDEX attempts_idx ON attempts (idx);
CREATE TABLE refused (operator TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (operator, reason));
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_ADVICE = {
    "FULL": "free space on its file system and start the same command again",
    "IOERR": "check the disk and the quota and start the same command again",
    "BUSY": "another program holds it for over 30 s; end that program and start again",
    "READONLY": "make the file and its folder writable for you and start again",
    "CANTOPEN": "make the file and its folder writable for you and start again",
    "CORRUPT": "copy the folder back from a backup; results.zarr holds all that was folded",
    "NOTADB": "copy the folder back from a backup; results.zarr holds all that was folded",
}


class Journal:
    """The SQLite file of a run; a writable one is created where it is missing.

    Raises:
        UserError: the file is missing, damaged, or of a newer format.
    """

    def __init__(self, path: Path, *, writable: bool, recipe: Mapping[str, Any] | None = None):
        self.path = path
        mode = "rwc" if writable else "rw"  # a reader may have to roll back after a crash
        with self._explained():
            self.connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}",
                uri=True,
                timeout=30,
                isolation_level=None,
            )
        try:
            self._prepare(writable, recipe)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, writable: bool, recipe: Mapping[str, Any] | None) -> None:
        with self._explained():
            if writable:
                self.connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # heeded in a new file
                self.connection.execute("PRAGMA journal_mode=TRUNCATE")
                self.connection.execute("PRAGMA synchronous=FULL")
                self.connection.execute("PRAGMA foreign_keys=ON")
            else:
                self.connection.execute("PRAGMA query_only=ON")
            empty = not self._all("SELECT 1 FROM sqlite_master WHERE name = 'meta'")
        if empty and not writable:
            raise UserError(f"{self.path.parent} is not a run yet; wait for its first proposals")
        if empty:
            self._create(recipe or {})
        schema = int(self.meta("schema", "0"))
        if schema > SCHEMA:
            raise UserError(
                f"{self.path.parent} was written in run format {schema} and this htinvert knows "
                f"format {SCHEMA}; update htinvert"
            )

    def _create(self, recipe: Mapping[str, Any]) -> None:
        meta = {
            "schema": str(SCHEMA),
            "run_id": str(uuid4()),
            "created": str(time.time()),
            "recipe": json.dumps(recipe, sort_keys=True),
            "folded": "0",
            "next_index": "0",
        }
        with self.transaction():
            for statement in filter(str.strip, _TABLES.split(";")):
                self.connection.execute(statement)
            self.connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn an SQLite error into a UserError that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").split("_")[0]
            advice = _ADVICE.get(code, "start the same command again")
            raise UserError(
                f"{self.path} could not be used ({error}): {advice}; "
                "everything committed before is kept"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block is durable when it ends, or none of it is."""
        with self._explained():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield
                self.connection.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self.connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.IntegrityError):
                    raise ValueError(f"{self.path}: {error}") from error
                raise

    def _all(self, query: str, *values: object) -> list[Any]:
        with self._explained(), closing(self.connection.execute(query, values)) as cursor:
            return cursor.fetchall()

    def meta(self, name: str, default: str = "") -> str:
        """A word of the run's own: schema, run_id, created, recipe (JSON), folded, next_index."""
        found = self._all("SELECT value FROM meta WHERE name = ?", name)
        return str(found[0][0]) if found else default

    def remember(self, name: str, value: object) -> None:
        """Set a :meth:`meta` entry; inside a transaction it is durable with it, else at once."""
        with self._explained():
            self.connection.execute("UPDATE meta SET value = ? WHERE name = ?", (str(value), name))

    def require_recipe(self, given: Mapping[str, Any]) -> None:
        """Raise a UserError that names the fields in which a recipe is not the run's own."""
        old, new = _flat(json.loads(self.meta("recipe"))), _flat(json.loads(json.dumps(given)))
        absent = "absent"
        changed = [
            f"{name} is {json.dumps(new[name]) if name in new else absent} but was "
            f"{json.dumps(old[name]) if name in old else absent}"
            for name in sorted(old.keys() | new.keys())
            if json.dumps(old.get(name, absent)) != json.dumps(new.get(name, absent))
            or (name in old) != (name in new)
        ]
        if changed:
            more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
            raise UserError(
                f"run {self.path.parent} was made with another recipe: "
                f"{', '.join(changed[:5])}{more}; "
                "restore what differs or name a new folder for the run"
            )

    def propose(self, candidates: Iterable[tuple[Candidate, bytes]]) -> None:
        """Insert proposals (inside a transaction); the same index with the same key is ignored."""
        for candidate, key in candidates:
            held = self._all("SELECT key FROM proposals WHERE idx = ?", candidate.index)
            if held and held[0][0] == key:
                continue
            structure = pack_structure(candidate.atoms)
            parents = json.dumps([int(parent) for parent in candidate.parents])
            crc = _crc(key, candidate.operator, parents, structure)
            row = (candidate.index, key, candidate.operator, parents, crc, structure)
            self.connection.execute("INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?)", row)

    def refuse(self, counted: Mapping[tuple[str, str], int]) -> None:
        """Add to the counts of refusals per (operator, reason), inside a transaction."""
        self.connection.executemany(
            "INSERT INTO refused VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            [(*which, count) for which, count in counted.items()],
        )

    def attempt(self, index: int, reason: str) -> None:
        """Note a try that came to nothing and will be repeated, inside a transaction."""
        row = (index, time.time(), reason)
        self.connection.execute("INSERT INTO attempts VALUES (?, ?, ?)", row)

    def attempts(self, index: int) -> int:
        """How many tries of a candidate came to nothing."""
        return int(self._all("SELECT count(*) FROM attempts WHERE idx = ?", index)[0][0])

    def commit(self, evaluations: Iterable[Evaluation]) -> None:
        """Insert results (inside a transaction); one that is there already is ignored."""
        for evaluation in evaluations:
            index, now = evaluation.candidate.index, time.time()
            result, relaxed = pack_result(evaluation), None
            if evaluation.relaxation is not None:
                require_storable(evaluation.relaxation.atoms)
                relaxed = pack_structure(evaluation.relaxation.atoms)
            tries = self.attempts(index) + 1
            row = (index, evaluation.ok, tries, now, _crc(result, relaxed or b""), result, relaxed)
            cursor = self.connection.execute(
                "INSERT INTO results VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (idx) DO NOTHING",
                row,
            )
            if cursor.rowcount == 1:
                self._keep_signals(cursor.lastrowid or 0, evaluation.signals)

    def _keep_signals(self, seq: int, signals: Mapping[str, Signal]) -> None:
        for channel, signal in signals.items():
            layout, data = pack_signal(signal)
            row = (seq, channel, layout, _crc(layout, data), data)
            self.connection.execute("INSERT INTO signals VALUES (?, ?, ?, ?, ?)", row)

    def rows(
        self, start: int = 0, stop: int | None = None, *, signals: bool = False
    ) -> Iterator[Row]:
        """Committed rows ``start <= number < stop``, in commit order, a page of 1024 at a time.

        Raises:
            UserError: a row's bytes are not those that were written.
        """
        while stop is None or start < stop:
            page = self._page(start, PAGE if stop is None else min(PAGE, stop - start))
            if not page:
                return
            for number, *columns in page:
                yield self._row(number, columns, self.signals(number) if signals else {})
            start = page[-1][0] + 1

    def _page(self, start: int, count: int) -> list[Any]:
        return self._all(
            "SELECT r.seq - 1, p.idx, p.key, p.operator, p.parents, p.crc, p.structure, r.attempts,"
            " r.time, r.crc, r.result, r.relaxed FROM results r JOIN proposals p ON p.idx = r.idx"
            " WHERE r.seq > ? ORDER BY r.seq LIMIT ?",
            start,
            count,
        )

    def _row(self, number: int, columns: list[Any], signals: Mapping[str, Signal]) -> Row:
        attempts, time_, crc, result, relaxed = columns[6:]
        self._require(crc == _crc(result, relaxed or b""), f"result {number}")
        atoms = None if relaxed is None else unpack_structure(relaxed)
        candidate = self._candidate(*columns[:6])
        return Row(columns[1], unpack_result(result, candidate, atoms, signals), attempts, time_)

    def _candidate(
        self, index: int, key: bytes, operator: str, parents: str, crc: int, structure: bytes
    ) -> Candidate:
        self._require(crc == _crc(key, operator, parents, structure), f"proposal {index}")
        return Candidate(index, unpack_structure(structure), operator, tuple(json.loads(parents)))

    def _require(self, sound: bool, what: str) -> None:
        if not sound:
            raise UserError(f"{self.path}: {what} is damaged; copy the folder back from a backup")

    def signals(self, number: int) -> dict[str, Signal]:
        """The signals kept of a committed row, by channel."""
        query = "SELECT channel, layout, crc, data FROM signals WHERE seq = ? ORDER BY channel"
        found = {}
        for channel, layout, crc, data in self._all(query, number + 1):
            self._require(crc == _crc(layout, data), f"signal {channel} of result {number}")
            found[channel] = unpack_signal(layout, data)
        return found

    def rows_with_signals(self, start: int, stop: int) -> list[int]:
        """Numbers of the rows from start to stop of which a signal is kept."""
        query = "SELECT DISTINCT seq - 1 FROM signals WHERE seq > ? AND seq <= ? ORDER BY seq"
        return [row[0] for row in self._all(query, start, stop)]

    def pending(self) -> list[Candidate]:
        """Proposals without a result, by index."""
        query = (
            "SELECT idx, key, operator, parents, crc, structure FROM proposals WHERE idx IN"
            " (SELECT idx FROM proposals EXCEPT SELECT idx FROM results) ORDER BY idx"
        )
        return [self._candidate(*row) for row in self._all(query)]

    def number(self, index: int) -> int | None:
        """The row a candidate was committed as, or None where it has no result."""
        found = self._all("SELECT seq - 1 FROM results WHERE idx = ?", index)
        return found[0][0] if found else None

    def results(self) -> Iterator[tuple[int, str, int, float, str]]:
        """(index, operator, attempts, time [s], result as JSON) of each row, without structures."""
        start = 0
        while True:
            page = self._all(
                "SELECT r.seq, r.idx, p.operator, r.attempts, r.time, r.result FROM results r"
                " JOIN proposals p ON p.idx = r.idx WHERE r.seq > ? ORDER BY r.seq LIMIT ?",
                start,
                PAGE,
            )
            if not page:
                return
            yield from (tuple(row[1:]) for row in page)
            start = page[-1][0]

    def known(self, key: bytes) -> bool:
        """Whether a key was proposed."""
        return bool(self._all("SELECT 1 FROM proposals WHERE key = ?", key))

    def keys(self) -> set[bytes]:
        """All keys proposed, 32 bytes each."""
        return {row[0] for row in self._all("SELECT key FROM proposals")}

    def committed_keys(self, start: int, stop: int) -> bytes:
        """Keys of rows start to stop, 32 bytes each, one after another."""
        query = (
            "SELECT p.key FROM results r JOIN proposals p ON p.idx = r.idx"
            " WHERE r.seq > ? AND r.seq <= ? ORDER BY r.seq"
        )
        return b"".join(row[0] for row in self._all(query, start, stop))

    def committed(self) -> int:
        """How many rows are committed."""
        return int(self._all("SELECT coalesce(max(seq), 0) FROM results")[0][0])

    def tally(self) -> tuple[int, int, int, dict[tuple[str, str], int]]:
        """Numbers of ok, failed and pending candidates, and refusals per (operator, reason)."""
        by_ok = dict(self._all("SELECT ok, count(*) FROM results GROUP BY ok"))
        proposed = self._all("SELECT count(*) FROM proposals")[0][0]
        refused = {
            (o, r): n for o, r, n in self._all("SELECT operator, reason, count FROM refused")
        }
        ok, failed = by_ok.get(1, 0), by_ok.get(0, 0)
        return ok, failed, proposed - ok - failed, refused

    def next_index(self) -> int:
        """One more than the highest index proposed or durably refused."""
        proposed = self._all("SELECT coalesce(max(idx) + 1, 0) FROM proposals")[0][0]
        return max(int(self.meta("next_index")), int(proposed))

    def damage(self) -> str:
        """What is wrong with the file after reading all of it, empty if nothing is."""
        try:
            found = str(self._all("PRAGMA integrity_check(1)")[0][0])
            self._require(found == "ok", found)
            for _ in self.rows(signals=True):
                pass
            self.pending()
        except UserError as error:
            return str(error)
        return ""


def _crc(*parts: str | bytes) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part.encode() if isinstance(part, str) else part, value)
    return value


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Leaves of nested mappings and lists by dotted path."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [_flat(entry, f"{prefix}.{name}" if prefix else str(name)) for name, entry in items]
        return {path: leaf for part in parts for path, leaf in part.items()}
    return {prefix: value}
