"""Files of what other programs have calculated, kept so that they never do it twice.

They lie in ``$XDG_CACHE_HOME/htinvert``, a folder per program, bounded in size; what is damaged is
made anew.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

MOST_BYTES = 2 * 10**9  # of a program's folder
LOOKED = 64  # files written between looks at its size

_written = 0


def kept_file(program: str, key: bytes, ending: str) -> Path:
    """Where what has this key is kept."""
    name = key.hex()[:40]
    return _folder(program) / name[:2] / f"{name}{ending}"


def put(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file, whole or not at all; where there can be no folder, nothing is kept."""
    global _written
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _written += 1
        if _written % LOOKED == 0:
            bound(path.parent.parent, MOST_BYTES)


def bound(folder: Path, most: int) -> None:
    """Remove the oldest files until a program's folder is smaller than ``most`` bytes."""
    sizes = []
    for path in folder.glob("*/*"):
        with suppress(OSError):
            told = path.stat()
            sizes.append((told.st_mtime, told.st_size, path))
    total = sum(size for _, size, _ in sizes)
    for _, size, path in sorted(sizes):
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


def _folder(program: str) -> Path:
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "htinvert" / program
