"""Bring a run of an older format to this one: a new run is written, verified, and put in its place.

Format 1 kept every row in ``journal.sqlite``, its structures as raw arrays, and signals as float32.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Axis, Candidate, Signal, UserError
from htinvert.store.links import require_no_links
from htinvert.store.lock import is_owned
from htinvert.store.record import Geometry, Row
from htinvert.store.result import unpack_result
from htinvert.store.salvage import swap, write_run
from htinvert.store.source import Observer
from htinvert.store.tables import SCHEMA
from htinvert.store.trouble import Damaged, Held
from htinvert.store.verify import inspect

_HEAD = struct.Struct("<IB9d")
_FIELDS = (("<u2", 1), ("<i8", 1), ("u1", 1), ("<f8", 3))  # number, tag, motion, position
_ROWS = (
    "SELECT p.idx, p.key, p.operator, p.parents, p.crc, p.structure, r.seq, r.attempts, r.time,"
    " r.crc, r.result, r.relaxed FROM results r JOIN proposals p ON p.idx = r.idx"
    " WHERE r.seq > ? ORDER BY r.seq LIMIT 1024"
)


def migrate(path: str | Path, *, observer: Observer) -> Path | None:
    """Bring a run to the present format; returns where the old one is kept, None if it was new.

    Raises:
        UserError: there is no run, it is damaged, or of a format that is not known.
    """
    folder = Path(path).absolute()
    require_no_links(folder)
    if not (folder / "journal.sqlite").is_file():
        raise UserError(f"{path} is not a run (it has no journal.sqlite); name a run's folder")
    found = _schema(folder)
    if found == SCHEMA:
        return None
    if owner := is_owned(folder):
        raise Held(f"run {path} is held by {owner}; wait for it or stop it")
    if found != 1:
        raise UserError(f"{path} is of run format {found}, which is not known; update htinvert")
    new = folder.with_name(folder.name + ".migrating")
    shutil.rmtree(new, ignore_errors=True)
    with _first_format(folder) as source:
        write_run(source, new, observer)
    problems = inspect(new, full=True).problems
    if problems:
        raise Damaged(f"{new} is not what was written: {problems[0]}; {path} is as it was")
    aside = folder.with_name(f"{folder.name}.format{found}")
    swap(folder, new, aside)
    return aside


def _schema(folder: Path) -> int:
    try:
        with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
            query = "SELECT value FROM meta WHERE name = 'schema'"
            return int(connection.execute(query).fetchone()[0])
    except (sqlite3.Error, TypeError) as error:
        raise UserError(f"{folder}/journal.sqlite cannot be read ({error})") from error


@contextmanager
def _first_format(folder: Path) -> Iterator[First]:
    with closing(sqlite3.connect(folder / "journal.sqlite")) as connection:
        yield First(folder, connection)


class First:
    """A run of format 1."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection
        meta = dict(connection.execute("SELECT name, value FROM meta"))
        self.recipe: dict[str, Any] = json.loads(meta["recipe"])
        refused = connection.execute("SELECT operator, reason, count FROM refused")
        self.words: dict[str, Any] = {
            "run_id": meta["run_id"],
            "next_index": meta["next_index"],
            "attempts": list(connection.execute("SELECT idx, reason FROM attempts")),
            "refused": {(operator, reason): count for operator, reason, count in refused},
        }

    def rows(self, observer: Observer) -> Iterator[Row]:
        """All its rows, in commit order."""
        (total,) = self._connection.execute("SELECT count(*) FROM results").fetchone()
        seq = 0
        while page := self._connection.execute(_ROWS, (seq,)).fetchall():
            for line in page:
                seq = line[6]
                yield self._row(line)
            observer(seq, total)

    def _row(self, line: tuple[Any, ...]) -> Row:
        seq, attempts, time, crc, result, relaxed = line[6:]
        self._require(crc == _crc(result, relaxed or b""), f"result {seq - 1}")
        candidate = self._candidate(*line[:6])
        atoms = None if relaxed is None else _structure(relaxed)
        evaluation = unpack_result(result, candidate, atoms, self._signals(seq))
        return Row(line[1], evaluation, attempts, time)

    def _signals(self, seq: int) -> dict[str, Signal]:
        query = "SELECT channel, layout, crc, data FROM signals WHERE seq = ?"
        found = {}
        for channel, layout, crc, data in self._connection.execute(query, (seq,)):
            self._require(crc == _crc(layout, data), f"signal {channel} of result {seq - 1}")
            described = json.loads(layout)
            pixels = np.frombuffer(data, "<f4").reshape(described["shape"])
            found[channel] = Signal(pixels, tuple(Axis(*axis) for axis in described["axes"]))
        return found

    def pending(self) -> list[tuple[Candidate, bytes]]:
        """Proposals without a result, with their keys."""
        query = (
            "SELECT idx, key, operator, parents, crc, structure FROM proposals"
            " WHERE idx NOT IN (SELECT idx FROM results) ORDER BY idx"
        )
        lines = self._connection.execute(query).fetchall()
        return [(self._candidate(*line), line[1]) for line in lines]

    def _candidate(
        self, index: int, key: bytes, operator: str, parents: str, crc: int, structure: bytes
    ) -> Candidate:
        self._require(crc == _crc(key, operator, parents, structure), f"proposal {index}")
        return Candidate(index, _structure(structure), operator, tuple(json.loads(parents)))

    def _require(self, sound: bool, what: str) -> None:
        if not sound:
            raise Damaged(f"{self.folder}/journal.sqlite: {what} is damaged; it was left as it is")


def _structure(raw: bytes) -> Atoms:
    count, bits, *cell = _HEAD.unpack_from(raw)
    offset, fields = _HEAD.size, []
    for dtype, width in _FIELDS:
        fields.append(np.frombuffer(raw, dtype, count * width, offset))
        offset += fields[-1].nbytes
    pbc = np.array([bool(bits >> axis & 1) for axis in range(3)])
    number, tag, motion, position = fields
    return Geometry(
        np.reshape(cell, (3, 3)), pbc, number, tag, motion, position.reshape(-1, 3)
    ).atoms()


def _crc(*parts: str | bytes) -> int:
    value = 0
    for part in parts:
        value = zlib.crc32(part.encode() if isinstance(part, str) else part, value)
    return value
