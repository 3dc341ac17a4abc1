"""What errors of SQLite mean for a run, and what to do about each.

A transaction that was cut short is rolled back by whoever opens the file next, from
``journal.sqlite-journal`` (https://sqlite.org/lockingv3.html, section 4). Where a failing disk says
that this is not there, SQLite takes half of the transaction for the whole file, and what is written
next would make that final. So it is looked for once more, before anything is written.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from htinvert.core import UserError
from htinvert.store.patient import busy
from htinvert.store.trouble import Damaged, OutOfSpace, explained

_SPACE = "free space on its file system, look at the quota, make it writable for you"
BROKEN = ("CORRUPT", "NOTADB", "ERROR", "")  # what only damage can bring about
ADVICE = {
    "FULL": f"{_SPACE} and start the same command again",
    "IOERR": f"check the disk, {_SPACE} and start the same command again",
    "READONLY": f"{_SPACE} and start the same command again",
    "CANTOPEN": f"{_SPACE} and start the same command again",
    **dict.fromkeys(
        BROKEN, "htinvert verify --repair takes it from results.zarr as far as that goes"
    ),
}
TEMPORARY = ("FULL", "IOERR", "READONLY", "CANTOPEN")

_KEPT = "everything committed before is kept"


def is_broken(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is damaged."""
    return _code(error) in ("CORRUPT", "NOTADB")


def _code(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_").split("_")[0])


def meaning(path: Path, error: sqlite3.Error, *, within: bool) -> UserError:
    """What an error on the file ``path`` means; ``within`` a transaction of our own or outside."""
    code = _code(error)
    if code == "BUSY":
        return busy(path)
    if code in BROKEN and not within:
        try:
            require_rolled_back(path)
        except OutOfSpace as trouble:
            return trouble
    advice = ADVICE.get(code, "start the same command again")
    kind = OutOfSpace if code in TEMPORARY else Damaged if code in BROKEN else UserError
    return kind(f"{path} could not be used ({error}): {advice}; {_KEPT}")


def require_rolled_back(path: Path) -> None:
    """Raise :class:`OutOfSpace` where a transaction that was cut short is still to be undone.

    Asked while nobody else may write, and before this program has in its own transaction.
    """
    beside = path.with_name(f"{path.name}-journal")
    try:
        with beside.open("rb", buffering=0) as file:
            left = (file.read(1) or b"\0") != b"\0"  # SQLite's own sign of one that counts
    except FileNotFoundError:
        return
    except OSError as error:
        raise explained(path.parent, error) from error
    if left:
        raise OutOfSpace(
            f"{path} could not be read: its disk keeps back {beside.name}, from which a write that "
            f"was cut short is to be undone; look at the disk and start the same command again; "
            f"{_KEPT}"
        )
