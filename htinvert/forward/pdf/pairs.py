"""Histogram of pair distances, by cell lists, for clusters and crystals.

Each distance is shared among the four nearest bins by Lagrange's cubic, which keeps its mean,
variance and third moment. Cell lists: Allen & Tildesley, *Computer Simulation of Liquids* (1987),
section 5.3.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.forward.memo import fingerprint, remember

BIN = 0.01  # Å
CELLS_PER_REACH = 3  # that a cell list divides the reach into
MOST_CELLS = 2_000_000
SPARE = 4  # bins behind the last, for distances beyond the reach
REMEMBERED = 8  # histograms, so that a fit of other parameters does not count pairs again
_counted: OrderedDict[bytes, Floats] = OrderedDict()


def kinds_of(atoms: Atoms) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Elements of a structure in alphabetical order, and the place of each atom's among them."""
    return _kinds(np.ascontiguousarray(atoms.numbers, dtype=np.int64).tobytes())


@functools.lru_cache(maxsize=16)
def _kinds(numbers: bytes) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The same of atomic numbers; a search asks for one composition again and again."""
    symbols = np.array(chemical_symbols)[np.frombuffer(numbers, dtype=np.int64)]
    names, which = np.unique(symbols, return_inverse=True)
    kinds = which.astype(np.int64)
    kinds.setflags(write=False)
    return tuple(map(str, names)), kinds


def composition(atoms: Atoms) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Elements in alphabetical order and their fractions of all atoms."""
    symbols, kinds = kinds_of(atoms)
    return symbols, tuple(float(share) for share in np.bincount(kinds) / len(kinds))


@functools.cache
def rows(count: int) -> NDArray[np.int64]:
    """Row of a histogram for each two of so many elements, shape (count, count), symmetric."""
    table = np.zeros((count, count), dtype=np.int64)
    for row, (a, b) in enumerate(couples(count)):
        table[a, b] = table[b, a] = row
    return table


def couples(count: int) -> list[tuple[int, int]]:
    """Each two of so many elements, one element with itself among them, by row of a histogram."""
    return list(combinations_with_replacement(range(count), 2))


def bound(atoms: Atoms) -> float:
    """A distance [Å] that no two atoms of a cluster exceed."""
    return float(np.linalg.norm(np.ptp(atoms.positions, axis=0))) + 2 * BIN


def longest(atoms: Atoms) -> float:
    """Longest distance [Å] of two atoms of a cluster."""
    counted = histogram(atoms, bound(atoms))
    return float(BIN * np.flatnonzero(counted.sum(axis=0) > 0.5)[-1])


def shortest(atoms: Atoms) -> float:
    """Shortest distance [Å] of two atoms, images among them; 1 where they are far apart."""
    found = np.flatnonzero(histogram(atoms, 6.0).sum(axis=0) > 0.5)
    return float(BIN * max(found[0], 25)) if found.size else 1.0


def bins_of(reach: float) -> int:
    """Number of bins of a histogram up to a distance [Å]."""
    return int(reach / BIN) + 4


