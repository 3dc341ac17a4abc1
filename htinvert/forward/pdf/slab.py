"""Structures with vacuum around them: what of a cell is a slab, and what its layers scatter.

Of a sheet that goes on in two directions, turned to all sides as in a powder, the number of pairs
at distance r grows as r, so that R(r)/r does not end. What does not is known: that of layers with
their atoms smeared out sideways, ``2 pi / A`` per pair of layers from their distance on, whose
transform is the (00) rod, ``2 pi cos(Q z) / (A Q)``. It is taken off in r, where the rest ends
soon, and put back in Q, where Qmin cuts it off: no shape and no density enter, and no baseline is
left to choose.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.special import erf

from htinvert.core import Floats, UserError
from htinvert.forward.pdf.pairs import couples, kinds_of

VACUUM = 8.0  # Å without an atom's center across a periodic cell: more than any layers' gap
STEP = 0.01  # Å, to which heights of layers are told apart


def freed(atoms: Atoms) -> Atoms:
    """The structure, not periodic across vacuum; the same object where there is none.

    Raises:
        UserError: where it repeats in one direction only.
    """
    if not len(atoms):
        return atoms
    pbc = atoms.pbc.copy()
    positions = atoms.get_positions()
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.complete().array), axis=0)
    moved = False
    for axis in np.flatnonzero(atoms.pbc):
        along = np.linalg.solve(atoms.cell.array.T, positions.T)[axis]
        place = np.sort(along % 1.0)
        gaps = np.diff([*place, place[0] + 1.0])
        if gaps.max() * heights[axis] > VACUUM:
            first = place[(int(np.argmax(gaps)) + 1) % len(place)]
            shift = np.floor(along - first + 1e-9)
            positions = positions - shift[:, None] * atoms.cell.array[axis]
            pbc[axis], moved = False, True
    if pbc.sum() == 1:
        raise UserError(
            "the structure repeats in one direction only, for which G(r) is not simulated; give a "
            "crystal, a slab or a free cluster"
        )
    if not moved:
        return atoms
    return Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=pbc)


class Layers:
    """Heights of a slab's atoms above each other, by two elements, for the part that never ends.

    Args:
        atoms: periodic in two directions.
        zoom: factor on all lengths.
    """

    def __init__(self, atoms: Atoms, zoom: float) -> None:
        symbols, kinds = kinds_of(atoms)
        one, two = atoms.cell.array[atoms.pbc]
        normal = np.cross(one, two)
        area = float(np.linalg.norm(normal))
        z = atoms.positions @ (normal / area)
        self._scale = 2.0 * np.pi / (len(atoms) * area * zoom**2)
        self._heights: list[tuple[Floats, NDArray[np.intp]]] = []
        for a, b in couples(len(symbols)):
            apart = np.abs(z[kinds == a][:, None] - z[kinds == b]).ravel()
            steps, counts = np.unique(np.round(apart / STEP).astype(int), return_counts=True)
            self._heights.append((steps * STEP * zoom, counts * (1 if a == b else 2)))

    def over_r(self, r: Floats, row: int, variance: float) -> Floats:
        """Their part of R(r)/r [Å⁻²] per two elements, smeared by thermal motion [Å²]."""
        heights, counts = self._heights[row]
        width = np.sqrt(2.0 * variance)
        values = erf((r[:, None] + heights) / width) + erf((r[:, None] - heights) / width)
        return np.asarray(0.5 * self._scale * values @ counts)

    def over_q(self, q: Floats, row: int, variance: float) -> Floats:
        """Its sine transform [1/Å] at Q [1/Å], 0 at Q = 0."""
        heights, counts = self._heights[row]
        rod = np.cos(q[:, None] * heights) @ counts * np.exp(-variance * q**2 / 2.0)
        return np.asarray(self._scale * rod / np.where(q > 0, q, np.inf))
