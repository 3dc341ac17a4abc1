"""Whether two structures in one host are the same, atom by atom.

A fingerprint tells quickly what is unlike. What it finds alike may still be a mirror image, or two
arrangements whose distances happen to agree: then atoms are paired one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from htinvert.geometry.congruent import cluster_distance, least_distance
from htinvert.geometry.distances import MANY_PAIRS, with_images, wrapped
from htinvert.geometry.roles import frozen_mask, region_mask, rigid_bodies, rigid_mask

SAME_HOST = 0.1  # Å: how far a frozen atom may be from its image under a symmetry of the host
LOOSE_HOST = 0.4  # Å: the same where no atom is frozen and the host has relaxed
SAME_BASIN = 0.3  # Å rms: within it a structure relaxes to where its neighbor did, 8 times of 10
BODY_ATOMS = 12  # of a rigid grain that tell where it is


@dataclass(frozen=True, eq=False)
class Operation:
    """``position * signs + shift`` [Å] maps a host onto itself; both of shape (3,)."""

    signs: NDArray[np.float64]
    shift: NDArray[np.float64]


IDENTITY = Operation(np.ones(3), np.zeros(3))


def host_operations(atoms: Atoms, *, mirrors: bool = False) -> list[Operation]:
    """Translations that map the frozen host of a structure onto itself, and mirrors on request.

    A host that repeats inside its cell has more than one; the first does nothing. With ``mirrors``
    reflections of x, y and z and their products (half turns, inversion) are tried too. Where no
    atom is frozen the relaxing host counts instead; without any host there is the identity alone.
    """
    frozen = frozen_mask(atoms)
    host = atoms[frozen if frozen.any() else ~region_mask(atoms) & ~rigid_mask(atoms)]
    tolerance = SAME_HOST if frozen.any() else LOOSE_HOST
    if not len(host):
        return [IDENTITY]
    found = [IDENTITY]
    for signs in product((1.0, -1.0), repeat=3) if mirrors else [(1.0, 1.0, 1.0)]:
        found += _operations(host, np.array(signs), tolerance)
    return found


def _operations(host: Atoms, signs: NDArray[np.float64], tolerance: float) -> list[Operation]:
    """Operations with these signs, without the identity."""
    cell = host.cell.complete()
    turned = cell.scaled_positions(cell.array * signs)[host.pbc]
    if np.abs(turned - np.round(turned)).max(initial=0.0) > 1e-3:
        return []  # the lattice is not kept
    species, counts = np.unique(host.numbers, return_counts=True)
    rare = np.flatnonzero(host.numbers == species[np.argmin(counts)])
    # Where the first of the rarest element may go.
    shifts = _nearest(host.positions[rare] - host.positions[rare[0]] * signs, host)
    kept = _keeping_many if len(host) ** 2 > MANY_PAIRS else _keeping
    return [
        Operation(signs, shift)
        for shift in kept(host, signs, shifts, tolerance)
        if not ((signs > 0).all() and np.linalg.norm(shift) < tolerance)  # which does nothing
    ]


def _keeping(
    host: Atoms, signs: NDArray[np.float64], shifts: NDArray[np.float64], tolerance: float
) -> list[NDArray[np.float64]]:
    """Those shifts that bring every atom of the host to one of its element."""
    found = []
    for shift in shifts:
        gaps = _gaps(host.positions * signs + shift, host.positions, host)
        gaps[host.numbers[:, None] != host.numbers] = np.inf
        if gaps.min(axis=1).max() < tolerance:
            found.append(shift)
    return found


def _keeping_many(
    host: Atoms, signs: NDArray[np.float64], shifts: NDArray[np.float64], tolerance: float
) -> list[NDArray[np.float64]]:
    """What :func:`_keeping` finds, by trees of neighbors: a few atoms refuse most shifts."""
    index, places = with_images(host, tolerance)
    trees = {
        number: cKDTree(places[host.numbers[index] == number]) for number in np.unique(host.numbers)
    }
    order = np.random.default_rng(0).permutation(len(host))
    start, size = 0, 4
    while start < len(order) and len(shifts):
        part, start = order[start : start + size], start + size
        good = np.ones(len(shifts), dtype=bool)
        for number, tree in trees.items():
            moved = host.positions[part[host.numbers[part] == number]] * signs
            points = wrapped((moved + shifts[:, None]).reshape(-1, 3), host)
            gaps = tree.query(points, distance_upper_bound=tolerance)[0]
            good &= np.isfinite(gaps).reshape(len(shifts), -1).all(axis=1)
        shifts = shifts[good]
        size = min(4 * size, max(1, MANY_PAIRS // max(len(shifts), 1)))
    return list(shifts)


def displacement(
    first: Atoms,
    second: Atoms,
    operations: Sequence[Operation] | None = None,
    *,
    turn: bool = True,
    off: float = 0.0,
) -> float:
    """Root-mean-square displacement [Å] between two structures in the same host.

    Atoms of the region are paired element by element so that the sum of squares is smallest (Kuhn's
    assignment), under each operation that keeps the host; the best counts. A rigid grain adds how
    far it is from where the other has it. Infinite where compositions differ. A free cluster has no
    host to be a frame of reference: it is laid over the other, turned and mirrored, or as it stands
    without ``turn``. Of a crystal that may change as a whole sorted distances are compared, as in
    Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014). Limits within are wider by ``off``
    [Å], for positions that are rounded.
    """
    ours, theirs = _region(first), _region(second)
    if not np.array_equal(np.sort(ours.numbers), np.sort(theirs.numbers)):
        return float("inf")
    if len(ours) == len(first):
        if not turn:
            return cluster_distance(ours, theirs, turn=False)
        return _turned(ours, theirs, off) if is_free(first) else _distance_lists(ours, theirs)
    found = float("inf")
    for operation in operations or host_operations(first):
        apart = _assigned(ours, theirs, operation)
        if apart < found:
            found = min(found, max(apart, _bodies_apart(first, second, operation)))
    return found


def _region(atoms: Atoms) -> Atoms:
    """What may change of a structure; a copy only where that is not all."""
    mask = region_mask(atoms)
    return atoms if mask.all() else atoms[mask]


def _turned(ours: Atoms, theirs: Atoms, off: float) -> float:
    """Rms distance [Å] of two clusters after the best turn; infinite where distances differ.

    What is cheap to tell is told first. Distances alone would not do: compact clusters of one
    number of atoms have much the same, an octahedron and a molten drop of 38 within 0.3 Å rms.
    """
    least, limit = least_distance(ours, theirs), SAME_BASIN + off
    if least > limit:
        return least
    return cluster_distance(ours, theirs) if _distance_lists(ours, theirs) < limit else np.inf


def is_free(atoms: Atoms) -> bool:
    """Whether all of a structure may change: a cluster, told from others by laying it over them.

    Unlike ones may have the same distances, or nearly.
    """
    return not atoms.pbc.any() and bool(region_mask(atoms).all())


def other_order(first: Atoms, second: Atoms) -> bool:
    """Whether two structures have their regions' atoms at the same sites, and unlike ones at some.

    Of an exchange of two among many atoms a fingerprint says hardly anything.
    """
    ours, theirs = _region(first), _region(second)
    if len(ours) != len(theirs) or len(np.unique(ours.numbers)) < 2:
        return False
    index, places = with_images(ours, 1.0)
    gaps, nearest = cKDTree(places).query(wrapped(theirs.positions, theirs))
    same = float(np.sqrt(np.mean(gaps**2))) <= SAME_BASIN
    return same and bool((ours.numbers[index[nearest]] != theirs.numbers).any())


def _assigned(ours: Atoms, theirs: Atoms, operation: Operation) -> float:
    if not len(ours):
        return 0.0
    moved = ours.positions * operation.signs + operation.shift
    squares = 0.0
    for number in np.unique(ours.numbers):
        pair = moved[ours.numbers == number], theirs.positions[theirs.numbers == number]
        cost = _gaps(*pair, theirs) ** 2
        squares += float(cost[linear_sum_assignment(cost)].sum())
    return float(np.sqrt(squares / len(ours)))


def _bodies_apart(first: Atoms, second: Atoms, operation: Operation) -> float:
    """Largest distance [Å] of a rigid body from its place in the other structure."""
    found = 0.0
    for body, other in zip(rigid_bodies(first), rigid_bodies(second), strict=True):
        some = body.index[:BODY_ATOMS]
        moved = first.positions[some] * operation.signs + operation.shift
        gaps = _gaps(moved, second.positions[other.index], second)
        gaps[first.numbers[some][:, None] != second.numbers[other.index]] = np.inf
        found = max(found, float(gaps.min(axis=1).max()))
    return found


def _distance_lists(first: Atoms, second: Atoms) -> float:
    """Rms difference [Å] of sorted distances, each pair of elements by itself."""
    if len(first) < 2:
        return 0.0
    return float(np.sqrt(np.mean((_sorted_distances(first) - _sorted_distances(second)) ** 2)))


def _sorted_distances(atoms: Atoms) -> NDArray[np.float64]:
    i, j = np.triu_indices(len(atoms), 1)
    if atoms.pbc.any():
        gaps = _gaps(atoms.positions, atoms.positions, atoms)[i, j]
    else:
        gaps = pdist(atoms.positions)
    kinds = np.sort(atoms.numbers[np.stack([i, j])], axis=0)
    return np.asarray(gaps[np.lexsort((gaps, kinds[1], kinds[0]))])


def _nearest(vectors: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """The shortest periodic image of vectors, shape (..., 3) [Å]; right for short ones."""
    fractions = vectors @ np.linalg.inv(atoms.cell.complete().array)
    return np.asarray(vectors - (np.round(fractions) * atoms.pbc) @ atoms.cell.complete().array)


def _gaps(
    first: NDArray[np.float64], second: NDArray[np.float64], atoms: Atoms
) -> NDArray[np.float64]:
    """Distances [Å] between points, shapes (m, 3) and (n, 3), to nearest images: shape (m, n)."""
    return np.asarray(np.linalg.norm(_nearest(first[:, None] - second[None], atoms), axis=-1))
