"""A folder of this machine for what workers write, and the end of those that were left."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time

PREFIX = "htinvert-workers-"
NEW = 60.0  # s within which a folder may not be held yet by who makes it


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder of an unpredictable name that nobody else can enter; removed at the end.

    It is held by a lock of the system's, which a driver that is killed lets go of. Whoever needs
    such a folder next removes those of this user that nobody holds.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_left(left)
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        held = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(held)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder of this user's that no living driver holds; a link is none."""
    try:
        found = folder.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            return
        if time() - found.st_mtime < NEW:
            return
        held = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # it is in use
        pass
    finally:
        os.close(held)
