"""No run is written through a link: a folder that somebody sent may hold one to a file of yours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from htinvert.core import UserError

ALSO_READERS = ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")
"""What SQLite writes to even for who only reads."""


def require_no_links(folder: Path) -> None:
    """Raise :class:`UserError` where a run's folder holds a link, at any depth."""
    for link in _links(folder):
        _refuse(link, folder)


def require_no_links_to_read(folder: Path) -> None:
    """The same for what a reader needs."""
    for name in ALSO_READERS:
        _refuse(folder / name, folder)


def _links(folder: str | Path) -> Iterator[Path]:
    """All links below a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False):
                yield from _links(entry.path)


def _refuse(path: Path, folder: Path) -> None:
    if path.is_symlink():
        raise UserError(
            f"run {folder}: {path.relative_to(folder)} is a link, and nothing is written where "
            "links lead; put there what it leads to, or remove it"
        )
