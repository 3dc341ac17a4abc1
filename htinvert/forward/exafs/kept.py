"""Paths that FEFF has made, kept in memory and in a folder, so that it never makes them twice.

The folder is ``$XDG_CACHE_HOME/htinvert/feff`` and bounded in size; what is damaged is made anew.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from htinvert.forward.exafs.feff import Settings, program, scattering_paths
from htinvert.forward.exafs.neighborhood import Neighborhood
from htinvert.forward.exafs.paths import Paths
from htinvert.forward.memo import fingerprint, remember

REMEMBERED = 512  # neighborhoods of a process
MOST_BYTES = 2 * 10**9  # of the folder
LOOKED = 64  # files written between looks at its size
CHECKED = b" whole"  # at the end of a file of phase shifts
SINGLE = ("amplitude", "phase", "degeneracy", "length", "norman", "places")  # as float32

_known: OrderedDict[bytes, Paths] = OrderedDict()
_written = 0


def paths_of(
    neighborhood: Neighborhood,
    settings: Settings,
    *,
    phases: bytes | None = None,
    elements: tuple[int, ...] | None = None,
) -> Paths:
    """Paths of an absorber, from memory, from the folder, or from FEFF.

    Raises as :func:`htinvert.forward.exafs.feff.scattering_paths` does.
    """
    what = asdict(settings) | {"neighborhood": neighborhood.key, "elements": elements}
    del what["seconds"]
    arrays = [] if phases is None else [np.frombuffer(phases, np.uint8)]
    key = fingerprint(what | {"program": program().stat().st_size}, *arrays)
    if key in _known:
        return remember(_known, key, _known[key], most=REMEMBERED)
    found = _read(key)
    if found is None:
        found = scattering_paths(neighborhood, settings, phases=phases, elements=elements)[0]
        _write(key, found)
        found = _read(key) or found  # rounded alike now and later
    return remember(_known, key, found, most=REMEMBERED)


def phases_of(neighborhood: Neighborhood, settings: Settings) -> bytes:
    """Phase shifts of an absorber's potentials, from the folder or from FEFF.

    Raises as :func:`htinvert.forward.exafs.feff.scattering_paths` does.
    """
    asked = {"edge": settings.edge, "neighborhood": neighborhood.key, "what": "phases"}
    path = _file(fingerprint(asked | {"program": program().stat().st_size})).with_suffix(".phases")
    with suppress(OSError):
        kept = path.read_bytes()
        if len(kept) > len(CHECKED) and kept.endswith(CHECKED):
            return kept.removesuffix(CHECKED)
    _, found = scattering_paths(neighborhood, replace(settings, legs=2))
    _put(path, lambda file: file.write(found + CHECKED))
    return found


def folder() -> Path:
    """Where paths are kept."""
    place = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(place) / "htinvert" / "feff"


def _file(key: bytes) -> Path:
    name = key.hex()[:40]
    return folder() / name[:2] / f"{name}.npz"


def _read(key: bytes) -> Paths | None:
    """What the folder has; None where that is nothing, or not whole."""
    path = _file(key)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {field.name: stored[field.name] for field in fields(Paths)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Paths(**{name: _double(array) for name, array in arrays.items()})


def _double(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(float) if array.dtype == np.float32 else array


def _write(key: bytes, paths: Paths) -> None:
    """Put paths into the folder."""
    arrays = {field.name: getattr(paths, field.name) for field in fields(Paths)}
    arrays |= {name: arrays[name].astype(np.float32) for name in SINGLE}
    _put(_file(key), lambda file: np.savez_compressed(file, **arrays))


def _put(path: Path, write: Callable[[IO[bytes]], object]) -> None:
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
            _bound(MOST_BYTES)


def _bound(most: int) -> None:
    """Remove the oldest files until the folder is smaller than ``most`` bytes."""
    sizes = []
    for path in folder().glob("*/*.npz"):
        with suppress(OSError):
            told = path.stat()
            sizes.append((told.st_mtime, told.st_size, path))
    total = sum(size for _, size, _ in sizes)
    for _, size, path in sorted(sizes):
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size
