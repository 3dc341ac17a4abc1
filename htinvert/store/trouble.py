"""What can go wrong with a run on disk, each with its exit code."""

from __future__ import annotations

import errno
from pathlib import Path

from htinvert.core import UserError

FOR_GOOD = (
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT, errno.ENAMETOOLONG, errno.ELOOP),
    *(errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOTSUP, errno.EXDEV, errno.ENOTEMPTY),
)
"""Errors that the same command would meet again: nothing passes here, somebody must act."""


class OutOfSpace(UserError):
    """The disk is full, over quota, read-only, failing or away: nothing is lost, try later."""

    code = 75  # EX_TEMPFAIL


class Busy(UserError):
    """Another program holds the journal: nothing is lost, try again later."""

    code = 75  # EX_TEMPFAIL


class Held(UserError):
    """Another driver owns the run."""

    code = 73  # EX_CANTCREAT


class Fenced(UserError):
    """Another driver has taken the run over from this one, which must stop."""

    code = 76


class NotBegun(UserError):
    """A run's journal is there and nothing is in it."""


class Damaged(UserError):
    """What is read is not what was written."""


def explained(folder: Path, error: OSError) -> UserError:
    """What to do about an error of the file system; only one that may pass is worth a new try."""
    if error.errno in FOR_GOOD:
        return UserError(
            f"{folder} cannot be written ({error.strerror or error}); name another folder for the "
            "run, or let this one be written by you"
        )
    return OutOfSpace(
        f"{folder} could not be written ({error.strerror or error}): free space on its file "
        "system, look at the disk or make it writable for you, and start the same command again; "
        "everything committed is kept"
    )
