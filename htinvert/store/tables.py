"""The tables of the journal, and the checksum of their rows."""

from __future__ import annotations

import struct
import zlib

SCHEMA = 2

TABLES = """
CREATE TABLE keys (idx INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, seq INTEGER);
CREATE INDEX keys_pending ON keys (idx) WHERE seq IS NULL;
CREATE TABLE proposals (idx INTEGER PRIMARY KEY, operator TEXT NOT NULL, parents TEXT NOT NULL,
    crc INTEGER NOT NULL, structure BLOB NOT NULL);
CREATE TABLE results (seq INTEGER PRIMARY KEY, idx INTEGER NOT NULL, attempts INTEGER NOT NULL,
    time REAL NOT NULL, crc INTEGER NOT NULL, result TEXT NOT NULL, relaxed BLOB);
CREATE TABLE signals (seq INTEGER NOT NULL, channel TEXT NOT NULL, layout TEXT NOT NULL,
    crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (seq, channel));
CREATE TABLE attempts (idx INTEGER NOT NULL, time REAL NOT NULL, reason TEXT NOT NULL,
    crc INTEGER NOT NULL);
CREATE INDEX attempts_idx ON attempts (idx);
CREATE TABLE refused (operator TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (operator, reason));
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL);
"""

ROWS = (
    "SELECT r.seq - 1, p.idx, k.key, p.operator, p.parents, p.structure, r.attempts, r.time,"
    " r.result, r.relaxed, p.crc, r.crc"
    " FROM results r JOIN proposals p ON p.idx = r.idx JOIN keys k ON k.idx = r.idx"
)
PROPOSALS = (
    "SELECT k.idx, k.key, p.operator, p.parents, p.crc, p.structure FROM keys k"
    " LEFT JOIN proposals p ON p.idx = k.idx"
)


def crc_of(*parts: str | bytes | float) -> int:
    """CRC-32 of the fields of a row; floats count by their bits."""
    value = 0
    for part in parts:
        if isinstance(part, bytes):
            raw = part
        else:
            raw = struct.pack("<d", part) if isinstance(part, float) else f"{part}|".encode()
        value = zlib.crc32(raw, value)
    return value
