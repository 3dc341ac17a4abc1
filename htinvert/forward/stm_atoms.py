"""An approximate density of states from atoms alone: one decaying s orbital on each.

Tersoff & Hamann, Phys. Rev. B 31, 805 (1985), section IV: far from a metal the superposition of
atoms with the decay of the work function has about the right corrugation. It knows no bonds, no
band gap and no bias: good enough to drop candidates, never to choose one.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Annotated, ClassVar

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import NDArray
from pydantic import PositiveFloat

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter
from htinvert.density.grid import Density
from htinvert.geometry.heights import in_one_piece

DECAY = 0.51232  # sqrt(2 m) / hbar [1/Å per sqrt(eV)]
AT_RADIUS = 0.1  # 1/Å³ at the covalent radius: the order of what calculations give
_DEEP = 3.0  # Å under the topmost atom down to which there is a grid
_FAR = 12.0  # Å beyond which an orbital is left out
_ROOM = 16.0  # Å from the topmost atom to its next image at least


@dataclass(frozen=True)
class AtomDensity:
    """Sum of ``exp(-2 kappa (d - r))`` over atoms at distance d with covalent radius r.

    Always labeled approximate; there is one interval of unknown energies.

    Attributes:
        work_function: decides the decay, ``kappa = sqrt(2 m phi) / hbar`` [eV].
        step: of the grid [Å], at most.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. Tersoff and D. R. Hamann, Phys. Rev. B 31, 805 (1985), doi:10.1103/PhysRevB.31.805.",
    )

    work_function: Annotated[PositiveFloat, Parameter("eV")] = 4.7
    step: Annotated[PositiveFloat, Parameter("Å")] = 0.2

    def __call__(self, atoms: Atoms) -> Density:
        """The density over the upper surface of ``atoms``, constant farther down than 3 Å."""
        if not len(atoms):
            raise UserError("the structure has no atoms, so no image can be made of them")
        slab = _with_vacuum(atoms)
        counts = [ceil(length / self.step) for length in slab.cell.lengths()]
        top = slab.positions[:, 2].max()
        z = np.arange(counts[2]) * slab.cell.array[2, 2] / counts[2]
        above = np.flatnonzero((z > top - _DEEP) & (z < top + _ROOM / 2 - 1e-6))
        fractions = np.stack(
            np.meshgrid(*(np.arange(n) / n for n in counts[:2]), indexing="ij"), axis=-1
        )
        plane = fractions @ slab.cell.array[:2, :2]
        values = np.full(counts, AT_RADIUS)
        values[:, :, (z > top) | (z < slab.positions[:, 2].min())] = 1e-15
        values[:, :, above] = self._sum(slab, plane, z[above], top)
        kappa = DECAY * np.sqrt(self.work_function)
        method = f"approximate: decaying orbitals of single atoms, kappa {kappa:.2f} 1/Å"
        return Density(values[None].astype(np.float32), slab, (), "approximate", method)

    def _sum(
        self, slab: Atoms, plane: NDArray[np.float64], z: NDArray[np.float64], top: float
    ) -> NDArray[np.float64]:
        """Orbitals at points of a plane, shape (n1, n2, 2), and heights, shape (n3,) [Å]."""
        kappa = DECAY * np.sqrt(self.work_function)
        cell = slab.cell.array[:2, :2]
        spans = [ceil(_FAR * float(np.linalg.norm(row))) for row in np.linalg.inv(cell).T]
        found = np.zeros((*plane.shape[:2], len(z)))
        for atom in slab:
            if atom.position[2] < top - _FAR / 2:
                continue
            radius = covalent_radii[atom.number]
            for i in range(-spans[0], spans[0] + 1):
                for j in range(-spans[1], spans[1] + 1):
                    place = atom.position[:2] + np.array([i, j]) @ cell
                    square = ((plane - place) ** 2).sum(axis=-1)
                    if square.min() > _FAR**2:
                        continue
                    distance = np.sqrt(square[..., None] + (z - atom.position[2]) ** 2)
                    found += AT_RADIUS * np.exp(-2 * kappa * (distance - radius))
        return found


def _with_vacuum(atoms: Atoms) -> Atoms:
    """A copy, periodic, with the topmost atom at least 16 Å below the next image's lowest."""
    places = in_one_piece(atoms, np.array([0.0, 0.0, 1.0]))
    slab = Atoms(atoms.numbers, places, cell=atoms.cell.array, pbc=True)
    whole = np.floor(slab.cell.scaled_positions(places) + 1e-9) * [1, 1, 0]
    slab.positions -= whole @ slab.cell.array
    thick = float(np.ptp(slab.positions[:, 2]))
    length = max(float(slab.cell.array[2, 2]), thick + _ROOM)
    slab.cell[2] = [0.0, 0.0, length]
    slab.positions[:, 2] += (length - thick) / 2 - slab.positions[:, 2].min()
    return slab
