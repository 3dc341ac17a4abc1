"""A connection to the journal that waits while another program holds it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from htinvert.store.trouble import Busy

PAGE_BYTES = 16384  # rows are some kB long: in SQLite's usual 4096 half of a page would be empty
READER = 30.0  # s that a reader waits, who may simply ask again
WRITER = 600.0  # s that a driver waits, whose campaign may be worth days
ROUND = 1.0  # s that SQLite itself waits, which hears no signal meanwhile
PAUSE = 0.05  # s between rounds, where SQLite did not wait at all


class PatientConnection(sqlite3.Connection):
    """An SQLite connection whose statements wait for other programs' transactions.

    A COMMIT that is refused leaves its transaction open, and may be asked again
    (https://sqlite.org/lang_transaction.html), so waiting loses nothing.

    Attributes:
        patience: how long to wait for one statement [s]; then SQLite's own error is raised.
        leave: whether somebody wants to go, who then waits no longer than a reader.
        held: called when a statement waits for the second round, once for each that does.
    """

    patience = READER
    leave: Callable[[], bool] = staticmethod(lambda: False)
    held: Callable[[], None] = staticmethod(lambda: None)

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        """Run a statement, as often as another program is in the way."""
        begun, said = time.monotonic(), False
        while True:
            try:
                return super().execute(*statement)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                most = min(self.patience, READER) if self.leave() else self.patience
                if time.monotonic() - begun > most:
                    raise
            if not said:
                self.held()
                said = True
            time.sleep(PAUSE)

    def rows(self, query: str, values: tuple[object, ...]) -> list[Any]:
        """All rows of a query."""
        with closing(self.execute(query, values)) as cursor:
            return cursor.fetchall()


def connect(uri: str, *, writable: bool, patience: float) -> PatientConnection:
    """Open an SQLite file by its URI, set as a journal is, without transactions of Python's own."""
    connection: PatientConnection = sqlite3.connect(
        uri, uri=True, timeout=ROUND, isolation_level=None, factory=PatientConnection
    )
    connection.patience = patience
    try:
        if writable:
            connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # heeded in a new file
            connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
        else:
            connection.execute("PRAGMA query_only=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def renewed(old: PatientConnection, make: Callable[..., PatientConnection]) -> PatientConnection:
    """A new connection in place of an old one, which is closed: none of its pages are kept."""
    connection = make(patience=old.patience)
    connection.leave, connection.held = old.leave, old.held
    old.close()
    return connection


def busy(path: Path) -> Busy:
    """What to say of a file that another program holds."""
    who = ", ".join(holders(path)) or "another program"
    return Busy(
        f"{path} is held by {who}; end that program (a database browser, a backup) or its "
        "transaction; everything committed before is kept, and the same command goes on"
    )


def holders(path: Path) -> list[str]:
    """Programs other than this one that have a file open, as ``python3 (process 123)``.

    Those of this machine and user, where the system tells (Linux); else none.
    """
    found, path = [], path.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()) and _has_open(process, path):
            name = _name(process)
            found.append(f"{name} (process {process.name})" if name else f"process {process.name}")
    return sorted(found)


def _has_open(process: Path, path: Path) -> bool:
    try:
        return any(handle.resolve() == path for handle in (process / "fd").iterdir())
    except OSError:
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""
