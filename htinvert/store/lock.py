"""One writer per run: a POSIX lock on the file ``lock``, let go by the kernel when its holder dies.

The file is opened once and only by who wants to write, for closing any descriptor of it in a
process drops that process's lock. Lustre needs the mount option ``flock``.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from htinvert.core import UserError

_held: set[Path] = set()  # POSIX locks do not keep out a second opening by the same process
_OURS = {"config.yaml", "provenance.json", "log.jsonl"}


def acquire(folder: Path) -> int:
    """Lock a run's folder, made where missing, and return the lock's descriptor.

    Host, pid and time go into the lock file, for whoever comes second.

    Raises:
        UserError: another process, or this one, holds the run, the folder holds
            something else, or its file system has no locks.
        OSError: the lock file cannot be written.
    """
    if folder.resolve() in _held:
        raise UserError(f"run {folder} is open for writing in this program; close it there first")
    _require_run_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder = {"host": socket.gethostname(), "pid": os.getpid()}
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({**holder, "since": since}).encode(), 0)
    except OSError as error:
        refusal = _refusal(folder, descriptor, error)
        os.close(descriptor)
        if refusal is None:
            raise
        raise refusal from error
    _held.add(folder.resolve())
    return descriptor


def release(folder: Path, descriptor: int) -> None:
    """Empty the lock file and let go of it."""
    try:
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
        _held.discard(folder.resolve())


def _refusal(folder: Path, descriptor: int, error: OSError) -> UserError | None:
    if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
        return UserError(
            f"the file system of {folder} has no file locks; put the run on another one"
        )
    if error.errno not in (errno.EACCES, errno.EAGAIN):
        return None
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = "pid {pid} on host {host} since {since}".format(**holder)
    except (ValueError, KeyError):  # it is writing its name just now
        who = "another process"
    return UserError(f"run {folder} is held by {who}; wait for it or stop it")


def _require_run_folder(folder: Path) -> None:
    """Refuse a folder that holds something else, so that no run is strewn over it."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a new folder for the run")
    names = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    strange = sorted(names - _OURS)
    if strange and not names & {"lock", "journal.sqlite"}:
        raise UserError(f"{folder} holds {strange[0]} and is not a run; name a new or empty folder")
