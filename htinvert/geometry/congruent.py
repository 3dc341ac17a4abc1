"""Whether two free clusters are one, turned or mirrored: sorted distances alone cannot tell.

Unlike orders of elements over the same sites may have the same distances, element by element
(homometric structures: A. L. Patterson, Phys. Rev. 65, 195 (1944)).
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from htinvert.core import Floats

Integers = NDArray[np.integer]

LOOSE = 0.5  # Å: by how much lengths may differ in atoms that are tried for one another
MOST = 600  # turns that are tried
LOOKED_AT = 40  # atoms, at most, that choose among them
FINALISTS = 2  # turns that all atoms judge


def cluster_distance(first: Atoms, second: Atoms, *, turn: bool = True) -> float:
    """Rms distance [Å] between atoms of two clusters of one composition, their centers in one.

    Equal atoms are paired so that the sum of squares is smallest; with ``turn`` after the rotation,
    proper or not, that brings them closest. Two atoms of the first are laid on every two of the
    second that are as far from the center and from each other.
    """
    ours, theirs = (atoms.positions - atoms.positions.mean(axis=0) for atoms in (first, second))
    here = _paired(ours, theirs, first.numbers, second.numbers)[0]
    if not turn or len(first) < 3 or here < 0.05:
        return here
    turns = _turns(ours, theirs, first.numbers, second.numbers)
    if not len(turns):
        return here
    some = np.unique(np.linspace(0, len(ours) - 1, LOOKED_AT).astype(int))
    turned = np.einsum("mij,nj->mni", turns, ours[some])
    apart = _nearest(turned, theirs, first.numbers[some], second.numbers)
    for chosen in turns[np.argsort(apart, kind="stable")[:FINALISTS]]:
        _, order = _paired(ours @ chosen.T, theirs, first.numbers, second.numbers)
        here = min(here, _least(ours, theirs[order]))
    return here


def _turns(ours: Floats, theirs: Floats, numbers: Integers, others: Integers) -> Floats:
    """Rotations that lay two atoms of the first on two of the second, shape (m, 3, 3)."""
    far = np.linalg.norm(ours, axis=1)
    kinds, counts = np.unique(numbers, return_counts=True)
    rare = np.flatnonzero(numbers == kinds[np.argmin(counts)])
    i = int(rare[np.argmax(far[rare])])
    across = np.linalg.norm(_cross(ours, ours[i]), axis=1)
    j = int(rare[np.argmax(across[rare])]) if across[rare].max() > 1.0 else int(np.argmax(across))
    away = np.linalg.norm(theirs, axis=1)
    firsts = np.flatnonzero((others == numbers[i]) & (np.abs(away - far[i]) < LOOSE))
    seconds = np.flatnonzero((others == numbers[j]) & (np.abs(away - far[j]) < LOOSE))
    gaps = np.linalg.norm(theirs[firsts][:, None] - theirs[seconds][None], axis=-1)
    fits = np.abs(gaps - np.linalg.norm(ours[i] - ours[j])) < LOOSE
    p, q = np.nonzero(fits & (firsts[:, None] != seconds[None]))
    frame = _frames(ours[i][None], ours[j][None])[0]
    frames = _frames(theirs[firsts[p]], theirs[seconds[q]])
    both = np.concatenate([frames, frames * [1.0, 1.0, -1.0]])
    return np.asarray(both[:MOST] @ frame.T)


def _frames(ones: Floats, twos: Floats) -> Floats:
    """Orthonormal columns, along one vector, toward the other, across both: shape (m, 3, 3)."""
    along = ones / np.maximum(np.linalg.norm(ones, axis=1, keepdims=True), 1e-12)
    beside = twos - along * (twos * along).sum(axis=1, keepdims=True)
    beside = beside / np.maximum(np.linalg.norm(beside, axis=1, keepdims=True), 1e-12)
    return np.stack([along, beside, _cross(along, beside)], axis=2)


def _cross(ones: Floats, twos: Floats) -> Floats:
    """Vector products, shape (..., 3); of so few NumPy's own takes five times as long."""
    x, y, z = ones.T
    u, v, w = twos.T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=-1)


def least_distance(first: Atoms, second: Atoms) -> float:
    """Rms distance [Å] below which no turn brings two clusters of one composition: by radii."""
    found = 0.0
    for number in np.unique(first.numbers):
        ours, theirs = (
            np.sort(
                np.linalg.norm(a.positions - a.positions.mean(axis=0), axis=1)[a.numbers == number]
            )
            for a in (first, second)
        )
        found += float(((ours - theirs) ** 2).sum())
    return float(np.sqrt(found / len(first)))


def _nearest(turned: Floats, theirs: Floats, numbers: Integers, others: Integers) -> Floats:
    """Sum of squares to the nearest equal atom of each turned structure, shape (m,)."""
    found = np.zeros(len(turned))
    for number in np.unique(numbers):
        gaps = turned[:, numbers == number, None] - theirs[None, None, others == number]
        found += (gaps**2).sum(axis=-1).min(axis=-1).sum(axis=-1)
    return found


def _paired(
    ours: Floats, theirs: Floats, numbers: Integers, others: Integers
) -> tuple[float, NDArray[np.intp]]:
    """Rms distance of paired equal atoms, and the place of each one's partner."""
    order, squares = np.zeros(len(ours), dtype=np.intp), 0.0
    for number in np.unique(numbers):
        mine, others_at = np.flatnonzero(numbers == number), np.flatnonzero(others == number)
        cost = ((ours[mine][:, None] - theirs[others_at][None]) ** 2).sum(axis=-1)
        rows, columns = linear_sum_assignment(cost)
        order[mine[rows]] = others_at[columns]
        squares += float(cost[rows, columns].sum())
    return float(np.sqrt(squares / len(ours))), order


def _least(ours: Floats, theirs: Floats) -> float:
    """Rms distance after the best rotation or mirroring (Kabsch, Acta Cryst. A 32, 922 (1976))."""
    left, _, right = np.linalg.svd(ours.T @ theirs)
    return float(np.sqrt((((ours @ (left @ right)) - theirs) ** 2).sum(axis=1).mean()))
