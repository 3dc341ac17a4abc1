"""A recipe as one file with its hash: written once, mapped into memory once per worker process.

Tasks carry path and hash only. Arrays lie in the file as they lie in memory (pickle protocol 5,
out-of-band), so the processes of a node share one copy of an experiment in the page cache.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import pickle
import socket
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cloudpickle

from htinvert.core import Recipe, UserError

ALIGNMENT = 64  # bytes: what the widest vector instructions like
VERSIONS = ("htinvert", "numpy", "ase")  # an evaluation may depend on these

_opened: dict[str, Recipe] = {}  # of this process: one campaign's recipe, by hash


@dataclass(frozen=True)
class Parcel:
    """Where a recipe lies, the hash of its file (SHA-256), and which packages wrote it."""

    path: str
    digest: str
    versions: tuple[tuple[str, str], ...]

    def open(self) -> Recipe:
        """The recipe; read on the first call in a process, and verified then.

        Its arrays are read-only. Raises :class:`UserError` where the file cannot be read, is
        another one, or was written by other versions than those that are here.
        """
        if self.digest not in _opened:
            _opened.clear()
            _opened[self.digest] = _read(self)
        return _opened[self.digest]


def pack(recipe: Recipe, folder: Path) -> Parcel:
    """Write a recipe into a folder, under its hash; what another recipe left there goes."""
    buffers: list[pickle.PickleBuffer] = []
    body = cloudpickle.dumps(recipe, protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    lengths = b" ".join(str(len(piece)).encode() for piece in pieces) + b"\n"
    content = _padded(lengths) + b"".join(_padded(bytes(piece)) for piece in pieces)
    digest = hashlib.sha256(content).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / f"{digest[:16]}.recipe"
    for old in folder.glob("*.recipe*"):
        if old.name != path.name:
            old.unlink(missing_ok=True)
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        partial = path.with_suffix(f".recipe-{os.getpid()}")
        partial.write_bytes(content)
        partial.replace(path)
    return Parcel(str(path), digest, _versions())


def _read(parcel: Parcel) -> Recipe:
    here = f"worker on {socket.gethostname()}"
    if (found := _versions()) != parcel.versions:
        wanted, has = (" ".join(f"{n} {v}" for n, v in pairs) for pairs in (parcel.versions, found))
        raise UserError(
            f"the {here} has {has}, the driver {wanted}; let the site's job-script-prologue "
            "activate the driver's environment"
        )
    try:
        with Path(parcel.path).open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise UserError(
            f"the {here} cannot read {parcel.path} ({error}); put the run on a file system that "
            "all nodes share"
        ) from error
    if hashlib.sha256(content).hexdigest() != parcel.digest:
        raise UserError(
            f"the {here} finds another {parcel.path} than the driver wrote; start again"
        )
    start = content.find(b"\n") + 1
    lengths = [int(word) for word in content[:start].split()]
    view, pieces, at = memoryview(content), [], _aligned(start)
    for length in lengths:
        pieces.append(view[at : at + length])
        at += _aligned(length)
    recipe: Recipe = pickle.loads(pieces[0], buffers=pieces[1:])  # noqa: S301  (its hash is known)
    return recipe


def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in VERSIONS)


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _padded(piece: bytes) -> bytes:
    return piece + b"\0" * (_aligned(len(piece)) - len(piece))