def known(atoms: Atoms, reach: float) -> Floats:
    """The histogram of :func:`histogram`, from a few that are kept."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
    key = fingerprint({"reach": reach}, *arrays)
    if key not in _counted:
        remember(_counted, key, histogram(atoms, reach), most=REMEMBERED)
    return _counted[key]


def histogram(atoms: Atoms, reach: float) -> Floats:
    """Ordered pairs per bin of distance, shape (element pairs, bins), up to ``reach`` [Å].

    Bin k is for a distance of k times :data:`BIN`. Along periodic directions all images count.
    """
    symbols, kinds = kinds_of(atoms)
    points, owners = images(atoms, reach)
    half = not atoms.pbc.any()
    bins = bins_of(reach)
    counted = np.zeros((len(symbols) * (len(symbols) + 1) // 2, bins + SPARE))
    lists = [_cells(points[kinds[owners] == kind], reach) for kind in range(len(symbols))]
    for row, (a, b) in zip(counted, couples(len(symbols)), strict=True):
        centers = lists[a][0] if half else points[: len(atoms)][kinds == a].T
        weight = 2.0 if half or a != b else 1.0
        compiled(_count)(
            np.ascontiguousarray(centers), lists[b], reach, weight, half and a == b, row
        )
        if not half and a == b:  # an atom is no pair with itself
            row[0] -= centers.shape[1]
    return np.ascontiguousarray(counted[:, :bins])


def move(counted: Floats, atoms: Atoms, index: int, to: Floats) -> None:
    """Change a cluster's histogram in place as if one atom were moved ``to`` a position [Å].

    It takes a time that grows with the number of atoms, not of pairs. The atoms stay as they are.
    """
    symbols, kinds = kinds_of(atoms)
    shift(counted, atoms.positions, kinds, index, to, rows(len(symbols)))


def shift(
    counted: Floats,
    positions: Floats,
    kinds: NDArray[np.int64],
    index: int,
    to: Floats,
    table: NDArray[np.int64],
) -> None:
    """The same from arrays that are at hand already, for a search that moves atom by atom."""
    change = compiled(_change)
    change(compiled(_share), positions, kinds, index, np.asarray(to, dtype=float), table, counted)


def images(atoms: Atoms, reach: float) -> tuple[Floats, NDArray[np.int64]]:
    """Atoms and their periodic images that may lie within ``reach`` [Å] of an atom, and whose.

    The atoms come first, in their order, moved into the cell where they are periodic.
    """
    positions = np.asarray(atoms.get_positions(wrap=bool(atoms.pbc.any())), dtype=float)
    if not atoms.pbc.any():
        return np.ascontiguousarray(positions), np.arange(len(atoms), dtype=np.int64)
    cell = atoms.cell.array
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    counts = (np.ceil(reach / heights).astype(int) + 1) * atoms.pbc
    offsets = np.array(list(product(*(range(-n, n + 1) for n in counts))), dtype=float)
    offsets = offsets[np.argsort(np.abs(offsets).sum(axis=1), kind="stable")]  # none comes first
    all_points = (offsets @ cell)[:, None] + positions
    lower, upper = positions.min(axis=0) - reach, positions.max(axis=0) + reach
    inside = ((all_points >= lower) & (all_points <= upper)).all(axis=-1)
    inside[0] = True
    owners = np.broadcast_to(np.arange(len(atoms), dtype=np.int64), inside.shape)[inside]
    return np.ascontiguousarray(all_points[inside]), owners


def _cells(points: Floats, reach: float) -> tuple[Any, ...]:
    """Points by cell, shape (3, n); first of each cell, lower corner, side [Å], number of cells."""
    corner = points.min(axis=0)
    extent = points.max(axis=0) - corner
    if extent @ extent <= reach * reach:
        first = np.array([0, len(points)])
        return np.ascontiguousarray(points.T), first, corner, 2.0 * reach, np.ones(3, np.int64)
    side = max(reach / CELLS_PER_REACH, float(np.cbrt(np.prod(extent + 1.0) / MOST_CELLS)))
    shape = (extent / side).astype(np.int64) + 1
    place = ((points - corner) / side).astype(np.int64)
    number = (place[:, 0] * shape[1] + place[:, 1]) * shape[2] + place[:, 2]
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(int(shape.prod()) + 1))
    return np.ascontiguousarray(points[order].T), first, corner, side, shape


@functools.cache
def compiled(function: Callable[..., Any]) -> Any:
    """A loop over numbers as machine code, compiled once and kept on disk."""
    from numba import njit  # here: it loads LLVM, which only this needs

    return njit(cache=True, nogil=True, fastmath=True)(function)


def _count(centers: Any, cells: Any, reach: Any, weight: Any, half: Any, counted: Any) -> None:
    """Share out all distances from centers to points in the cells within reach (compiled).

    Distances of a line of cells are calculated first, which the processor does several at a time,
    then shared out without a branch: those beyond the reach fall behind the last bin. Where
    ``half``, centers are the points, and each counts those that come after it.
    """
    points, first, corner, side, shape = cells
    squared, end, beyond = reach * reach, reach / BIN, len(counted) - 3.0
    sixth, second = weight / 6.0, weight / 2.0
    places = np.empty(points.shape[1])
    for i in range(centers.shape[1]):
        x, y, z = centers[0, i], centers[1, i], centers[2, i]
        low0 = max(int((x - reach - corner[0]) / side), 0)
        low1 = max(int((y - reach - corner[1]) / side), 0)
        high0 = min(int((x + reach - corner[0]) / side), shape[0] - 1)
        high1 = min(int((y + reach - corner[1]) / side), shape[1] - 1)
        for a in range(low0, high0 + 1):
            lower = corner[0] + a * side
            dx = max(lower - x, x - lower - side, 0.0)
            for b in range(low1, high1 + 1):
                lower = corner[1] + b * side
                dy = max(lower - y, y - lower - side, 0.0)
                left = squared - dx * dx - dy * dy
                if left <= 0.0:
                    continue
                dz = np.sqrt(left)
                line = (a * shape[1] + b) * shape[2]
                low2 = max(int((z - dz - corner[2]) / side), 0)
                high2 = min(int((z + dz - corner[2]) / side), shape[2] - 1)
                j, last = first[line + low2], first[line + high2 + 1]
                if half:
                    j = max(j, i + 1)
                for k in range(j, last):
                    u, v, w = points[0, k] - x, points[1, k] - y, points[2, k] - z
                    places[k] = np.sqrt(u * u + v * v + w * w) / BIN
                for k in range(j, last):
                    place = places[k] if places[k] < end else beyond
                    m = max(int(place), 1)
                    t = place - m
                    p, q, s = t + 1.0, t - 1.0, t - 2.0
                    tq, ps = t * q, p * s
                    counted[m - 1] -= sixth * tq * s
                    counted[m] += second * q * ps
                    counted[m + 1] -= second * t * ps
                    counted[m + 2] += sixth * p * tq


def _share(row: Any, place: Any, weight: Any) -> None:
    """Add a distance, in bins, to the four bins around it (compiled)."""
    k = min(max(int(place), 1), len(row) - 3)
    t = place - k
    p, q, s = t + 1.0, t - 1.0, t - 2.0
    row[k - 1] -= weight * t * q * s / 6.0
    row[k] += weight * p * q * s / 2.0
    row[k + 1] -= weight * p * t * s / 2.0
    row[k + 2] += weight * p * t * q / 6.0


def _change(
    share: Any, positions: Any, kinds: Any, index: Any, to: Any, table: Any, counted: Any
) -> None:
    """Take an atom's distances out and put those from another place in (compiled)."""
    most = counted.shape[1] - 3
    for j in range(len(positions)):
        if j == index:
            continue
        row = counted[table[kinds[index], kinds[j]]]
        old, new = 0.0, 0.0
        for axis in range(3):
            old += (positions[j, axis] - positions[index, axis]) ** 2
            new += (positions[j, axis] - to[axis]) ** 2
        if np.sqrt(old) / BIN < most:
            share(row, np.sqrt(old) / BIN, -2.0)
        if np.sqrt(new) / BIN < most:
            share(row, np.sqrt(new) / BIN, 2.0)
