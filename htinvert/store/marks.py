"""The log ``commits.log``: which rows of the archive are whole, and the checksum of every file.

One line per event, ``crc json``; each names the checksum of the line before, so that neither a
flipped bit nor a lost line goes unnoticed. Events: ``opened`` by a driver, with the run's name, its
recipe where the log has none yet, and the rows committed till then; ``folding`` begins, ``folded``
with the files written, ``discarded`` (the archive starts anew), ``closed`` with the rows and the
checksums of all other files of the run.
"""

from __future__ import annotations

import json
import os
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from htinvert.store.trouble import Damaged

Files = dict[str, tuple[int, int]]
"""Size and CRC-32 of each file, by its path inside the run's folder."""


class Marks:
    """The log of one run, as it was when read; :meth:`append` adds to it durably.

    A driver folds in one thread and reads in another, so both methods take turns: a line that is
    read between its writing and its being noted would be noted twice.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "commits.log"
        self.events: list[dict[str, Any]] = []
        self.broken = ""
        self._crc = 0
        self._whole = 0  # bytes of whole lines
        self._turn = threading.Lock()
        self.read()

    def read(self) -> None:
        """Read what was added; a last line without its end is being written, or was cut short."""
        with self._turn:
            if not self.path.exists():
                return
            with self.path.open("rb") as file:
                file.seek(self._whole)
                added = file.read()
            while not self.broken and b"\n" in added:
                line, _, added = added.partition(b"\n")
                self._take(line)

    def _take(self, line: bytes) -> None:
        crc, _, text = line.partition(b" ")
        try:
            event = json.loads(text)
            sound = int(crc, 16) == zlib.crc32(text) and event["previous"] == self._crc
        except (ValueError, KeyError, TypeError):
            sound = False
        if not sound:
            self.broken = f"line {len(self.events) + 1} of {self.path} is not what was written"
            return
        self.events.append(event)
        self._crc = zlib.crc32(text)
        self._whole += len(line) + 1

    def append(self, what: str, **fields: Any) -> None:
        """Add a line durably, over a torn one if there is.

        Raises:
            Damaged: the log before it is damaged.
            OSError: the disk is full or failing.
        """
        with self._turn:
            self._append(what, fields)

    def _append(self, what: str, fields: Mapping[str, Any]) -> None:
        if self.broken:
            raise Damaged(f"{self.broken}; htinvert verify --repair makes it anew")
        event = {"what": what, **fields, "previous": self._crc}
        text = json.dumps(event, separators=(",", ":"), sort_keys=True).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        new = not self.path.exists()
        with self.path.open("r+b" if not new else "wb", buffering=0) as file:
            file.truncate(self._whole)
            file.seek(self._whole)
            written = file.write(line)
            if written != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(file)
        if new:
            sync(self.path.parent)
        self._take(line[:-1])

    def told(self, name: str) -> Any:
        """The last word on something that is in some events only, None where there is none."""
        return next((event[name] for event in reversed(self.events) if name in event), None)

    @property
    def rows(self) -> int:
        """How many rows were committed at least; rows of a fold are, before it begins."""
        return max((int(e.get("rows", e.get("stop", 0))) for e in self.events), default=0)

    @property
    def archived(self) -> bool:
        """Whether the log has a word of the archive."""
        return any(event["what"] in ("folding", "folded", "discarded") for event in self.events)

    def state(self, *, whole: bool = False) -> Archived:
        """What the log says of the archive; if ``whole``, as it was before a fold cut short."""
        found = Archived()
        events = self.events
        if whole and events:
            ends = [n for n, e in enumerate(events) if e["what"] in ("folded", "discarded")]
            events = events[: ends[-1] + 1] if ends else []
        for event in events:
            if event["what"] == "discarded":
                found = Archived()
            elif event["what"] == "folding":
                found.begin()
            elif event["what"] == "folded":
                found.take(event)
        return found

    def blocks(self) -> list[tuple[int, Files]]:
        """Where each sealed block ends, and its own files, which are all but the descriptions."""
        found: list[tuple[int, Files]] = []
        for event in self.events:
            if event["what"] == "discarded":
                found = []
            elif event["what"] == "folded" and event["sealed"]:
                files = _files(event["files"])
                own = {name: entry for name, entry in files.items() if not name.endswith(".json")}
                found.append((event["stop"], own))
        return found

    def closed(self) -> Files | None:
        """Checksums of the run's other files where its last driver stopped cleanly."""
        last = self.events[-1] if self.events else {}
        return _files(last["files"]) if last.get("what") == "closed" else None


class Archived:
    """How far the archive goes: ``sealed`` rows are final, those up to ``folded`` are a copy."""

    def __init__(self) -> None:
        self.sealed = 0
        self.folded = 0
        self.unfinished = False
        self.files: Files = {}
        self.tail: list[str] = []  # files of the block that is not sealed
        self.ends: dict[str, int] = {}  # where atoms and signals of sealed blocks end
        self.spans: list[tuple[int, int, dict[str, int]]] = []  # rows of each, and its ends

    def begin(self) -> None:
        """Files of the block that is not sealed are about to be written anew."""
        for name in self.tail:
            self.files.pop(name, None)
        self.unfinished, self.folded, self.tail = True, self.sealed, []
        self.spans = [span for span in self.spans if span[1] <= self.sealed]

    def take(self, event: Mapping[str, Any]) -> None:
        """Learn from a ``folded`` event."""
        files = _files(event["files"])
        self.files |= files
        self.spans.append((event["start"], event["stop"], dict(event["ends"])))
        self.unfinished, self.folded = False, event["stop"]
        if event["sealed"]:
            self.sealed, self.tail, self.ends = event["stop"], [], dict(event["ends"])
        else:
            self.tail = [name for name in files if not name.endswith("zarr.json")]

    def entries(self, name: str, start: int, stop: int) -> tuple[int, int | None]:
        """Between which entries of the folder ``name`` the signals of rows start to stop are.

        Of rows that are in no block they may be anywhere.
        """
        before = [ends.get(name, 0) for _, end, ends in self.spans if end <= start]
        after = [ends.get(name, 0) for _, end, ends in self.spans if end >= stop]
        return max(before, default=0), min(after) if after else None


def checksum(path: Path) -> tuple[int, int]:
    """Size and CRC-32 of a file."""
    raw = path.read_bytes()
    return len(raw), zlib.crc32(raw)


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _files(listed: Mapping[str, list[int]]) -> Files:
    return {name: (size, crc) for name, (size, crc) in listed.items()}
