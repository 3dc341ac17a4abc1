"""The search behind near-coincidence site lattices, on whole tables of superlattices at once.

Every superlattice of a plane lattice has exactly one Hermite normal form: a first vector along a
chosen lattice direction, here the beam, and a second one to be reduced by it. Pairs of such
superlattices, one of each grain, that nearly agree are the cells a bicrystal can have with both
zone axes kept along the beam. All of them within the limits are found.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.structures.oriented import OrientedCrystal

Range = tuple[float, float]

MOST = 2_000_000  # cells in one table: a gigabyte


@dataclass(frozen=True)
class SearchLimits:
    """Ranges [Å] of the common cell, largest strain [1] and tilt to be removed [radians]."""

    width: Range
    depth: Range
    strain: float
    turn: float
    sheared: bool

    def met_by(self, found: NDArray[np.float64], along: str) -> NDArray[np.bool_]:
        """Which of these lengths [Å] lie in the range of ``width`` or ``depth``."""
        low, high = getattr(self, along)
        return np.asarray((found >= low - 1e-6) & (found <= high + 1e-6))

    @property
    def slope(self) -> float:
        """Largest ratio of a vector's height over the boundary plane to its extent in it."""
        return 2.0 * self.strain if self.sheared else float(np.tan(self.turn))


@dataclass(frozen=True, eq=False)
class Vectors:
    """Lattice vectors of a grain that lie across the beam, nearly in the boundary plane.

    Attributes:
        matrix: in units of the grain's basis, shape (n, 3), integers.
        along: component along the beam [Å], shape (n,).
        across: extent that the common width is compared with [Å], shape (n,).
        slope: height over the boundary plane divided by extent in it, shape (n,).
    """

    matrix: NDArray[np.int64]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    slope: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solutions:
    """Common cells as columns of length n; a second axis holds top and bottom.

    Attributes:
        depth, width, lean: the cell (depth, 0), (lean, width) as (x, y) [Å].
        repeats: periods along the beam, shape (n, 2).
        vectors: the second cell vector in units of the grain's basis, shape (n, 2, 3).
        strain: width, depth, shear, lift [1] and turn [radians], shape (n, 2, 5).
        misfit: distance by which the unstrained cells fail to agree [Å].
    """

    depth: NDArray[np.float64]
    width: NDArray[np.float64]
    lean: NDArray[np.float64]
    repeats: NDArray[np.int64]
    vectors: NDArray[np.int64]
    strain: NDArray[np.float64]
    misfit: NDArray[np.float64]

    @property
    def area(self) -> NDArray[np.float64]:
        """Area of the boundary [Å²]."""
        return self.depth * self.width

    def at(self, rows: NDArray[np.generic]) -> Solutions:
        """These rows alone, by mask or index."""
        return Solutions(*(getattr(self, column.name)[rows] for column in fields(self)))


def near_cells(
    grains: tuple[OrientedCrystal, OrientedCrystal],
    limits: SearchLimits,
    weights: NDArray[np.float64],
    largest: float,
) -> Solutions:
    """Find all pairs of Hermite normal forms within the limits, up to the ``largest`` area [Å²].

    The common cell is the mean of both grains' own with these ``weights``, shape (2,). Raises
    :class:`UserError` for limits so wide that the table would not fit into memory.
    """
    along = _along(grains, limits, weights)
    across = _across(grains, limits, weights)
    _refuse_too_many(int(along.repeats[:, 0].sum()) * len(across.width))
    i, j = np.nonzero(np.outer(along.depth, across.width) <= largest * (1 + 1e-9))
    steps, k = _ramps(along.repeats[i, 0])  # every lean of the top grain
    i, j = i[steps], j[steps]
    depth, repeats, own = along.depth[i], along.repeats[i], along.own[i]
    periods = own / repeats
    lean = (across.lean[j] + np.column_stack([k, np.zeros_like(k)]) * periods) / own
    nearest = np.rint((lean[:, 0] - lean[:, 1]) * repeats[:, 1]).astype(np.int64)
    lean[:, 1] += nearest / repeats[:, 1]
    slip = (lean[:, 0] - lean[:, 1]) * depth  # Å, both brought to the common depth
    shear = np.column_stack([-weights[1] * slip, weights[0] * slip]) / across.width[j, None] / 2.0
    common = lean @ weights
    whole = np.rint(common - 1e-7).astype(np.int64)  # lean by half a depth at most
    vectors = across.vectors[j].copy()
    vectors[:, :, 0] += np.column_stack([k, nearest]) - whole[:, None] * repeats
    strain = np.stack([across.strain[j], along.strain[i], shear, across.lift[j], across.turn[j]], 2)
    gaps = np.column_stack([own @ [1, -1], across.own[j] @ [1, -1], slip, across.rise[j]])
    found = Solutions(
        depth, across.width[j], (common - whole) * depth, repeats, vectors, strain,
        np.linalg.norm(gaps, axis=1),
    )  # fmt: skip
    return found.at(np.abs(shear).max(axis=1, initial=0.0) <= limits.strain + 1e-9)


