"""Paths that FEFF has made, kept in memory and in a folder, so that it never makes them twice.

The folder is ``$XDG_CACHE_HOME/htinvert/feff`` and bounded in size; what is damaged is made anew.
"""

from __future__ import annotations

import functools
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.forward.exafs.alike import RULE
from htinvert.forward.exafs.feff import Route, Settings, program, routed, scattering_paths
from htinvert.forward.exafs.neighborhood import Neighborhood
from htinvert.forward.exafs.paths import Paths
from htinvert.forward.kept_files import kept_file, put
from htinvert.forward.memo import fingerprint, remember

REMEMBERED = 512  # neighborhoods of a process
TOGETHER = 200  # blocks that one run of FEFF makes, in some seconds
CHECKED = b" whole"  # at the end of a file of phase shifts
SINGLE = ("amplitude", "phase", "degeneracy", "length", "norman", "places")  # as float32

_known: OrderedDict[bytes, Paths] = OrderedDict()


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
    of = _asked(settings, phases, elements)
    key = fingerprint({"neighborhood": neighborhood.key, "of": of, "rule": RULE})
    if key in _known:
        return remember(_known, key, _known[key], most=REMEMBERED)
    found = _read(key)
    if found is None:
        found = scattering_paths(neighborhood, settings, phases=phases, elements=elements)[0]
        found = found.merged()
        _write(key, found)
        found = _read(key) or found  # rounded alike now and later
    return remember(_known, key, found, most=REMEMBERED)


@functools.lru_cache(maxsize=8)
def _asked(settings: Settings, phases: bytes | None, elements: tuple[int, ...] | None) -> bytes:
    """What paths depend on besides the atoms; a limit of time is none of it."""
    what = asdict(settings) | {"program": program().stat().st_size, "elements": elements}
    del what["seconds"]
    return fingerprint(what, *([] if phases is None else [np.frombuffer(phases, np.uint8)]))


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
    put(path, lambda file: file.write(found + CHECKED))
    return found


Waves = tuple[NDArray[np.float32], NDArray[np.float32]]


def blocks_of(
    blocks: Sequence[Sequence[Route]],
    absorber: int,
    settings: Settings,
    *,
    phases: bytes,
    elements: tuple[int, ...],
) -> list[Waves]:
    """Amplitudes [Å] and phases [rad] of blocks of routes, from the folder or from FEFF.

    Raises as :func:`htinvert.forward.exafs.feff.routed` does.
    """
    of = _asked(Settings(edge=settings.edge), phases, elements)
    keys = [
        fingerprint(
            {"absorber": absorber, "of": of, "atoms": [route.numbers for route in block]},
            *(np.round(route.places, 5) for route in block),
        )
        for block in blocks
    ]
    found = {key: one for key in keys if (one := _read_block(key)) is not None}
    missing = [at for at, key in enumerate(keys) if key not in found]
    for start in range(0, len(missing), TOGETHER):
        some = missing[start : start + TOGETHER]
        routes = [route for at in some for route in blocks[at]]
        paths = routed(routes, absorber, settings, phases=phases, elements=elements)
        ends = np.cumsum([len(blocks[at]) for at in some])[:-1]
        sizes, angles = (
            np.split(one.astype(np.float32), ends) for one in (paths.amplitude, paths.phase)
        )
        for at, *waves in zip(some, sizes, angles, strict=True):
            found[keys[at]] = (waves[0], waves[1])
            _write_block(keys[at], found[keys[at]])
    return [found[key] for key in keys]


def _write_block(key: bytes, waves: Waves) -> None:
    put(_file(key), lambda file: np.savez(file, amplitude=waves[0], phase=waves[1]))


def _read_block(key: bytes) -> Waves | None:
    try:
        with _file(key).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return stored["amplitude"], stored["phase"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _file(key: bytes) -> Path:
    return kept_file("feff", key, ".npz")


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
    put(_file(key), lambda file: np.savez_compressed(file, **arrays))
