"""Where a probe must stop for an image: a grid over one lateral unit, in tiles of a few Å.

A scanned image of a periodic specimen is a finite Fourier series, its band limited by the probe to
``2 alpha / lambda``. A grid at that Nyquist limit therefore knows the image everywhere, and pixels
of any size and distortion are read from the series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import distance_transform_edt, maximum_filter

from htinvert.core import Floats
from htinvert.forward.scene import Window
from htinvert.forward.slab import Slab

Complexes = NDArray[np.complex128]
Mask = NDArray[np.bool_]

_ROUND = 5.0  # Å: the extent of what is not periodic grows in such steps, so that a grid stays
_MARGIN = 10.0  # Å of vacuum beside what is not periodic


@dataclass(frozen=True, eq=False)
class Grid:
    """Points ``(i / n1) b1 + (j / n2) b2`` of a lateral unit, one probe each.

    Attributes:
        basis: b1 and b2, (right, down) [Å], one per column, shape (2, 2).
        counts: (n1, n2).
        periodic: whether the specimen repeats along b1, b2.
        first: lowest fractional coordinate of the unit along b1, b2; 0 where it is periodic.
    """

    basis: Floats
    counts: tuple[int, int]
    periodic: tuple[bool, bool]
    first: tuple[float, float] = (0.0, 0.0)

    @property
    def step(self) -> float:
        """Larger distance between neighbors [Å]."""
        return float((np.linalg.norm(self.basis, axis=0) / self.counts).max())

    def points(self, i: NDArray[np.int_], j: NDArray[np.int_]) -> Floats:
        """Positions (right, down) [Å] of the points with these indices, shape (k, 2)."""
        fractional = np.stack([i / self.counts[0], j / self.counts[1]], axis=-1)
        return np.asarray(((fractional - self.first) % 1.0 + self.first) @ self.basis.T)


@dataclass(frozen=True, eq=False)
class ScanTile:
    """Points that share a box: a mask over the grid; corner and size (right, down) [Å]."""

    mask: Mask
    corner: Floats
    size: Floats


def scan_grid(slab: Slab, window: Window, step: float) -> Grid:
    """The grid over one unit of a specimen, its step at most ``step`` [Å].

    Where the specimen does not repeat, the unit is as long as what is there and what is looked at.
    Counts are odd, so that the series passes through every point.
    """
    rows = list(slab.across[:2, :2])
    periodic = [True] * len(rows)
    first = [0.0] * len(rows)
    reach = np.concatenate([slab.positions[:, :2], window.corners()])
    for _ in range(2 - len(rows)):
        normal = np.array([-rows[0][1], rows[0][0]]) if rows else np.array([1.0, 0.0])
        normal /= np.linalg.norm(normal)
        along = reach @ normal
        low = _ROUND * np.floor(along.min() / _ROUND) - _MARGIN
        length = _ROUND * np.ceil(along.max() / _ROUND) + _MARGIN - low
        rows.append(normal * length)
        periodic.append(False)
        first.append(low / length)
    basis = np.array(rows).T
    n1, n2 = (max(3, ceil(length / step - 1e-9)) | 1 for length in np.linalg.norm(rows, axis=1))
    return Grid(basis, (n1, n2), (periodic[0], periodic[1]), (first[0], first[1]))


def needed(grid: Grid, window: Window, margin: float) -> Mask:
    """Which points lie within ``margin`` [Å] of a pixel, shape (n1, n2)."""
    rows, columns = np.indices(window.shape, dtype=float)
    places = window.origin[:, None] + window.per_pixel @ np.stack([columns.ravel(), rows.ravel()])
    fractional = np.linalg.solve(grid.basis, places)
    indices = np.rint(fractional * np.array(grid.counts)[:, None]).astype(int)
    mask = np.zeros(grid.counts, dtype=bool)
    mask[indices[0] % grid.counts[0], indices[1] % grid.counts[1]] = True
    reach = margin + float(np.linalg.norm(window.per_pixel, axis=0).max())
    heights = 1 / np.linalg.norm(np.linalg.inv(grid.basis), axis=1)  # between the unit's edges
    widths = [2 * ceil(reach * n / h) + 1 for n, h in zip(grid.counts, heights, strict=True)]
    sizes = [min(width, 2 * n + 1) for width, n in zip(widths, grid.counts, strict=True)]
    return np.asarray(maximum_filter(mask, size=sizes, mode="wrap"))


def scan_tiles(grid: Grid, *, tile: float, padding: float, sampling: float) -> Iterator[ScanTile]:
    """Split a grid into tiles of about ``tile`` [Å]; boxes reach ``padding`` [Å] beyond points.

    They are a little larger, so that pixels of just ``sampling`` [Å] fill them, in a number that
    suits an FFT: angles are cut off alike everywhere.
    Where whole periods make a box no larger than that, the box is periodic like the specimen and
    has no seam.
    """
    n1, n2 = grid.counts
    one, two = (_blocks(grid, axis, tile=tile, padding=padding) for axis in (0, 1))
    whole = [blocks[0][2] for blocks in (one, two)]
    for start1, stop1, _ in one:
        for start2, stop2, _ in two:
            mask = np.zeros((n1, n2), dtype=bool)
            mask[start1:stop1, start2:stop2] = True
            i, j = np.array([(a, b) for a in (start1, stop1) for b in (start2, stop2)]).T
            fractional = np.stack([i / n1, j / n2], axis=-1) + grid.first
            corners = fractional @ grid.basis.T
            size = np.array([_fit(length + 2 * padding, sampling) for length in np.ptp(corners, 0)])
            corner = (corners.min(axis=0) + corners.max(axis=0) - size) / 2
            for axis, periods in enumerate(whole):
                if periods:
                    length = grid.basis[axis, axis]
                    corner[axis], size[axis] = min(0.0, length), periods * abs(length)
            yield ScanTile(_shifted(mask, grid), corner, size)


def _fit(length: float, sampling: float) -> float:
    """The next length [Å] that is a good number of pixels."""
    return sampling * float(fft.next_fast_len(ceil(length / sampling - 1e-9)))


def _blocks(grid: Grid, axis: int, *, tile: float, padding: float) -> list[tuple[int, int, int]]:
    """Ranges of indices along an axis, and the periods of a periodic box (0: it is none)."""
    count, length = grid.counts[axis], float(np.linalg.norm(grid.basis[:, axis]))
    aligned = abs(grid.basis[0, 1]) + abs(grid.basis[1, 0]) < 1e-6
    periods = max(1, ceil(2 * padding / length - 1e-9))
    if aligned and grid.periodic[axis] and periods * length <= tile + 2 * padding:
        return [(0, count, periods)]
    pieces = max(1, round(length / tile))
    per = ceil(count / pieces)
    return [(start, min(start + per, count), 0) for start in range(0, count, per)]


def _shifted(mask: Mask, grid: Grid) -> Mask:
    """The mask from the unit's first point on, moved to where indices count from zero."""
    shift = [ceil(f * n - 1e-9) for f, n in zip(grid.first, grid.counts, strict=True)]
    return np.roll(mask, shift, axis=(0, 1))


