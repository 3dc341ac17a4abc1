"""A crystal turned the way it is seen: zone axis, upward direction, tilt.

The frame is right-handed and the same for every cell built here: x is the beam, the zone axis from
the specimen toward the viewer, y points right and z up in the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.structures.crystal import Crystal, standard_crystal

Direction = tuple[int, int, int]

PERPENDICULAR = 1e-3  # cosine of the angle to the zone axis that passes as a right angle
EXACTLY = 1e-6  # the same for a right angle that symmetry makes, not chance
LARGEST_INDEX = 8  # of the directions that an error names
LARGEST_FLOAT = 1000  # indices beyond it are a mistake


@dataclass(frozen=True, eq=False)
class Grain:
    """A crystal and how it is seen.

    ``zone_axis`` and ``up`` are direct-lattice directions [uvw] of the conventional cell (see
    :func:`htinvert.structures.crystal.standard_crystal`), perpendicular to each other. The zone
    axis points to the viewer, ``up`` to the image's top; then the crystal is turned by ``tilt``
    [degrees] counter-clockwise as the viewer sees it. ``flip`` swaps the two elements of a binary.
    Where symmetry makes no lattice direction perpendicular to the zone axis, as in triclinic
    crystals, the part of ``up`` across the beam points up.
    """

    phase: Atoms
    zone_axis: Direction
    up: Direction
    tilt: float = 0.0
    flip: bool = False


@dataclass(frozen=True, eq=False)
class OrientedCrystal:
    """A crystal in the frame of the image.

    Attributes:
        basis: primitive lattice vectors [Å], rows, shape (3, 3). The first is the repeat along the
            beam, (depth, 0, 0); the other two are short across the beam.
        positions: atoms of one primitive cell [Å], shape (n, 3).
        numbers: atomic numbers, shape (n,).
        name: formula and space group.
    """

    basis: NDArray[np.float64]
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    name: str

    @property
    def density(self) -> float:
        """Atoms per volume [1/Å³]."""
        return len(self.numbers) / abs(float(np.linalg.det(self.basis)))


def oriented(grain: Grain) -> OrientedCrystal:
    """Turn a crystal into the frame of the image; exact repeats come from its lattice.

    Raises :class:`UserError` for directions that are zero, parallel, not integer or not
    perpendicular (the nearest valid ones are named), for a flip of what is no binary and for a
    phase that is no crystal.
    """
    crystal = standard_crystal(grain.phase)
    zone = _direction("zone_axis", grain.zone_axis)
    up = _direction("up", grain.up)
    if not np.isfinite(grain.tilt):
        raise UserError(f"tilt is {grain.tilt}; give an angle in degrees")
    _check_perpendicular(crystal, zone, up)
    rotation = _rotation(crystal.cell, zone, up, float(grain.tilt))
    basis = _basis_along(crystal, zone) @ crystal.lattice @ crystal.cell @ rotation.T
    basis[0, 1:] = 0.0
    numbers = _flipped(crystal.numbers) if grain.flip else crystal.numbers
    positions = crystal.fractions @ crystal.cell @ rotation.T
    formula = Atoms(numbers).get_chemical_formula(mode="reduce")
    return OrientedCrystal(_reduced(basis), positions, numbers, f"{formula} {crystal.group}")


def _direction(name: str, given: Direction) -> NDArray[np.int64]:
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (3,) or not np.isfinite(values).all():
        raise UserError(f"{name} is {given}; give three integers [u, v, w]")
    whole = np.rint(values).astype(np.int64)
    if np.abs(values - whole).max() > 1e-9 or np.abs(whole).max() > LARGEST_FLOAT:
        raise UserError(
            f"{name} {list(given)} is no lattice direction; give three integers of at most "
            f"{LARGEST_FLOAT}, such as [1, 1, 0]"
        )
    if not whole.any():
        raise UserError(f"{name} [0, 0, 0] is no direction; give three integers, not all zero")
    return whole // gcd(*map(int, whole))


def _check_perpendicular(crystal: Crystal, zone: NDArray[np.int64], up: NDArray[np.int64]) -> None:
    beam, upward = zone @ crystal.cell, up @ crystal.cell
    cosine = float(beam @ upward / np.linalg.norm(beam) / np.linalg.norm(upward))
    if abs(cosine) <= PERPENDICULAR:
        return
    valid = _perpendicular(crystal, zone, up)
    if abs(cosine) > 1 - 1e-6:
        advice = f"a perpendicular direction such as {', '.join(valid)}" if valid else "another one"
        raise UserError(f"up {_text(up)} is parallel to zone_axis {_text(zone)}; choose {advice}")
    if valid:  # without one the part of up across the beam has to do
        raise UserError(
            f"up {_text(up)} is {np.degrees(np.arccos(cosine)):.2f} degrees from zone_axis "
            f"{_text(zone)} instead of 90; the nearest valid directions are {', '.join(valid)} "
            "(tilt turns the crystal further)"
        )


def _perpendicular(
    crystal: Crystal, zone: NDArray[np.int64], up: NDArray[np.int64], *, count: int = 3
) -> list[str]:
    """Small directions perpendicular to the zone axis: near to ``up`` and small ones first."""
    axis = np.arange(-LARGEST_INDEX, LARGEST_INDEX + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[np.gcd.reduce(grid, axis=1) == 1]
    vectors = grid @ crystal.cell
    beam, upward = zone @ crystal.cell, up @ crystal.cell
    lengths = np.linalg.norm(vectors, axis=1)
    right = np.abs(vectors @ beam) <= EXACTLY * lengths * np.linalg.norm(beam)
    grid, vectors, lengths = grid[right], vectors[right], lengths[right]
    cosines = np.clip(vectors @ upward / lengths / np.linalg.norm(upward), -1, 1)
    size = np.abs(grid).max(axis=1)  # a degree or two are worth smaller indices
    order = np.lexsort((size, np.round(np.degrees(np.arccos(cosines)) + 2.0 * size, 6)))
    return [_text(grid[i]) for i in order[:count]]


def _text(direction: NDArray[np.int64]) -> str:
    return "[" + ", ".join(str(int(x)) for x in direction) + "]"


def _rotation(
    cell: NDArray[np.float64], zone: NDArray[np.int64], up: NDArray[np.int64], tilt: float
) -> NDArray[np.float64]:
    """Rotation of column vectors into the frame: beam on x, up on z, then tilt from y to z."""
    x = zone @ cell / np.linalg.norm(zone @ cell)
    z = up @ cell
    z = z - (z @ x) * x
    z = z / np.linalg.norm(z)
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([x, np.cross(z, x), z])


def _basis_along(crystal: Crystal, zone: NDArray[np.int64]) -> NDArray[np.int64]:
    """Unimodular matrix: a basis of the lattice whose first vector is the repeat along ``zone``."""
    first = np.rint(zone @ np.linalg.inv(crystal.lattice) * 6).astype(np.int64)
    a, b, c = (int(x) for x in first // gcd(*map(int, first)))
    g, x, y = bezout(a, b)
    _, s, t = bezout(g, c)  # s g + t c = 1
    second = (-y, x, 0)
    third = (-t * (a // g), -t * (b // g), s) if g else (1, 0, 0)
    return np.array([(a, b, c), second if g else (0, 1, 0), third], dtype=np.int64)


def bezout(a: int, b: int) -> tuple[int, int, int]:
    """Greatest common divisor g >= 0 and x, y with a x + b y = g."""
    x, y, u, v = 1, 0, 0, 1
    while b:
        q = a // b
        a, b, x, y, u, v = b, a - q * b, u, v, x - q * u, y - q * v
    return (-a, -x, -y) if a < 0 else (a, x, y)


def _reduced(basis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same lattice with vectors that are short across the beam (Lagrange and Gauss)."""
    basis = basis.copy()
    one, two = 1, 2
    for _ in range(100):
        if np.hypot(*basis[one, 1:]) > np.hypot(*basis[two, 1:]) + 1e-9:
            one, two = two, one
        factor = np.rint(basis[two, 1:] @ basis[one, 1:] / (basis[one, 1:] @ basis[one, 1:]) - 1e-7)
        if not factor:
            break
        basis[two] -= factor * basis[one]
    basis = basis[[0, one, two]]
    basis[1:, 0] -= np.rint(basis[1:, 0] / basis[0, 0] - 1e-7) * basis[0, 0]
    return basis


def _flipped(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    kinds = np.unique(numbers)
    if len(kinds) != 2:
        formula = Atoms(numbers).get_chemical_formula(mode="reduce")
        raise UserError(
            f"flip swaps the two elements of a binary, but {formula} has {len(kinds)}; leave it out"
        )
    return np.where(numbers == kinds[0], kinds[1], kinds[0])