@dataclass(frozen=True, eq=False)
class _Along:
    """Common repeats along the beam; columns of length n, then top and bottom."""

    depth: NDArray[np.float64]
    own: NDArray[np.float64]
    repeats: NDArray[np.int64]
    strain: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Across:
    """Common widths; columns of length n, then top and bottom."""

    width: NDArray[np.float64]
    own: NDArray[np.float64]
    lean: NDArray[np.float64]
    rise: NDArray[np.float64]
    lift: NDArray[np.float64]
    turn: NDArray[np.float64]
    vectors: NDArray[np.int64]
    strain: NDArray[np.float64]


def _along(
    grains: tuple[OrientedCrystal, OrientedCrystal],
    limits: SearchLimits,
    weights: NDArray[np.float64],
) -> _Along:
    longest = limits.depth[1] * (1 + 2 * limits.strain)
    periods = [grain.basis[0, 0] for grain in grains]
    lengths = [np.arange(1, int(longest / period + 1e-6) + 1) * period for period in periods]
    first, second = _pairs(lengths[0], lengths[1], limits.strain)
    own = np.column_stack([lengths[0][first], lengths[1][second]])
    depth = own @ weights
    strain = depth[:, None] / own - 1.0
    fits = np.abs(strain).max(axis=1, initial=0.0) <= limits.strain + 1e-9
    fits &= limits.met_by(depth, "depth")
    repeats = np.column_stack([first, second]) + 1
    return _Along(depth[fits], own[fits], repeats[fits], strain[fits])


def _across(
    grains: tuple[OrientedCrystal, OrientedCrystal],
    limits: SearchLimits,
    weights: NDArray[np.float64],
) -> _Across:
    top, bottom = (_nearly_in_plane(grain, limits) for grain in grains)
    first, second = _pairs(top.across, bottom.across, limits.strain)
    own = np.column_stack([top.across[first], bottom.across[second]])
    width = own @ weights
    strain = width[:, None] / own - 1.0
    fits = np.abs(strain).max(axis=1, initial=0.0) <= limits.strain + 1e-9
    fits &= limits.met_by(width, "width")
    i, j, own = first[fits], second[fits], own[fits]
    slope = np.column_stack([top.slope[i], bottom.slope[j]])
    angle = np.arctan(slope)
    rise = own * (slope if limits.sheared else np.sin(angle))
    none = np.zeros_like(slope)
    return _Across(
        width[fits],
        own,
        np.column_stack([top.along[i], bottom.along[j]]),
        rise,
        -0.5 * slope if limits.sheared else none,
        none if limits.sheared else -angle,
        np.stack([top.matrix[i], bottom.matrix[j]], axis=1),
        strain[fits],
    )


def _nearly_in_plane(grain: OrientedCrystal, limits: SearchLimits) -> Vectors:
    """Lattice vectors to the right whose slope to the boundary plane is within the limit."""
    longest = limits.width[1] * (1 + 2 * limits.strain) + 1e-6
    shortest = max(limits.width[0] * (1 - 2 * limits.strain), 1e-3)
    across = grain.basis[1:, 1:]
    tall = longest * limits.slope + 1e-3
    corners = np.array([[0, tall], [0, -tall], [longest, tall], [longest, -tall]])
    reach = corners @ np.linalg.inv(across)
    axes = [
        np.arange(np.floor(low), np.ceil(high) + 1, dtype=np.int64)
        for low, high in zip(reach.min(axis=0), reach.max(axis=0), strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    y, z = (grid @ across).T
    kept = (y > 0) & (np.abs(z) <= limits.slope * y + 1e-5 * y)
    grid, y, z = grid[kept], y[kept], z[kept]
    length = y if limits.sheared else np.hypot(y, z)
    fits = (length <= longest) & (length >= shortest)
    matrix = np.column_stack([np.zeros(fits.sum(), dtype=np.int64), grid[fits]])
    return Vectors(matrix, matrix @ grain.basis[:, 0], length[fits], (z / y)[fits])


def _pairs(
    first: NDArray[np.float64], second: NDArray[np.float64], strain: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of all pairs of lengths that one cell within the strain limit can serve."""
    order = np.argsort(second, kind="stable")
    ratio = (1 + strain) / (1 - strain) * (1 + 1e-9)
    low = np.searchsorted(second[order], first / ratio)
    high = np.searchsorted(second[order], first * ratio, side="right")
    _refuse_too_many(int((high - low).sum()))
    i, k = _ramps(high - low)
    return i, order[low[i] + k]


def _refuse_too_many(count: int) -> None:
    if count > MOST:
        raise UserError(
            f"the limits let through {count / 1e6:.1f} million pairs of cells; "
            "narrow width, depth, max_strain or max_turn"
        )


def _ramps(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each index as often as its count says, and the numbers 0, 1, ... within each."""
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
