"""Move one of two grains against the other, and remove what then collides."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.geometry.heights import in_one_piece

CLOSEST = 1.0  # Å: of two atoms nearer than this across the boundary, the lower one goes


def move_grain(
    atoms: Atoms,
    *,
    normal: Floats,
    width: float,
    along: Floats | None = None,
    height: float | None = None,
) -> Atoms:
    """Shift all atoms above a boundary by ``width`` [Å] along its normal; the cell grows with them.

    Positive widths open a gap; negative ones close it, and an atom of the lower grain that comes
    within 1 Å of one of the upper is removed, so that the image changes there by a jump. The other
    boundary of a periodic cell keeps its width; it is where there is vacuum, else at the cell's end
    (:func:`htinvert.geometry.heights.in_one_piece`).

    Args:
        atoms: the bicrystal, left as it is; returned itself where nothing moves.
        normal: unit vector across the boundary, from the lower to the upper grain, shape (3,).
        width: change of the distance between the grains [Å].
        along: shift of the upper grain in the boundary's plane [Å], shape (3,); None: none.
        height: position of the boundary along ``normal`` [Å]; None: the middle of the cell.
    """
    shift = np.zeros(3) if along is None else np.asarray(along, dtype=float)
    if width == 0 and not shift.any():
        return atoms
    if height is None:
        height = float(atoms.cell.sum(axis=0) @ normal) / 2
    moved: Atoms = atoms.copy()
    moved.set_constraint()
    moved.positions[:] = in_one_piece(atoms, normal, around=(height, height))
    level = moved.positions @ normal
    upper = level >= height - 1e-6
    moved.positions[upper] += width * normal + shift
    _stretch_cell(moved, normal, width)
    if width < 0:
        del moved[_collided(moved, level, upper, height + width)]
    return moved


def _stretch_cell(atoms: Atoms, normal: Floats, width: float) -> None:
    """Lengthen the cell vector that crosses the boundary most steeply."""
    lengths = np.linalg.norm(atoms.cell.array, axis=1)
    steepness = atoms.cell.array @ normal / np.where(lengths > 0, lengths, 1.0)
    across = int(np.argmax(np.abs(steepness)))
    if abs(steepness[across]) > 1e-6:
        cell = atoms.cell.array.copy()
        cell[across] += width * normal * np.sign(steepness[across])
        atoms.set_cell(cell, scale_atoms=False)


def _collided(atoms: Atoms, level: Floats, upper: NDArray[np.bool_], floor: float) -> list[int]:
    """Atoms of the lower grain within ``CLOSEST`` of an atom of the upper one, lowest index first.

    ``level`` is every atom's height before the move; the upper grain now begins at ``floor``.
    """
    below = np.flatnonzero(~upper & (level > floor - CLOSEST))
    if not below.size:
        return []
    above = np.flatnonzero(upper)
    above = above[np.argsort(level[above], kind="stable")]
    reach = level[below].max() - floor + CLOSEST  # how deep the grains now overlap
    above = above[level[above] - level[above[0]] <= reach + CLOSEST] if above.size else above
    apart = atoms.positions[below][:, None] - atoms.positions[above][None]
    _, distance = find_mic(apart.reshape(-1, 3), atoms.cell, atoms.pbc)
    near = distance.reshape(len(below), -1) < CLOSEST
    return [int(index) for index in below[near.any(axis=1)]]
