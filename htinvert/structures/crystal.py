"""The one conventional cell of a crystal, whatever description it came in.

Directions need axes to refer to. A primitive cell, a supercell and a conventional cell describe the
same crystal, and a symmetry finder turns some of them into axes that differ by a rotation the
crystal does not have: zinc blende seen from the other side of its polar axis. Here one of these
choices is picked by the atoms themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.cell import Cell
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.structures.symmetry import symmetry_dataset

GRID = 1008  # steps per cell edge to compare coordinates by; simple fractions are whole steps
SAME = 1e-3  # fractions of the cell that make two atoms one
NOBLE = np.array([2, 10, 18, 36, 54, 86, 118])

CENTERINGS = {  # rows: primitive vectors in units of the conventional ones
    "P": np.eye(3),
    "A": np.array([[1, 0, 0], [0, 0.5, 0.5], [0, -0.5, 0.5]]),
    "C": np.array([[0.5, 0.5, 0], [-0.5, 0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


@dataclass(frozen=True, eq=False)
class Crystal:
    """A crystal in its conventional cell.

    Attributes:
        cell: conventional cell vectors [Å], rows, shape (3, 3), right-handed.
        lattice: primitive cell vectors in units of those of ``cell``, rows, shape (3, 3).
        fractions: atoms of one primitive cell in units of ``cell``, shape (n, 3).
        numbers: atomic numbers, shape (n,).
        group: space group, international symbol.
    """

    cell: NDArray[np.float64]
    lattice: NDArray[np.float64]
    fractions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    group: str

    @property
    def atoms(self) -> Atoms:
        """The conventional cell, to look at the axes that directions refer to."""
        primitive = Atoms(
            self.numbers,
            positions=self.fractions @ self.cell,
            cell=self.lattice @ self.cell,
            pbc=True,
        )
        repeats = np.rint(np.linalg.inv(self.lattice)).astype(int)
        images = _cosets(repeats) @ self.lattice
        fractions = (self.fractions[None] + images[:, None]).reshape(-1, 3)
        numbers = np.tile(primitive.numbers, len(images))
        return Atoms(numbers, scaled_positions=_wrapped(fractions), cell=self.cell, pbc=True)


def standard_crystal(phase: Atoms) -> Crystal:
    """Find the standard conventional cell of a crystal, idealized within 0.01 Å.

    The setting is the one of the International Tables that spglib names standard (Togo, Shinohara &
    Tanaka, Sci. Technol. Adv. Mater. Methods 4, 2384822 (2024)). Where the lattice has rotations
    that the crystal lacks, the axes are those with the smallest coordinates of the atoms, counted
    from an atom of the most electropositive element: in zinc blende [111] points from a cation to
    the anion bonded to it. Raises :class:`UserError` for what is no crystal.
    """
    _check(phase)
    found = symmetry_dataset(phase, phase.numbers)
    group = str(found.international)
    lattice = CENTERINGS[group[0]]
    cell = np.asarray(found.std_lattice, dtype=float)
    turn, fractions, numbers = _canonical(
        cell, lattice, np.asarray(found.std_positions), np.asarray(found.std_types, dtype=np.int64)
    )
    shape = np.round(Cell(turn @ cell).cellpar(), 6)
    kept = _one_per_cell(fractions, lattice)
    return Crystal(Cell.fromcellpar(shape).array, lattice, fractions[kept], numbers[kept], group)


def _check(phase: Atoms) -> None:
    formula = phase.get_chemical_formula()
    if not len(phase):
        raise UserError("the phase holds no atoms; give a crystal")
    if not (phase.pbc.all() and abs(np.linalg.det(phase.cell.array)) > 1e-6):
        raise UserError(
            f"the phase {formula} is periodic along {int(phase.pbc.sum())} of 3 directions with a "
            f"cell of {abs(np.linalg.det(phase.cell.array)):.3g} Å³; give a crystal that is "
            "periodic along all three"
        )
    if not (np.isfinite(phase.positions).all() and np.isfinite(phase.cell.array).all()):
        raise UserError(f"the phase {formula} has positions or cell vectors that are not finite")


def _canonical(
    cell: NDArray[np.float64],
    lattice: NDArray[np.float64],
    fractions: NDArray[np.float64],
    numbers: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Axes (rows, in units of the old ones), fractions and numbers with the smallest signature."""
    rank = _electropositive_first(numbers)
    origins = np.flatnonzero(rank == 0)
    best: tuple[bytes, NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]] | None = None
    for turn in _rotations(cell, lattice):
        turned = fractions @ np.linalg.inv(turn)
        for origin in origins:
            moved = _wrapped(turned - turned[origin])
            steps = np.rint(moved * GRID).astype(np.int64) % GRID
            rows = np.column_stack([rank, steps])
            order = np.lexsort(rows.T[::-1])
            signature = rows[order].astype(">i4").tobytes()
            if best is None or signature < best[0]:
                best = signature, turn, np.round(moved[order], 7), numbers[order]
    assert best is not None  # noqa: S101  (a crystal has an atom and the identity)
    return best[1:]


def _electropositive_first(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each atom's element: far from the next noble gas first, the heavier one at a tie."""
    kinds = np.unique(numbers)
    missing = NOBLE[np.searchsorted(NOBLE, kinds)] - kinds
    order = kinds[np.lexsort((-kinds, -missing))]
    return np.asarray(np.argmax(numbers[:, None] == order, axis=1))


def _rotations(cell: NDArray[np.float64], lattice: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Proper rotations of the centered lattice, as integer matrices that act on its axes."""
    digits = np.indices((3,) * 9).reshape(9, -1).T - 1
    turns = digits.reshape(-1, 3, 3)
    metric = cell @ cell.T
    same = np.abs(turns @ metric @ turns.transpose(0, 2, 1) - metric).max(axis=(1, 2))
    turns = turns[(same < 1e-4 * np.trace(metric)) & (np.linalg.det(turns) > 0.5)]
    centered = lattice @ np.linalg.inv(turns) @ np.linalg.inv(lattice)
    whole = np.abs(centered - np.rint(centered)).max(axis=(1, 2)) < 1e-6
    return list(turns[whole])


def _wrapped(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractions in [0, 1), a hair below 1 counting as 0."""
    return np.asarray((fractions + 1e-6) % 1.0 - 1e-6)


def _one_per_cell(
    fractions: NDArray[np.float64], lattice: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Indices of the first atom of each set that lattice translations connect."""
    reduced = fractions @ np.linalg.inv(lattice)
    apart = reduced[:, None] - reduced
    same = (np.abs(apart - np.rint(apart)) < SAME).all(axis=2)
    return np.flatnonzero(~np.tril(same, -1).any(axis=1))


def _cosets(matrix: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer vectors, one per lattice point in the cell with these rows, shape (det, 3)."""
    box = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = box @ np.linalg.inv(matrix)
    return box[((inside > -1e-6) & (inside < 1 - 1e-6)).all(axis=1)]
