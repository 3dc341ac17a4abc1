"""Height maps of a surface from its density of states: what the tip follows, and what it passes.

Tersoff & Hamann, Phys. Rev. B 31, 805 (1985): at constant current the tip follows a surface of
constant local density of states; at constant height the current is that density. The isosurface
by voxels within a tolerance is that of ingrained (Schwenker et al., Small 18, 2102960 (2022)).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Floats, UserError

Grid = NDArray[np.float32]

LEAST_VACUUM = 5.0  # Å: in less the tails of both sides of a slab meet where a tip would be
_TINY = np.float32(1e-30)  # 1/Å³: what has no logarithm
_UNMET = 5  # grid spacings by which a column without the isosurface is lower than all others


@dataclass(frozen=True)
class SurfaceSlab:
    """Where a surface lies in its cell [Å]: the third vector's length, the topmost atom, vacuum."""

    length: float
    top: float
    vacuum: float


def find_slab(atoms: Atoms) -> SurfaceSlab:
    """Find the upper surface of a slab whose third cell vector is its normal, along z.

    Raises:
        UserError: where the cell is another, has no vacuum, or its face cuts the slab.
    """
    cell = atoms.cell.array
    sideways = np.abs([*cell[2, :2], *cell[:2, 2]]).max()
    if sideways > 1e-3 or cell[2, 2] <= 0:
        raise UserError(
            "the surface must be parallel to x and y and the third cell vector along z; "
            "turn the structure and compute its density again"
        )
    if not len(atoms):
        raise UserError("the density comes without atoms, so its surface is not known; add them")
    length = float(cell[2, 2])
    heights = np.sort(atoms.positions[:, 2] % length)
    gaps = np.append(np.diff(heights), heights[0] + length - heights[-1])
    widest = int(np.argmax(gaps))
    if gaps[widest] < LEAST_VACUUM:
        raise UserError(
            f"the density has no vacuum: the widest gap between atoms along z is "
            f"{gaps[widest]:.1f} Å but {LEAST_VACUUM:g} are needed; add vacuum and compute it again"
        )
    if widest != len(gaps) - 1:
        raise UserError(
            f"the slab is cut by the cell's face: its vacuum lies inside, from "
            f"{heights[widest]:.1f} to {heights[widest + 1]:.1f} Å of {length:.1f}; move all atoms "
            "to the middle of the cell and compute the density again"
        )
    return SurfaceSlab(length, float(heights[-1]), float(gaps[-1]))


def planes(values: Grid, slab: SurfaceSlab, *, below: float, above: float) -> tuple[Grid, float]:
    """Planes from ``below`` under to ``above`` over the topmost atom, or to the vacuum's middle.

    Returns them, shape (n1, n2, planes), and the height of the first over the topmost atom [Å].
    """
    count = values.shape[2]
    step = slab.length / count
    first = ceil((slab.top - below) / step - 1e-9)
    last = floor((slab.top + min(above, slab.vacuum / 2)) / step + 1e-9)
    if last - first < 1:
        raise UserError(
            f"only {max(last - first + 1, 0)} planes of the grid lie from {below:g} Å below to "
            f"{above:g} Å above the topmost atom; widen these limits"
        )
    if first >= 0 and last < count:
        chosen = values[:, :, first : last + 1]
    else:
        chosen = values[:, :, np.arange(first, last + 1) % count]
    return chosen, first * step - slab.top


