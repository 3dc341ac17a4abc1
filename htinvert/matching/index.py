"""Descriptors of a library, compressed: computed once, kept in Zarr, searched all at once.

A member's invariant is projected on the ``COMPONENTS`` principal components of a sample of the
library; its log-polar map is kept in steps of a sixteenth of its standard deviation. So 1e5 members
take 50 MB in memory and the maps, read only for likely members, 2 GB on the disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.matching.library import LibraryEntry, LibraryView, read_members
from htinvert.matching.target import FINE
from htinvert.metrics.log_polar import ANGLES, RADII, SIGNATURE, Singles, signature, spectrum_map
from htinvert.pool.workers import local_workers

COMPONENTS = 256
SAMPLE = 1024  # members that the principal components are learned from
ROWS = 2048  # members that are written at once
CHUNK = 16  # members that are read at once
BLOCK = 32  # members that are described at once
INVARIANT = (2 * SIGNATURE[0] + 1) * (SIGNATURE[1] + 1)
VERSION = 1  # of the descriptors: raise it when they change
_LEVEL = 1 / np.sqrt(ANGLES * RADII)  # standard deviation of a map of unit norm
_STEPS, _LOWEST = 16.0, -4.0  # per standard deviation; lowest value that is told apart

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Described:
    """Descriptors of a block of members; a member that failed has zeros and a ``reason``."""

    maps: Bytes
    invariants: Singles
    reasons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Index:
    """A library that can be searched.

    Attributes:
        entries: members, in the order of the rows.
        reasons: why a member could not be described; empty where it could.
        signatures: projected invariants of unit norm, shape (n, components); zeros where it failed.
        mean: of the sample's invariants.
        basis: principal components, shape (components, m).
        stored: the maps on the disk, or all of them.
        reused: how many members were described before.
    """

    entries: tuple[LibraryEntry, ...]
    reasons: tuple[str, ...]
    signatures: Singles
    mean: Singles
    basis: Singles
    stored: Any
    reused: int = 0

    @property
    def failed(self) -> dict[str, str]:
        """Names of the members that were skipped, with the reason."""
        pairs = zip(self.entries, self.reasons, strict=True)
        return {entry.name: reason for entry, reason in pairs if reason}

    def project(self, invariant: Singles) -> Singles:
        """An invariant in the space of the signatures."""
        return projected(invariant[None], self.mean, self.basis)[0]

    def maps(self, members: Sequence[int]) -> dict[int, Singles]:
        """Log-polar maps of some members."""
        return {member: _restored(np.asarray(self.stored[member])) for member in set(members)}


def described_members(chosen: Sequence[LibraryEntry], view: LibraryView) -> Described:
    """Describe members; one that cannot be read or imaged comes with the reason."""
    maps = np.zeros((len(chosen), ANGLES, RADII), np.uint8)
    invariants: list[Singles] = []
    reasons = []
    for row, entry in enumerate(chosen):
        reason, found = "", np.zeros((ANGLES, RADII), np.float32)
        try:
            (_, member) = next(read_members([entry], view))
            found = spectrum_map(member.view(FINE).data, FINE)
            reason = "" if found.any() else "its image is constant"
        except Exception as error:  # readers raise whatever their parsers raise
            reason = " ".join(str(error).split()) or type(error).__name__
        maps[row] = _quantized(found)
        invariants.append(signature(found))
        reasons.append(reason)
    return Described(maps, np.stack(invariants), tuple(reasons))


def projected(invariants: Singles, mean: Singles, basis: Singles) -> Singles:
    """Invariants, shape (n, m), as unit vectors in the space of the basis; zeros stay zeros."""
    known = invariants.any(axis=1)
    found = (invariants - mean) @ basis.T
    norms = np.linalg.norm(found, axis=1)
    return np.asarray(
        np.where((known & (norms > 0))[:, None], found / np.maximum(norms, 1e-12)[:, None], 0),
        np.float32,
    )


def principal(invariants: Singles) -> tuple[Singles, Singles]:
    """Mean and principal components, (components, m), of what is not zero."""
    known = invariants[invariants.any(axis=1)]
    if not len(known):
        raise UserError("no member of the library could be described")
    mean = known.mean(axis=0)
    _, values, rows = np.linalg.svd(known - mean, full_matrices=False)
    kept = values > 1e-4 * max(float(values[0]), 1e-30)
    basis = rows[kept][:COMPONENTS]
    if not len(basis):  # one member, or all alike
        return np.zeros_like(mean), mean[None] / np.linalg.norm(mean)
    return mean.astype(np.float32), basis.astype(np.float32)


def _quantized(found: Singles) -> Bytes:
    return np.clip(np.rint((found / _LEVEL - _LOWEST) * _STEPS), 0, 255).astype(np.uint8)


def _restored(stored: Bytes) -> Singles:
    return np.asarray((stored / _STEPS + _LOWEST) * _LEVEL, dtype=np.float32)


def identity(view: LibraryView) -> str:
    """What descriptors depend on besides the members."""
    text = f"{VERSION} {view.forward} {view.sampling} {ANGLES} {RADII} {FINE}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


Mapper = Callable[[Iterator[Sequence[LibraryEntry]]], Iterator[Described]]


def build_index(
    found: Sequence[LibraryEntry],
    view: LibraryView,
    cache: Path,
    *,
    mapper: Mapper | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Index:
    """Describe a library, or read what an earlier call has kept of it in ``cache``.

    Members whose stamp is unchanged are not described again. The cache is written beside its place
    and renamed at the end, so that it is whole or absent; a damaged one is made anew.
    ``progress`` is told how many members are done.
    Raises :class:`UserError` where no member could be described.
    """
    old = _opened(cache, identity(view))
    order = np.random.default_rng(0).permutation(len(found))
    shuffled = [found[i] for i in order]
    if old is not None and _stamps(old.entries) == _stamps(shuffled):
        progress(len(found))
        return replace(old, entries=tuple(shuffled), reused=len(found))
    partial = cache.with_name(f"{cache.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        reused = _write(partial, shuffled, view, old, mapper or _here(view), progress)
        _replace(partial, cache)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    made = _opened(cache, identity(view))
    if made is None:
        raise UserError(f"{cache} could not be read back as written; check the disk")
    return replace(made, entries=tuple(shuffled), reused=reused)


def _stamps(members: Sequence[LibraryEntry]) -> list[tuple[str, str]]:
    return [(entry.name, entry.stamp) for entry in members]


def _here(view: LibraryView) -> Mapper:
    """Describe blocks in this process."""

    def run(blocks: Iterator[Sequence[LibraryEntry]]) -> Iterator[Described]:
        return (described_members(block, view) for block in blocks)

    return run


def _write(
    root: Path,
    members: Sequence[LibraryEntry],
    view: LibraryView,
    old: Index | None,
    mapper: Mapper,
    progress: Callable[[int], None],
) -> int:
    """Write all arrays of a cache; returns how many members were taken from the old one."""
    known = {} if old is None else {(e.name, e.stamp): row for row, e in enumerate(old.entries)}
    mean, basis = (None, None) if old is None else (old.mean, old.basis)
    arrays: Any = None
    reused = 0
    for start in range(0, len(members), ROWS):
        chunk = members[start : start + ROWS]
        rows = [known.get((entry.name, entry.stamp)) for entry in chunk]
        new = [i for i, row in enumerate(rows) if row is None]
        maps = np.zeros((len(chunk), ANGLES, RADII), np.uint8)
        reasons = np.zeros(len(chunk), dtype=np.dtypes.StringDType())
        invariants = _described([chunk[i] for i in new], new, mapper, maps, reasons, progress)
        if mean is None or basis is None:
            mean, basis = principal(invariants[:SAMPLE])
        signatures = np.zeros((len(chunk), len(basis)), np.float32)
        signatures[new] = projected(invariants, mean, basis)
        for i, row in enumerate(rows):
            if row is not None and old is not None:
                maps[i], signatures[i] = np.asarray(old.stored[row]), old.signatures[row]
                reasons[i] = old.reasons[row]
        reused += len(chunk) - len(new)
        progress(len(chunk) - len(new))
        if arrays is None:
            arrays = _created(root, len(members), mean, basis, identity(view))
        part = slice(start, start + len(chunk))
        arrays["map"][part], arrays["signature"][part] = maps, signatures
        arrays["name"][part] = np.array([e.name for e in chunk], dtype=np.dtypes.StringDType())
        arrays["stamp"][part] = np.array([e.stamp for e in chunk], dtype=np.dtypes.StringDType())
        arrays["reason"][part] = reasons
    return reused


def _described(
    chosen: Sequence[LibraryEntry],
    rows: Sequence[int],
    mapper: Mapper,
    maps: Bytes,
    reasons: NDArray[Any],
    progress: Callable[[int], None],
) -> Singles:
    """Describe members in blocks; fills their rows and returns their invariants."""
    blocks = (chosen[start : start + BLOCK] for start in range(0, len(chosen), BLOCK))
    parts, done = [np.zeros((0, INVARIANT), np.float32)], 0
    for described in mapper(blocks):
        part = rows[done : done + len(described.reasons)]
        maps[part], reasons[part] = described.maps, list(described.reasons)
        parts.append(described.invariants)
        done += len(part)
        progress(len(part))
    return np.concatenate(parts)


def _created(root: Path, count: int, mean: Singles, basis: Singles, settings: str) -> Any:
    """Arrays of a new cache, every chunk with a checksum."""
    import zarr
    from zarr.codecs import Crc32cCodec, ZstdCodec

    group = zarr.open_group(root, mode="w")
    group.update_attributes({"settings": settings, "members": count})
    codecs = [ZstdCodec(level=1), Crc32cCodec()]
    shapes: dict[str, tuple[tuple[int, ...], Any, tuple[int, ...], tuple[int, ...] | None]] = {
        "map": ((count, ANGLES, RADII), "u1", (CHUNK, ANGLES, RADII), (ROWS, ANGLES, RADII)),
        "signature": ((count, len(basis)), "f4", (ROWS, len(basis)), None),
        **dict.fromkeys(("name", "stamp", "reason"), ((count,), str, (ROWS,), None)),
        "mean": (mean.shape, "f4", mean.shape, None),
        "basis": (basis.shape, "f4", basis.shape, None),
    }
    for name, (shape, dtype, chunks, shards) in shapes.items():
        group.create_array(
            name, shape=shape, dtype=dtype, chunks=chunks, shards=shards, compressors=codecs
        )
    found: dict[str, Any] = {name: group[name] for name in shapes}
    found["mean"][:], found["basis"][:] = mean, basis
    return found


def _opened(cache: Path, settings: str) -> Index | None:
    """What a cache holds; None where it is absent, made otherwise, or damaged."""
    import zarr

    try:
        group: Any = zarr.open_group(cache, mode="r", zarr_format=3)
        if group.attrs.get("settings") != settings:
            return None
        names, stamps, reasons, signatures, mean, basis = (
            np.asarray(group[name][:])
            for name in ("name", "stamp", "reason", "signature", "mean", "basis")
        )
        pairs = zip(names.tolist(), stamps.tolist(), strict=True)
        entries = tuple(LibraryEntry(name, Path(), stamp) for name, stamp in pairs)
        stored = group["map"]
        if stored.shape[0] != len(entries) or any(name == "" for name in names.tolist()):
            return None
    except Exception:  # zarr and its codecs raise many kinds: each means that it must be made anew
        return None
    return Index(entries, tuple(reasons.tolist()), signatures, mean, basis, stored)


def _replace(partial: Path, cache: Path) -> None:
    """Put a finished cache in its place; what was there goes afterwards."""
    aside = cache.with_name(f"{cache.name}.{os.getpid()}.old")
    if cache.exists():
        cache.rename(aside)
    partial.rename(cache)
    shutil.rmtree(aside, ignore_errors=True)


def on_dask(view: LibraryView, workers: int) -> Mapper:
    """Describe blocks in worker processes of this machine, a few at a time, in order."""

    def run(blocks: Iterator[Sequence[LibraryEntry]]) -> Iterator[Described]:
        with local_workers(workers) as (_, client):
            waiting: deque[Any] = deque()
            for block in blocks:
                waiting.append(client.submit(described_members, block, view, pure=False))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    return run
