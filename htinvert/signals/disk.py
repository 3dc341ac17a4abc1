"""Where the bright disk of a convergent beam lies in a pattern, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from htinvert.core import UserError

ANGLES = 120  # directions in which the edge is looked at
HALF = 1.5  # px: an edge is the difference between so far inside and outside
LEAST = 0.1  # of the mean intensity inside by which a disk falls off at its edge
SEEN = 0.25  # share of the edge that must lie on the frame
SMALLEST = 4.0  # px
SURE = 8.0  # height of an edge in units of its standard error, from which it is no chance
LARGEST = 256  # px a side: finer patterns are binned first, for their edges are many px wide
STARTS = 3  # radii that are refined
SHARP = 0.85  # of the sharpest edge: a smaller circle so sharp is taken in its place


@dataclass(frozen=True)
class Disk:
    """A disk's center (row, column) and radius [px]; ``contrast`` is its edge's share of inside."""

    row: float
    column: float
    radius: float
    contrast: float


def find_disk(pattern: NDArray[np.floating]) -> Disk:
    """The bright disk of a mean pattern (ny, nx); what is NaN was not measured.

    The patch that a threshold shows is the union of overlapping disks, 1.3 to 1.4 times the
    aperture in a crystal on its zone axis. Edges of the others are arcs about other centers, so
    what is looked for is the circle across which intensity falls most in all directions alike.
    A quarter of it must lie on the frame.

    Raises:
        UserError: where there is no such circle.
    """
    factor = max(1, round(max(pattern.shape) / LARGEST))
    if factor > 1:
        rows, columns = (n // factor for n in pattern.shape)
        part = pattern[: rows * factor, : columns * factor].astype(float)
        binned = find_disk(part.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))
        row, column = (at * factor + (factor - 1) / 2 for at in (binned.row, binned.column))
        return Disk(row, column, binned.radius * factor, binned.contrast)
    if not np.isfinite(pattern).any():
        raise UserError("nothing of the mean pattern was measured; check the file")
    seen = np.isfinite(pattern)
    plain = np.where(seen, pattern, 0.0).astype(float)
    plain = np.where(seen, plain, ndimage.median_filter(plain, 3))
    plain = np.minimum(plain, np.percentile(plain[seen], 99.9))
    smooth = ndimage.gaussian_filter(plain, 0.7)
    known = ndimage.binary_erosion(seen, border_value=1).astype(float)
    found = []
    for row, column in _middles(smooth) if smooth.max() > 0.0 else []:
        radii = np.arange(SMALLEST, 0.75 * max(pattern.shape), 1.0)
        edges = np.array([_edge((row, column, radius), smooth, known) for radius in radii])
        peaks = [i for i in range(1, len(radii) - 1) if edges[i] >= max(edges[i - 1], edges[i + 1])]
        order = np.argsort([-edges[i] for i in peaks], kind="stable")[:STARTS]
        found += [_refined((row, column, radii[peaks[i]]), smooth, known) for i in order]
    best = max((edge for edge, _ in found), default=0.0)
    near = [(at[2], at) for edge, at in found if best > 0.0 and edge >= SHARP * best]
    if near:
        row, column, radius = min(near, key=lambda pair: pair[0])[1]
        inside = _inside(smooth, known, row, column, radius)
        around = _falls((row, column, radius), smooth, known)
        edge, error = around.mean(), around.std() / np.sqrt(2 * np.pi * radius / (2 * HALF))
        if inside > 0.0 and edge >= max(LEAST * inside, SURE * error):
            return Disk(float(row), float(column), float(radius), float(edge / inside))
    raise UserError(
        "no bright disk with a round edge is seen in the mean pattern; give sampling and unit in "
        "place of disk, and where the zero is by center: symmetry"
    )


def _middles(image: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Where the disk's center may be: of what is brighter than a half, or than a tenth."""
    weight = np.where(image >= 0.5 * image.max(), image, 0.0)
    mass = ndimage.center_of_mass(weight)
    level = np.where(image >= 0.1 * image.max(), 1.0, 0.0)
    wide = ndimage.center_of_mass(level)
    middles = [(float(mass[0]), float(mass[1])), (float(wide[0]), float(wide[1]))]
    return middles if np.hypot(mass[0] - wide[0], mass[1] - wide[1]) > 2.0 else middles[:1]


def _edge(
    at: tuple[float, float, float] | NDArray[np.float64],
    image: NDArray[np.float64],
    known: NDArray[np.float64],
) -> float:
    """Mean fall of intensity outward across a circle (row, column, radius) [px]."""
    falls = _falls(at, image, known)
    return float(falls.mean()) if falls.size else -np.inf


def _falls(
    at: tuple[float, float, float] | NDArray[np.float64],
    image: NDArray[np.float64],
    known: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The fall in each direction that is on the frame; none where that are too few."""
    row, column, radius = at
    if radius < SMALLEST:
        return np.zeros(0)
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    y, x = np.sin(angle), np.cos(angle)
    sides = np.array([radius - HALF, radius + HALF])[:, None]
    places = np.stack([row + sides * y, column + sides * x])
    top = np.array(image.shape)[:, None, None] - 1
    on = ((places >= 0) & (places <= top)).all(axis=(0, 1))
    on &= ndimage.map_coordinates(known, places, order=1, mode="nearest").min(axis=0) > 0.5
    if on.mean() < SEEN:
        return np.zeros(0)
    values = ndimage.map_coordinates(image, places[:, :, on], order=1, mode="nearest")
    return np.asarray(values[0] - values[1])


def _refined(
    start: tuple[float, float, float], image: NDArray[np.float64], known: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """The circle near a start whose edge is sharpest, and its height."""
    spread = max(2.0, 0.15 * start[2])
    corners = np.array([start] * 4) + np.vstack([np.zeros(3), spread * np.eye(3)])
    found = optimize.minimize(
        lambda at: -_edge(at, image, known),
        np.array(start),
        method="Nelder-Mead",
        options={"initial_simplex": corners, "xatol": 0.02, "fatol": 0.0, "maxfev": 150},
    )
    return -float(found.fun), np.asarray(found.x)


def _inside(
    image: NDArray[np.float64], known: NDArray[np.float64], row: float, column: float, radius: float
) -> float:
    y, x = np.indices(image.shape)
    part = (np.hypot(y - row, x - column) < radius) & (known > 0.5)
    return float(image[part].mean()) if part.any() else 0.0
