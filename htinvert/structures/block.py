"""One oriented crystal in a periodic cell."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from ase import Atoms

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter
from htinvert.structures.coincidence import coincidences
from htinvert.structures.near_csl import Range
from htinvert.structures.oriented import Grain, oriented
from htinvert.structures.stacking import stacks

STRAIGHT = 1e-3  # Å that the third vector may lean


def oriented_crystal(
    grain: Grain,
    *,
    width: Range,
    depth: Range,
    height: Range,
    max_turn: Annotated[float, Parameter("degrees", 0.0)] = 0.5,
) -> Atoms:
    """Build a crystal in a cell that its lattice repeats exactly, seen as the grain says.

    The first vector is along x, the beam; the second lies in the plane of x and y; the third points
    up. The cell is the smallest one within the ranges [Å], a rectangular one where there is one.
    A plane that is not rational is brought onto one that is by a turn of up to ``max_turn``
    [degrees]. Raises :class:`UserError` where no repeat of the lattice fits.
    """
    crystal = oriented(grain)
    row = coincidences(
        grain, grain, width=width, depth=depth, max_strain=0.0, max_turn=max_turn, height=1.0
    )[0]
    stack, _ = stacks(crystal, crystal, row)
    low, high = height
    first, last = int(np.ceil(low / stack.repeat - 1e-6)), int(high / stack.repeat + 1e-6)
    counts = np.arange(max(first, 1), last + 1)
    if not len(counts):
        raise UserError(
            f"height {low:g} to {high:g} Å holds no repeat of {crystal.name}, whose planes are "
            f"{stack.repeat:.3f} Å apart; widen it"
        )
    leans = (counts[:, None, None] * stack.step[:2] - stack.points[:, :2]) @ np.linalg.inv(row.cell)
    leans = ((leans - np.rint(leans)) @ np.array(row.cell)).reshape(-1, 2)
    counts = np.repeat(counts, len(stack.points))
    size = np.linalg.norm(leans, axis=1)
    best = int(np.argmin(np.where(size < STRAIGHT, 0.0, np.round(size, 3))))
    cell = np.zeros((3, 3))
    cell[:2, :2] = row.cell
    cell[2] = *np.where(size[best] < STRAIGHT, 0.0, leans[best]), counts[best] * stack.repeat
    start = stack.terminations()[0].height
    numbers, positions = stack.fill(start, start + cell[2, 2])
    positions[:, 2] -= start
    atoms = Atoms(numbers, positions=positions, cell=cell, pbc=True)
    atoms.wrap(eps=1e-6)
    return atoms
