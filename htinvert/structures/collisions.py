"""Atoms of two grains that lie too near to each other, and which of them go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import UserError
from htinvert.geometry.distances import covalent_distances, limits

REACH = 4.0  # Å: atoms farther apart never touch
GRID = 0.25  # Å between the shifts that are tried


def collisions(
    atoms: Atoms,
    mask: NDArray[np.bool_],
    min_distance: float | Mapping[frozenset[str], float] | None = None,
) -> NDArray[np.int64]:
    """Pairs (inside ``mask``, outside of it) of atoms that are too near, shape (m, 2), sorted.

    ``min_distance`` [Å]: one length, one per pair of elements, or by default 0.7 of the sum of the
    covalent radii. All periodic images count.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    kinds, index = np.unique(symbols, return_inverse=True)
    allowed = _allowed(kinds, min_distance)
    cutoff = float(allowed.max(initial=0.0))
    inside, outside = np.flatnonzero(mask), np.flatnonzero(~mask)
    if not cutoff or not len(inside) or not len(outside):
        return np.empty((0, 2), dtype=np.int64)
    images, owners = _images(atoms, outside, cutoff)
    low, high = atoms.positions[inside].min(axis=0), atoms.positions[inside].max(axis=0)
    near = ((images >= low - cutoff) & (images <= high + cutoff)).all(axis=1)
    images, owners = images[near], owners[near]
    found = cKDTree(atoms.positions[inside]).sparse_distance_matrix(
        cKDTree(images), cutoff, output_type="coo_matrix"
    )
    i, j = inside[found.row], owners[found.col]
    close = found.data < allowed[index[i], index[j]] - 1e-6
    return np.unique(np.column_stack([i[close], j[close]]), axis=0).astype(np.int64)


def removed(
    atoms: Atoms,
    mask: NDArray[np.bool_],
    boundaries: Sequence[float],
    *,
    min_distance: float | Mapping[frozenset[str], float] | None = None,
    units: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Which atoms of ``mask`` have to go so that no collision with the others is left, shape (n,).

    With ``units``, the atomic numbers of a formula unit or a multiple, whole formula units go: of
    the elements that too few of collide, the atoms nearest to one of the ``boundaries`` (heights
    along z [Å], periodic), those at lower y and x first.
    """
    lost = np.zeros(len(atoms), dtype=bool)
    lost[collisions(atoms, mask, min_distance)[:, 0]] = True
    if units is None or not lost.any():
        return lost
    kinds, counts = np.unique(units, return_counts=True)
    counts = counts // np.gcd.reduce(counts)
    gone = np.array([(atoms.numbers[lost] == kind).sum() for kind in kinds])
    whole = int(np.ceil(gone / counts).max())
    height = atoms.cell.array[2, 2]
    away = atoms.positions[:, 2, None] - np.asarray(boundaries)
    away = np.abs(away - height * np.rint(away / height)).min(axis=1)
    x, y, _ = np.round(atoms.positions, 3).T
    order = np.lexsort((x, y, np.round(away, 3)))
    for kind, missing in zip(kinds, whole * counts - gone, strict=True):
        candidates = order[(mask & ~lost & (atoms.numbers == kind))[order]]
        lost[candidates[:missing]] = True
    return lost


def roomiest_shift(
    lower: Atoms,
    upper: Atoms,
    *,
    period: NDArray[np.float64],
    min_distance: float | Mapping[frozenset[str], float] | None = None,
) -> tuple[float, float]:
    """Shift of the upper grain in the plane (x, y) [Å] that lets two grains touch least.

    No shift where no two atoms of different grains are too near (``min_distance`` as for
    :func:`collisions`). Otherwise a grid of at most ``GRID`` Å over ``period``, the upper grain's
    plane lattice [Å], rows, shape (2, 2), is searched for the least sum of squared overlaps of
    hard spheres of covalent radii, divided by the sum of both radii. Only the boundary below the
    upper grain counts.
    """
    low, high = (_face(grain, up) for grain, up in ((lower, True), (upper, False)))
    both = low + high
    above = np.arange(len(both)) >= len(low)
    if not len(collisions(both, above, min_distance)):
        return 0.0, 0.0
    images, owners = _images(low, np.arange(len(low)), REACH)
    tree = cKDTree(images)
    radii = np.asarray(covalent_radii)
    shares = [np.arange(n) / n for n in np.ceil(np.linalg.norm(period, axis=1) / GRID).astype(int)]
    shifts = np.stack(np.meshgrid(*shares, indexing="ij"), axis=-1).reshape(-1, 2) @ period
    costs = []
    for shift in shifts:
        moved = high.positions + np.append(shift, 0.0)
        found = cKDTree(_wrapped(moved, low.cell)).sparse_distance_matrix(
            tree, REACH, output_type="coo_matrix"
        )
        touch = radii[high.numbers[found.row]] + radii[low.numbers[owners[found.col]]]
        costs.append(float((np.maximum(1.0 - found.data / touch, 0.0) ** 2).sum()))
    best = shifts[int(np.argmin(np.round(costs, 6)))]
    return float(best[0]), float(best[1])


def _face(grain: Atoms, up: bool) -> Atoms:
    """The atoms of a grain that could touch another one above, or below, it."""
    height = grain.positions[:, 2]
    near = height > height.max() - REACH if up else height < height.min() + REACH
    face: Atoms = grain[near]
    face.pbc = (True, True, False)
    return face


def _wrapped(positions: NDArray[np.float64], cell: Cell) -> NDArray[np.float64]:
    """Positions [Å] inside of the cell along its first two vectors."""
    plane = cell.array[:2, :2]
    fractions = positions[:, :2] @ np.linalg.inv(plane)
    return np.column_stack([(fractions % 1.0) @ plane, positions[:, 2]])


def _allowed(
    kinds: NDArray[np.str_], min_distance: float | Mapping[frozenset[str], float] | None
) -> NDArray[np.float64]:
    if min_distance is None:
        min_distance = covalent_distances(kinds)
    if isinstance(min_distance, Mapping):
        return limits(kinds, kinds, min_distance)
    if not 0 <= min_distance < 5:
        raise UserError(f"min_distance is {min_distance} Å; give a length from 0 to 5 Å")
    return np.full((len(kinds), len(kinds)), float(min_distance))


def _images(
    atoms: Atoms, chosen: NDArray[np.int64], cutoff: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Positions of periodic images within ``cutoff`` [Å] of the cell, and whose they are."""
    inverse = np.linalg.inv(atoms.cell.array)
    margin = cutoff * np.linalg.norm(inverse, axis=0) + 1e-6
    fractions = atoms.positions[chosen] @ inverse
    shifts = [np.arange(-n, n + 1) for n in np.ceil(margin).astype(int)]
    images, owners = [], []
    for move in np.stack(np.meshgrid(*shifts, indexing="ij"), axis=-1).reshape(-1, 3):
        moved = fractions + move
        near = ((moved > -margin) & (moved < 1 + margin)).all(axis=1)
        images.append(moved[near] @ atoms.cell.array)
        owners.append(chosen[near])
    return np.concatenate(images), np.concatenate(owners)
