"""Heights along a direction in a periodic structure, however its cell and atoms are written.

An atom is at all heights that lattice translations take it to. Where something has a lower and an
upper side, one of its images must stand for it: the structure is cut open once per period, and
everything lies in one piece from cut to cut.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Region

FLAT = 1e-3  # Å: a vector that rises by less lies in the plane
SHORTEST = 0.5  # Å: no crystal repeats after less
VACUUM = 5.0  # Å: nothing bonds across a wider gap
NUDGE = 0.01  # Å: a layer at the cell's very origin is its lowest


def period(atoms: Atoms, normal: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The lattice translation that rises least along a unit vector, shape (3,) [Å].

    All others are whole multiples of it and vectors in the plane. None where the structure is not
    periodic across the plane, or the plane is none of its lattice's, so that every height is like
    any other. Found by Euclid's algorithm on the vectors' heights.
    """
    vectors = [vector for vector in atoms.cell.array[atoms.pbc] if abs(vector @ normal) > FLAT]
    if not vectors:
        return None
    found = vectors[0]
    for vector in vectors[1:]:
        low, high = sorted((found, vector), key=lambda v: abs(float(v @ normal)))
        while abs(low @ normal) > FLAT:
            rest = high - np.rint((high @ normal) / (low @ normal)) * low
            low, high = rest, low
        found = high
    if abs(found @ normal) < SHORTEST:
        return None
    return np.asarray(found * np.sign(found @ normal))


def rising(atoms: Atoms, axis: int) -> int:
    """Index of the cell vector that rises most along x, y or z (0, 1, 2), in whatever order."""
    vectors = atoms.cell.array
    lengths = np.linalg.norm(vectors, axis=1)
    steep = np.abs(vectors[:, axis]) / np.where(lengths > 0.0, lengths, 1.0)
    return axis if steep[axis] >= steep.max() - 1e-9 else int(np.argmax(steep))


def area(atoms: Atoms, axis: int) -> float:
    """Area of a cell's plane across x, y or z (0, 1, 2) [Å²], however its vectors are chosen."""
    rise = period(atoms, np.eye(3)[axis])
    if rise is not None and atoms.cell.rank == 3:
        return float(abs(np.linalg.det(atoms.cell.array)) / rise[axis])
    first, second = np.delete(atoms.cell.array, rising(atoms, axis), axis=0)
    return float(np.linalg.norm(np.cross(first, second)))


def in_one_piece(
    atoms: Atoms, normal: NDArray[np.float64], *, around: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Positions (n, 3) [Å], each that of the image which lies in one piece with the others.

    The cut is in the middle of the widest gap between layers, where that is vacuum; else at the
    cell's end, or, where that lies in the part ``around`` (lower and upper height [Å]), as far from
    the part as can be. A part is never cut, and its place says which of the piece's images it is;
    without one it is that in the cell.
    """
    positions = np.asarray(atoms.positions, dtype=float)
    rise = period(atoms, normal)
    if rise is None or not len(atoms):
        return positions.copy()
    high, levels = float(rise @ normal), positions @ normal
    if around is not None and around[1] - around[0] >= high:
        return positions.copy()
    cut = _cut(levels, high, around)
    if around is not None:
        cut = around[0] - (around[0] - cut) % high
    whole = np.floor((levels - cut) / high)
    if around is None:
        levels = levels - whole * high
        whole = whole + np.floor(0.5 * (levels.min() + levels.max()) / high)
    return np.asarray(positions - whole[:, None] * rise)


def around_region(atoms: Atoms, region: Region) -> NDArray[np.float64]:
    """Positions (n, 3) [Å], each that of the image which a region means: see `in_one_piece`.

    The region is not cut, nor the margin around it where there is room.
    """
    normal = np.eye(3)[region.dimension]
    rise = period(atoms, normal)
    room = float(rise @ normal) - (region.upper - region.lower) if rise is not None else 0.0
    margin = max(min(region.margin, 0.4 * room), 0.0)
    return in_one_piece(atoms, normal, around=(region.lower - margin, region.upper + margin))


def _cut(levels: NDArray[np.float64], high: float, around: tuple[float, float] | None) -> float:
    """A height [Å] at which a structure of this period is cut open."""
    origin, width = (around[0], around[1] - around[0]) if around else (float(levels[0]), 0.0)
    found = (levels - origin) % high
    if around is not None:
        found = np.concatenate([found[found > width], [0.0, width]])
    found = np.sort(np.append(found, found.min() + high))
    gaps = np.diff(found)
    if around is not None:
        gaps[found[1:] <= width + 1e-9] = -1.0  # the part itself
    widest = int(np.argmax(gaps > gaps.max() - 1e-6))
    if gaps[widest] < VACUUM:
        end = (-origin - NUDGE) % high
        point = end if end > width or around is None else 0.5 * (width + high) - NUDGE
        point += high if point < found[0] else 0.0
        widest = min(int(np.searchsorted(found, point, side="right")) - 1, len(gaps) - 1)
    return origin + float(found[widest] + found[widest + 1]) / 2.0
