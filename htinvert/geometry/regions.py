"""Which of many structures may have the atoms of a region where another has them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell
from numpy.typing import NDArray

from htinvert.geometry.roles import region_mask

CHUNK = 512  # structures that are compared at once


@dataclass(eq=False)
class _Alike:
    """Structures of one composition of the region."""

    numbers: list[int] = field(default_factory=list)
    cells: list[NDArray[np.float64]] = field(default_factory=list)  # (3, 3) each [Å]
    positions: list[NDArray[np.float64]] = field(default_factory=list)  # (atoms, 3) each [Å]


class Regions:
    """Regions of structures, searched without pairing the atoms of each."""

    def __init__(self) -> None:
        self._alike: dict[bytes, _Alike] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, atoms: Atoms) -> None:
        """Remember a structure; its number is how many came before."""
        key, _, positions = _sorted(atoms)
        alike = self._alike.setdefault(key, _Alike())
        alike.numbers.append(self._count)
        alike.cells.append(complete_cell(atoms.cell.array))
        alike.positions.append(positions)
        self._count += 1

    def near(self, atoms: Atoms, within: float) -> list[int]:
        """Numbers of all whose regions may lie within an rms distance [Å] of this one's.

        No pairing of a species' atoms is closer than that of each atom with its nearest, and no
        image of an atom is closer than the wrapped one or half the cell's least height.
        """
        key, species, positions = _sorted(atoms)
        alike = self._alike.get(key, _Alike())
        if not len(positions):
            return alike.numbers
        found: list[int] = []
        for start in range(0, len(alike.numbers), CHUNK):
            known = np.array(alike.positions[start : start + CHUNK])
            cells = np.array(alike.cells[start : start + CHUNK])
            squares = np.zeros(len(known))
            for number in np.unique(species):
                some = species == number
                gaps = positions[some, None] - known[:, None, some]
                squares += (_least(gaps, cells, atoms.pbc).min(axis=-1) ** 2).sum(axis=-1)
            close = squares <= (within + 1e-9) ** 2 * len(positions)
            found += [alike.numbers[start + place] for place in np.flatnonzero(close)]
        return found


def _least(
    gaps: NDArray[np.float64], cells: NDArray[np.float64], pbc: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """What gaps, shape (k, n, m, 3), in cells, (k, 3, 3), are at least as long as [Å]."""
    inverse = np.linalg.inv(cells)
    heights = np.where(pbc, 1.0 / np.linalg.norm(inverse, axis=-2), np.inf)
    wrapped = gaps @ inverse[:, None]
    wrapped -= np.where(pbc, np.rint(wrapped), 0.0)
    lengths = np.linalg.norm(wrapped @ cells[:, None], axis=-1)
    return np.asarray(np.minimum(lengths, 0.5 * heights.min(axis=-1)[:, None, None]))


def _sorted(atoms: Atoms) -> tuple[bytes, NDArray[np.intp], NDArray[np.float64]]:
    """What must be equal, the region's atomic numbers, sorted, and their positions, (n, 3) [Å]."""
    inside = np.flatnonzero(region_mask(atoms))
    order = inside[np.argsort(atoms.numbers[inside], kind="stable")]
    species = atoms.numbers[order]
    key = species.tobytes() + atoms.pbc.tobytes()
    return key, species, atoms.positions[order]
