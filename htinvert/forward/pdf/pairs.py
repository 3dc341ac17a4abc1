"""Histogram of pair distances, by cell lists, for clusters and crystals.

Each distance is shared among the four nearest bins by Lagrange's cubic, which keeps its mean,
variance and third moment. Cell lists: Allen & Tildesley, *Computer Simulation of Liquids* (1987),
section 5.3.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats

BIN = 0.01  # Å
CELLS_PER_REACH = 3  # that a cell list divides the reach into
MOST_CELLS = 2_000_000


def kinds_of(atoms: Atoms) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Elements of a structure in alphabetical order, and the place of each atom's among them."""
    symbols, which = np.unique(atoms.get_chemical_symbols(), return_inverse=True)
    return tuple(map(str, symbols)), which.astype(np.int64)


def rows(count: int) -> NDArray[np.int64]:
    """Row of a histogram for each two of so many elements, shape (count, count), symmetric."""
    table = np.zeros((count, count), dtype=np.int64)
    upper = np.triu_indices(count)
    table[upper] = np.arange(len(upper[0]))
    return np.maximum(table, table.T)


def longest(atoms: Atoms) -> float:
    """Longest distance [Å] of two atoms of a cluster."""
    counted = histogram(atoms, float(np.linalg.norm(np.ptp(atoms.positions, axis=0))) + 2 * BIN)
    return float(BIN * np.flatnonzero(counted.sum(axis=0) > 0.5)[-1])


def histogram(atoms: Atoms, reach: float) -> Floats:
    """Ordered pairs per bin of distance, shape (element pairs, bins), up to ``reach`` [Å].

    Bin k is for a distance of k times :data:`BIN`. Along periodic directions all images count.
    """
    symbols, kinds = kinds_of(atoms)
    positions = np.ascontiguousarray(atoms.positions, dtype=float)
    points, owners = images(atoms, reach)
    counted = np.zeros((len(symbols) * (len(symbols) + 1) // 2, int(reach / BIN) + 4))
    order, cells = _cells(points, reach)
    half = not atoms.pbc.any()
    if not half:
        positions = np.ascontiguousarray(points[: len(atoms)])
    compiled(_count)(
        *(compiled(_share), positions, kinds, points[order], kinds[owners[order]], order, cells),
        *(reach, half, rows(len(symbols)), counted),
    )
    return counted


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


def _cells(points: Floats, reach: float) -> tuple[NDArray[np.int64], tuple[Any, ...]]:
    """Order of points by cell; first of each cell, lower corner, side [Å] and number of cells."""
    corner = points.min(axis=0)
    extent = points.max(axis=0) - corner
    side = max(reach / CELLS_PER_REACH, float(np.cbrt(np.prod(extent + 1.0) / MOST_CELLS)))
    shape = (extent / side).astype(np.int64) + 1
    place = ((points - corner) / side).astype(np.int64)
    number = (place[:, 0] * shape[1] + place[:, 1]) * shape[2] + place[:, 2]
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], np.arange(int(shape.prod()) + 1))
    return order, (first, corner, side, shape)


@functools.cache
def compiled(function: Callable[..., Any]) -> Any:
    """A loop over numbers as machine code, compiled once and kept on disk."""
    from numba import njit  # here: it loads LLVM, which only this needs

    return njit(cache=True, nogil=True, fastmath=True)(function)


def _count(
    share: Any,
    centers: Any,
    center_kinds: Any,
    points: Any,
    point_kinds: Any,
    numbers: Any,
    cells: Any,
    reach: Any,
    half: Any,
    table: Any,
    counted: Any,
) -> None:
    """Share out all distances from centers to points in the cells within reach (compiled)."""
    first, corner, side, shape = cells
    squared = reach * reach
    weight = 2.0 if half else 1.0
    for i in range(len(centers)):
        x, y, z = centers[i, 0], centers[i, 1], centers[i, 2]
        low0 = max(int((x - reach - corner[0]) / side), 0)
        low1 = max(int((y - reach - corner[1]) / side), 0)
        low2 = max(int((z - reach - corner[2]) / side), 0)
        high0 = min(int((x + reach - corner[0]) / side), shape[0] - 1)
        high1 = min(int((y + reach - corner[1]) / side), shape[1] - 1)
        high2 = min(int((z + reach - corner[2]) / side), shape[2] - 1)
        for a in range(low0, high0 + 1):
            lower = corner[0] + a * side
            dx = max(lower - x, x - lower - side, 0.0)
            for b in range(low1, high1 + 1):
                lower = corner[1] + b * side
                dy = max(lower - y, y - lower - side, 0.0)
                if dx * dx + dy * dy >= squared:
                    continue
                line = (a * shape[1] + b) * shape[2]
                for j in range(first[line + low2], first[line + high2 + 1]):
                    if numbers[j] == i or (half and numbers[j] < i):
                        continue
                    u, v, w = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
                    distance = u * u + v * v + w * w
                    if distance < squared:
                        row = counted[table[center_kinds[i], point_kinds[j]]]
                        share(row, np.sqrt(distance) / BIN, weight)


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
