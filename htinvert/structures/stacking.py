"""A grain as a stack of lattice planes in the common cell: where it may end, how it is filled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.structures.coincidence import Coincidence, Strain
from htinvert.structures.oriented import OrientedCrystal, bezout

PLANE = 0.1  # Å: atoms whose heights are this near belong to one plane


@dataclass(frozen=True)
class Gap:
    """A gap between two atomic planes where a grain may end.

    Attributes:
        height: of its middle [Å], in the repeat of the stack.
        spacing: between the highest atom below and the lowest atom above [Å].
        below, above: formulas of the two planes.
    """

    height: float
    spacing: float
    below: str
    above: str


@dataclass(frozen=True, eq=False)
class Stack:
    """A grain, strained into the common cell, that repeats upward without end.

    Attributes:
        positions: atoms of one primitive cell [Å], shape (n, 3).
        numbers: atomic numbers, shape (n,).
        points: lattice points of one plane in the cell [Å], shape (m, 3), without height.
        plane: primitive vectors of the plane lattice [Å], rows (x, y), the first along the beam.
        step: lattice vector to the next plane [Å], shape (3,).
    """

    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    points: NDArray[np.float64]
    plane: NDArray[np.float64]
    step: NDArray[np.float64]

    @property
    def repeat(self) -> float:
        """Height after which the stack repeats but for a shift in the plane [Å]."""
        return float(self.step[2])

    def terminations(self, *, tolerance: float = PLANE) -> list[Gap]:
        """Where the stack may end, the widest gap first; planes are at least ``tolerance`` apart.

        A stack whose planes are all nearer has one, the widest.
        """
        heights = self.positions[:, 2] % self.repeat
        order = np.argsort(heights, kind="stable")
        heights = heights[order]
        gaps = np.diff(heights, append=heights[0] + self.repeat)
        cuts = np.flatnonzero(gaps > min(tolerance, gaps.max() - 1e-6))
        sizes = np.diff(cuts, prepend=cuts[-1] - len(order))  # of the planes below the cuts
        planes = np.split(np.roll(order, -(cuts[-1] + 1)), np.cumsum(sizes)[:-1])
        formulas = [str(Atoms(self.numbers[p]).get_chemical_formula(mode="reduce")) for p in planes]
        middles = (heights[cuts] + gaps[cuts] / 2.0 + 1e-6) % self.repeat - 1e-6
        found = [
            Gap(float(middle), float(gap), below, above)
            for middle, gap, below, above in zip(
                middles, gaps[cuts], formulas, formulas[1:] + formulas[:1], strict=True
            )
        ]
        return sorted(found, key=lambda t: (-round(t.spacing, 3), round(t.height, 3)))

    def first_above(self, height: float, *, tolerance: float = PLANE) -> NDArray[np.int64]:
        """Indices of the primitive cell's atoms that form the first plane over ``height`` [Å]."""
        above = (self.positions[:, 2] - height) % self.repeat
        order = np.argsort(above, kind="stable")
        ends = np.flatnonzero(np.diff(above[order]) > tolerance)
        return np.sort(order[: ends[0] + 1 if len(ends) else None])

    def fill(self, low: float, high: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Atomic numbers and positions [Å] of all atoms between two heights [Å]."""
        numbers, positions = [], []
        for number, place in zip(self.numbers, self.positions, strict=True):
            first, last = np.ceil((np.array([low, high]) - place[2]) / self.repeat)
            steps = np.arange(first, last)[:, None] * self.step
            atoms = (place + steps[:, None] + self.points).reshape(-1, 3)
            positions.append(atoms)
            numbers.append(np.full(len(atoms), number))
        return np.concatenate(numbers), np.concatenate(positions)


def stacks(top: OrientedCrystal, bottom: OrientedCrystal, row: Coincidence) -> tuple[Stack, Stack]:
    """Both grains, strained into the common cell of one row of the table."""
    cell = np.array(row.cell)
    return (
        _stack(top, np.array(row.top_matrix), row.top, cell),
        _stack(bottom, np.array(row.bottom_matrix), row.bottom, cell),
    )


def _stack(
    grain: OrientedCrystal, matrix: NDArray[np.int64], strain: Strain, cell: NDArray[np.float64]
) -> Stack:
    m, n = (int(x) for x in matrix[1, 1:])
    g, u, v = bezout(m, n)  # u m + v n = g
    plane = np.array([[1, 0, 0], [0, m // g, n // g]])
    step = np.array([0, -v, u])  # with the plane's vectors a basis of the lattice
    deform = _deformation(grain, matrix, strain, cell)
    basis = grain.basis @ deform
    upward = step @ basis
    i, j = np.indices((int(matrix[0, 0]), g)).reshape(2, -1)
    vectors = (plane @ basis)[:, :2]
    points = np.column_stack([np.column_stack([i, j]) @ vectors, np.zeros(len(i))])
    step = upward * (1 if upward[2] > 0 else -1)
    return Stack(grain.positions @ deform, grain.numbers, points, vectors, step)


def _deformation(
    grain: OrientedCrystal, matrix: NDArray[np.int64], strain: Strain, cell: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Matrix for row vectors: bring the second cell vector into the plane, then fit the cell."""
    c, s = np.cos(np.radians(strain.turn)), np.sin(np.radians(strain.turn))
    flat = np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
    flat[1, 2] += 2.0 * strain.lift / 100.0
    own = (matrix @ grain.basis @ flat)[:, :2]
    deform = np.eye(3)
    deform[:2, :2] = np.linalg.solve(own, cell)
    return np.asarray(flat @ deform)