def constant_current(
    values: Grid, slab: SurfaceSlab, *, isovalue: float, below: float, above: float
) -> Floats:
    """Heights over the topmost atom [Å], shape (n1, n2), at which a tip coming down meets a value.

    ``values`` and ``isovalue`` in 1/Å³. Between planes the density is taken as exponential. Where
    it is not met ``below`` [Å] under the topmost atom, that is the height.

    Raises:
        EvaluationFailed: where it is met nowhere, or already at the top.
    """
    block, base = planes(values, slab, below=below, above=above)
    step = slab.length / values.shape[2]
    on = block >= np.float32(isovalue)
    last = block.shape[2] - 1
    if on[:, :, last].any():
        raise EvaluationFailed(
            f"a density of {isovalue:g} 1/Å³ is met already {base + last * step:.1f} Å above the "
            "topmost atom, where the tip starts: take a higher isovalue or more vacuum"
        )
    index = last - np.argmax(on[:, :, ::-1], axis=2)
    met = np.take_along_axis(on, index[..., None], axis=2)[..., 0]
    if not met.any():
        raise EvaluationFailed(
            f"no density of {isovalue:g} 1/Å³ from {below:g} Å below to {above:g} Å above the "
            f"topmost atom, where at most {block.max():.2g} is found: take a lower isovalue"
        )
    index = np.where(met, index, 0)
    inside, outside = (
        np.maximum(np.take_along_axis(block, (index + i)[..., None], axis=2)[..., 0], _TINY)
        for i in (0, 1)
    )
    inside = np.maximum(inside.astype(float), isovalue)
    part = np.log(inside / isovalue) / np.maximum(np.log(inside / outside), 1e-12)
    return np.asarray(np.where(met, base + (index + np.clip(part, 0.0, 1.0)) * step, -below))


def constant_height(values: Grid, slab: SurfaceSlab, *, height: float) -> Floats:
    """Density [1/Å³], shape (n1, n2), ``height`` [Å] above the topmost atom."""
    if height > slab.vacuum / 2:
        raise UserError(
            f"height is {height:g} Å but the vacuum's middle lies {slab.vacuum / 2:.1f} Å above "
            "the topmost atom; go lower, or compute the density with more vacuum"
        )
    count = values.shape[2]
    place = (slab.top + height) / slab.length * count
    low = floor(place)
    lower, upper = (
        np.log(np.maximum(values[:, :, (low + i) % count], _TINY).astype(float)) for i in (0, 1)
    )
    return np.asarray(np.exp(lower + (upper - lower) * (place - low)))


def voxel_isosurface(
    values: Grid,
    slab: SurfaceSlab,
    *,
    isovalue: float,
    tolerance: float,
    below: float,
    above: float,
) -> Floats:
    """Heights [Å], shape (n1, n2), of the highest voxel within ``tolerance`` of ``isovalue``.

    As ingrained has it, to whole voxels; a column without one lies five voxels below the lowest.

    Raises:
        EvaluationFailed: where no voxel is that near to it.
    """
    block, base = planes(values, slab, below=below, above=above)
    step = slab.length / values.shape[2]
    on = np.abs(block - np.float32(isovalue)) < np.float32(tolerance)
    met = on.any(axis=2)
    if not met.any():
        raise EvaluationFailed(
            f"no voxel is within {tolerance:g} of {isovalue:g} 1/Å³: take a larger tolerance"
        )
    index = block.shape[2] - 1 - np.argmax(on[:, :, ::-1], axis=2)
    return np.asarray(base + np.where(met, index, index[met].min() - _UNMET) * step)


def round_tip(heights: Floats, cell: Floats, *, radius: float) -> Floats:
    """Heights [Å], shape (n1, n2), that a sphere of ``radius`` [Å] follows over a periodic map.

    ``max over q of h(q) + sqrt(R^2 - |p - q|^2) - R``, the map's dilation by a sphere (Villarrubia,
    J. Res. Natl. Inst. Stand. Technol. 102, 425 (1997)); ``cell`` has the in-plane vectors [Å] as
    rows, shape (2, 2). Only as far as the corrugation lets the sphere touch.
    """
    drop = min(radius, float(np.ptp(heights)))
    reach = np.sqrt(max(2 * radius * drop - drop**2, 0.0))
    if reach == 0.0:
        return heights
    steps = cell / np.array(heights.shape)[:, None]
    spans = [ceil(float(reach * np.linalg.norm(row))) for row in np.linalg.inv(steps).T]
    found = heights.copy()
    for i in range(-spans[0], spans[0] + 1):
        for j in range(-spans[1], spans[1] + 1):
            square = float(((np.array([i, j]) @ steps) ** 2).sum())
            if 0.0 < square <= reach**2:
                lift = np.sqrt(radius**2 - square) - radius
                np.maximum(found, np.roll(heights, (i, j), axis=(0, 1)) + lift, out=found)
    return found