def fourier_series(values: NDArray[np.floating]) -> Complexes:
    """Coefficients of the image that takes ``values``, shape (n1, n2), at the grid's points.

    Points that are not known (nan) take the value of the nearest that is. Orders -H..H along the
    first axis, 0..L along the second; the negative ones are the complex conjugates.
    """
    n1, n2 = values.shape
    spectrum = fft.fft2(_filled(np.asarray(values, dtype=float)), norm="forward")
    high = (n1 - 1) // 2
    return np.asarray(spectrum[np.arange(-high, high + 1)][:, : (n2 - 1) // 2 + 1])


def frequencies(series: Complexes, basis: Floats) -> Floats:
    """Spatial frequencies (right, down) [1/Å] of a series' coefficients, shape (..., 2)."""
    high = series.shape[0] // 2
    h, k = np.arange(-high, high + 1), np.arange(series.shape[1])
    reciprocal = np.linalg.inv(basis)
    return np.asarray(h[:, None, None] * reciprocal[0] + k[:, None] * reciprocal[1])


def _filled(values: Floats) -> Floats:
    """Values without gaps, on the torus."""
    unknown = np.isnan(values)
    if not unknown.any():
        return values
    n1, n2 = values.shape
    _, (i, j) = distance_transform_edt(np.tile(unknown, (3, 3)), return_indices=True)
    return values[i[n1 : 2 * n1, n2 : 2 * n2] % n1, j[n1 : 2 * n1, n2 : 2 * n2] % n2]
