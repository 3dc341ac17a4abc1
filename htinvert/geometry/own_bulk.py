"""The crystal that a grain is made of, read off the start structure itself."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.geometry.distances import near_pairs
from htinvert.geometry.heights import rising

SAME = 0.35  # Å: an atom and its repeat
EDGES = (2.0, 0.5)  # Å at either end of a grain, where it may be relaxed or terminated
SPAN = 1.4  # repeats that must be there
FIRST, STEPS = 6, 300  # lowest atoms, and of each the nearest above, whose distance may be a repeat


def own_bulk(atoms: Atoms, *, axis: int, lower: float, upper: float) -> Atoms:
    """Cell of the crystal [Å] between two heights along an axis (0, 1, 2) that a cell vector has.

    It has the in-plane vectors of the structure and the shortest repeat along the axis. Raises
    :class:`UserError` where nothing repeats there.
    """
    height = atoms.positions[:, axis]
    for edge in EDGES:
        inside = np.flatnonzero((height > lower + edge) & (height < upper - edge))
        order = inside[np.argsort(height[inside], kind="stable")]
        for first in order[: min(max(1, len(order) // 3), FIRST)]:
            like = order[atoms.numbers[order] == atoms.numbers[first]]
            for second in like[height[like] > height[first] + 1.0][:STEPS]:
                step = atoms.positions[second] - atoms.positions[first]
                if _repeats(atoms, order, step, axis):
                    return _cell(atoms, order, float(height[first]), step, axis)
    raise UserError(
        f"no crystal repeats between {lower:.1f} and {upper:.1f} Å of the start structure; name "
        "the phase that it is made of by a formula or a file"
    )


def _repeats(atoms: Atoms, order: NDArray[np.intp], step: NDArray[np.float64], axis: int) -> bool:
    """Whether every atom of ``order`` whose repeat is inside has one of its element there."""
    height = atoms.positions[:, axis]
    moved = order[height[order] + step[axis] <= height[order].max() + 1e-3]
    if not len(moved) or height[order].max() - height[order].min() < SPAN * step[axis]:
        return False
    both = atoms[order] + Atoms(
        atoms.numbers[moved], atoms.positions[moved] + step, cell=atoms.cell, pbc=atoms.pbc
    )
    i, j, _ = near_pairs(both, cutoff=SAME, chosen=np.arange(len(both)))
    count = len(order)
    like = (i < count) & (j >= count) & (both.numbers[i] == both.numbers[j])
    like |= (j < count) & (i >= count) & (both.numbers[i] == both.numbers[j])
    return len(set(np.maximum(i, j)[like].tolist())) == len(moved)


def _cell(
    atoms: Atoms, order: NDArray[np.intp], low: float, step: NDArray[np.float64], axis: int
) -> Atoms:
    height = atoms.positions[order, axis]
    chosen = order[(height > low - 0.1) & (height < low + step[axis] - 0.1)]
    cell = atoms.cell.array.copy()
    cell[rising(atoms, axis)] = step
    return Atoms(atoms.numbers[chosen], atoms.positions[chosen], cell=cell, pbc=True)
