"""What a driver knew after some results, so that the next one need not be told of these again.

``checkpoint.rows`` has a record of fixed size per result and only grows. ``checkpoint.json`` holds
the rest and says which part of the other it goes with; it is replaced as a whole. Both follow from
the results: where one is lost or damaged there is no checkpoint, and nothing else is missing.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from ase import Atoms

from htinvert.store.archive import write_durably
from htinvert.store.record import pack_structure, unpack_structure

ROWS, STATE = "checkpoint.rows", "checkpoint.json"
LEAST = 64  # results that are worth a checkpoint
SHARE = 0.05  # of a driver's time that may go into checkpoints
RETRY = 60.0  # s to wait after one that failed
_ATOMS = "atoms, base64"


class Checkpoint:
    """The checkpoint of the run in a folder; ``guard`` raises where this driver may not write."""

    def __init__(self, folder: Path, guard: Callable[[], None]) -> None:
        self._rows, self._state = folder / ROWS, folder / STATE
        self._guard = guard
        self._size, self._crc = 0, 0  # of the records that count
        self._rest = 0.0  # none before this time

    def is_due(self, added: int) -> bool:
        """Whether so many results since the last checkpoint are worth another."""
        return added >= LEAST and monotonic() >= self._rest

    def load(self) -> tuple[dict[str, Any], bytes]:
        """State and records that were saved last, empty where they are not there, or not whole."""
        try:
            crc, _, text = self._state.read_bytes().partition(b" ")
            if int(crc, 16) != zlib.crc32(text):
                return {}, b""
            saved = json.loads(text, object_hook=_restored)
            with self._rows.open("rb") as file:
                rows = file.read(saved["size"])
            if len(rows) != saved["size"] or zlib.crc32(rows) != saved["crc"]:
                return {}, b""
        except (OSError, ValueError, KeyError, TypeError):
            return {}, b""
        self._size, self._crc = saved["size"], saved["crc"]
        return saved["state"], rows

    def save(self, state: Mapping[str, Any], added: bytes) -> None:
        """Keep a state of plain values and :class:`ase.Atoms`, and records besides those before.

        Raises:
            OSError: the disk is full or failing; the checkpoint before this one stays.
        """
        begun = monotonic()
        self._rest = begun + RETRY
        self._guard()
        with self._rows.open("r+b" if self._rows.exists() else "wb") as file:
            file.truncate(self._size)
            file.seek(self._size)
            file.write(added)
            file.flush()
            os.fsync(file)
        size, crc = self._size + len(added), zlib.crc32(added, self._crc)
        saved = {"size": size, "crc": crc, "state": state}
        text = json.dumps(saved, separators=(",", ":"), default=_plain).encode()
        write_durably(self._state, b"%08x %s" % (zlib.crc32(text), text))
        self._size, self._crc = size, crc
        self._rest = monotonic() + (monotonic() - begun) * (1.0 / SHARE - 1.0)

    def forget(self) -> None:
        """Begin anew, without records."""
        self._size, self._crc = 0, 0


def _plain(value: Any) -> Any:
    if isinstance(value, Atoms):
        return {_ATOMS: base64.b64encode(pack_structure(value)).decode()}
    raise TypeError(f"a state holds plain values and Atoms, not {type(value).__name__}")


def _restored(found: dict[str, Any]) -> Any:
    if _ATOMS in found:
        return unpack_structure(base64.b64decode(found[_ATOMS]))
    return found
