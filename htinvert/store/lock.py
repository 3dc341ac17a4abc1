"""One writer per run: a lock, and an epoch that fences out who lost it.

The lock is POSIX (``lockf``) on the file ``lock``, let go by the kernel when its holder dies. The
file is opened once and only by who wants to write, for closing any descriptor of it in a process
drops that process's lock. Lustre needs the mount option ``flock``.

Every driver makes the next file in ``epoch/``, which only one can, also on NFS; a driver that finds
a later one than its own writes no more. Where a file system has no locks, this alone decides: who
comes second is refused as long as the owner's heartbeat, the time of change of ``lock``, is younger
than a minute by the file server's own clock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from htinvert.core import UserError
from htinvert.store.links import require_no_links
from htinvert.store.marks import Marks, sync
from htinvert.store.trouble import Fenced, Held, OutOfSpace, explained

BEAT = 10.0  # s between heartbeats
STALE = 60.0  # s without one, after which a run without locks may be taken over

_held: set[Path] = set()  # POSIX locks do not keep out a second opening by the same process
_OURS = {"config.yaml", "provenance.json", "log.jsonl"}
SIGNS = {"lock", "journal.sqlite", "commits.log", "epoch"}
"""What makes a folder a run's, whatever else of it is lost."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Owner:
    """What makes this process the one writer of a run; :meth:`release` ends it."""

    def __init__(self, folder: Path, descriptor: int, epoch: int, *, locks: bool) -> None:
        self.folder = folder
        self.epoch = epoch
        self.locks = locks
        self._descriptor = descriptor
        self._file = os.fstat(descriptor)[:3]
        self._done = threading.Event()
        self._beat = threading.Thread(target=self._keep_beating, daemon=True)
        self._beat.start()
        _held.add(folder.resolve())

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Become the owner of a run's folder, made where missing.

        Host, pid and time go into the lock file, for whoever comes second.

        Raises:
            Held: another process, or this one, owns the run.
            UserError: the folder holds something else, or a link.
            OSError: the lock file cannot be written.
        """
        if folder.resolve() in _held:
            raise Held(f"run {folder} is open for writing in this program; close it there first")
        _require_run_folder(folder)
        require_no_links(folder)
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            locks = _lock(folder, descriptor)
            epoch = _next_epoch(folder)
            holder = {"host": socket.gethostname(), "pid": os.getpid(), "epoch": epoch}
            holder |= {"locks": locks, "since": datetime.now(UTC).isoformat(timespec="seconds")}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(folder, descriptor, epoch, locks=locks)

    def require(self) -> None:
        """Raise :class:`Fenced` where another driver has taken the run over.

        Raises:
            OutOfSpace: its folder is not there, or does not answer; it may come back.
        """
        try:
            fenced = self._is_fenced()
            gone = fenced and not self.folder.exists()
        except OSError as error:
            raise explained(self.folder, error) from error
        if gone:
            raise OutOfSpace(
                f"{self.folder} is not there any more: bring it back to this place, or start the "
                "same command where it is now; everything committed is kept in it"
            )
        if fenced:
            who = _name(self.folder / "lock")
            raise Fenced(
                f"run {self.folder} was taken over by {who}; this driver has stopped; its "
                "committed results are kept"
            )

    def release(self) -> None:
        """Empty the lock file and let go of it."""
        self._done.set()
        self._beat.join()
        try:
            # A component may have closed it: that number may be another file's by now.
            with suppress(OSError):  # nobody waits for a name whose lock is gone
                if self._is_open() and not self._is_fenced():
                    os.ftruncate(self._descriptor, 0)
        finally:
            if self._is_open():
                os.close(self._descriptor)
            _held.discard(self.folder.resolve())

    def _is_open(self) -> bool:
        """Whether the descriptor is still that of the lock file."""
        try:
            return os.fstat(self._descriptor)[:3] == self._file
        except OSError:
            return False

    def _is_fenced(self) -> bool:
        epochs = self.folder / "epoch"  # a later driver makes its file, then removes ours
        mine, next_ = epochs / str(self.epoch), epochs / str(self.epoch + 1)
        return next_.exists() or not mine.exists()

    def _keep_beating(self) -> None:
        while not self._done.wait(BEAT):
            with suppress(OSError):
                os.utime(self._descriptor)


def has_locks(folder: Path) -> bool:
    """Whether whoever writes a run, if any, found POSIX locks there."""
    return bool(_holder(folder / "lock").get("locks", True))


def is_owned(folder: Path) -> str:
    """Who writes a run now, empty if nobody; asks without taking the lock away."""
    path = folder / "lock"
    if not path.is_file() or not path.stat().st_size:
        return ""
    if folder.resolve() in _held:
        return _name(path)
    if not has_locks(folder):
        return _name(path) if _age(path) < STALE else ""
    with path.open("rb") as file:
        query = fcntl.fcntl(file, fcntl.F_GETLK, _flock_query())
    return "" if _is_free(query) else _name(path)


def _flock_query() -> bytes:
    import struct

    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


def _is_free(answer: bytes) -> bool:
    import struct

    return int(struct.unpack_from("h", answer)[0]) == fcntl.F_UNLCK


def _lock(folder: Path, descriptor: int) -> bool:
    """Take the lock; False where the file system has none and nobody else is at work."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        path = folder / "lock"
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise Held(f"run {folder} is held by {_name(path)}; wait for it or stop it") from error
        if error.errno not in _NO_LOCKS:
            raise
        if path.stat().st_size and _age(path) < STALE:
            raise Held(
                f"run {folder} is held by {_name(path)}, and its file system has no locks; wait "
                f"for it, or, if it is dead, for {STALE:.0f} s after its last heartbeat"
            ) from error
        with suppress(OSError):
            (folder / "journal.sqlite.lock").rmdir()  # SQLite's lock, left by a killed process
        return False
    return True


def _next_epoch(folder: Path) -> int:
    """Make the next epoch's file, which only one process can, and remove the one before."""
    epochs = folder / "epoch"
    epochs.mkdir(exist_ok=True)
    before = [int(path.name) for path in epochs.iterdir() if path.name.isdigit()]
    logged = int(Marks(folder).told("epoch") or 0)  # should the folder have been lost
    number = max([logged, *before]) + 1
    try:
        with (epochs / str(number)).open("x"):
            sync(epochs)
    except FileExistsError as error:
        raise Held(f"run {folder} is being opened by another driver; wait for it") from error
    for old in before:
        (epochs / str(old)).unlink(missing_ok=True)
    return number


def _age(path: Path) -> float:
    """Seconds since a file was changed, by the clock of the file system itself."""
    probe = path.with_name(f".{uuid4().hex}.now")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    except OSError:  # of a run that may only be read
        return time.time() - path.stat().st_mtime
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):  # nobody, or it is writing its name just now
        return {}
    return found if isinstance(found, dict) else {}


def _name(path: Path) -> str:
    try:
        return "pid {pid} on host {host} since {since}".format(**_holder(path))
    except KeyError:
        return "another process"


def _require_run_folder(folder: Path) -> None:
    """Refuse a folder that holds something else, so that no run is strewn over it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a new folder for the run")
    names = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    strange = sorted(names - _OURS)
    if strange and not names & SIGNS:
        raise UserError(f"{folder} holds {strange[0]} and is not a run; name a new or empty folder")
