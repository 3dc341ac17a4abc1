"""Hot and dead pixels: found by standing alone far outside of all others, replaced, and counted.

One of them scales a whole image, for correlation and similarity count squares and extremes. What an
instrument has resolved is no single pixel: its neighbors have their share of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from htinvert.core import Signal

INSIDE = (1.0, 99.0)  # percentiles that bound what the others are
BEYOND = 1.0  # distance from them in units of theirs
BEYOND_COUNTS = 4.0  # the same where the others have few levels, for few counts scatter far
MIDDLE = (5.0, 95.0)  # percentiles that a bad line or two do not reach
FAR = 3.0  # distance of a bad line's median from that of all lines, in units of theirs
FEWEST_LINES = 16
ALONG = 1024  # pixels of a line at most that its median is taken of
BAND = 256  # rows that are looked at together
LEVELS = 16  # an image of fewer is one of counts
ALIKE = 0.28  # share of a pixel's own excess from which a neighbor shares it: 1.5 px FWHM
MOST_ALIKE = 2  # neighbors that may: pairs and lines of bad pixels do, atoms have more
LARGEST_CLUSTER = 9  # pixels of a group that is bad
EDGE = 0.05  # share of its excess that is left beside it; an atom of 1.5 px FWHM has 0.08
MOST = 0.005  # share of the pixels beyond which they are none of a few bad ones
SAMPLE = 1_000_000  # values that percentiles are taken of


@dataclass(frozen=True)
class Outliers:
    """Bad pixels of an image: their number, least and largest value, whether they are replaced."""

    count: int
    least: float
    largest: float
    replaced: bool = True

    def __str__(self) -> str:
        values = f"{self.least:.4g}"
        if self.largest > self.least:
            values += f" to {self.largest:.4g}"
        pixels = "pixel stands" if self.count == 1 else "pixels stand"
        return (
            f"{self.count} {pixels} alone far outside of all others ({values}; hot or dead): "
            + (
                "replaced by the median around"
                if self.replaced
                else "left, because they are too many"
            )
        )


def without_outliers(image: Signal) -> tuple[Signal, Outliers | None]:
    """An image (ny, nx) with its bad pixels replaced by the median of their good neighbors.

    A pixel is bad where it lies farther from the 1st and 99th percentile than these from each
    other, and at most two of its eight neighbors have 28 % of its excess over the median; so are up
    to nine together beside which nothing is left of it, and whole rows and columns whose medians
    are so. Where they are more than 0.5 % of all, the
    image is left as it is, for few counts look so, too.
    """
    lines = _lines(image.data)
    if not lines.any() and not _any_outside(image.data):
        return image, None  # as most are; masks of a large frame would be as large as it
    bad = _bad(image.data, lines)
    if not bad.any():
        return image, None
    values = image.data[bad]
    count, extremes = len(values), (float(values.min()), float(values.max()))
    if (bad & ~lines).sum() > max(MOST * bad.size, 1):
        return image, Outliers(count, *extremes, replaced=False)
    data = image.data.copy()
    for row, column in np.argwhere(bad):
        data[row, column] = _around(image.data, bad, int(row), int(column))
    return replace(image, data=data), Outliers(count, *extremes)


def cleaned(image: Signal) -> Signal:
    """An image without its bad pixels, with a warning that counts them."""
    good, outliers = without_outliers(image) if image.data.ndim == 2 else (image, None)
    if outliers is not None:
        warnings.warn(f"the image has bad pixels: {outliers}", stacklevel=3)
    return good


def bands(data: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """An image, shape (ny, nx), in bands of rows, so that what is made of them stays small."""
    for top in range(0, len(data), BAND):
        yield data[top : top + BAND]


def _any_outside(data: NDArray[np.float32]) -> bool:
    """Whether any pixel lies where bad ones do."""
    found = _inside(_sample(data))
    if found is None:
        return False
    low, _, high = found
    return any(bool(((band > high) | (band < low)).any()) for band in bands(data))


def _inside(sample: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Least good value, median and largest good value of a sample; None where it tells nothing."""
    if not sample.size:
        return None
    low, middle, high = np.percentile(sample, (INSIDE[0], 50.0, INSIDE[1]))
    inside = sample[(sample >= low) & (sample <= high)]
    few = len(np.unique(inside[:: max(len(inside) // 10_000, 1)])) < LEVELS
    reach = (BEYOND_COUNTS if few else BEYOND) * (high - low)
    return (float(low - reach), float(middle), float(high + reach)) if reach > 0.0 else None


def _lines(data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of rows and columns that stand alone outside, by their medians."""
    bad = np.zeros(data.shape, dtype=bool)
    sample = _sample(data)
    if min(data.shape) < FEWEST_LINES or not sample.size:
        return bad
    low, high = np.percentile(sample, MIDDLE)
    for axis in (0, 1):
        every = -(-data.shape[1 - axis] // ALONG)
        thin = data[:, ::every] if axis == 0 else data[::every]
        medians = np.median(thin, axis=1 - axis).astype(float)
        excess = np.abs(medians - np.median(medians))
        beside = np.maximum(
            np.concatenate([[0.0], excess[:-1]]), np.concatenate([excess[1:], [0.0]])
        )
        found = (excess > FAR * (high - low)) & (beside < ALIKE * excess) & (high > low)
        if found.sum() <= max(2, 0.01 * len(found)):
            bad |= np.expand_dims(found, 1 - axis)
    return bad


def _sample(data: NDArray[np.float32]) -> NDArray[np.float64]:
    """Some of the finite values; the odd step meets all rows and columns."""
    sample = data.ravel()[:: data.size // SAMPLE | 1].astype(float)
    return sample[np.isfinite(sample)]


def _bad(data: NDArray[np.float32], lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels stand alone outside, whole lines that do included."""
    found = _inside(_sample(np.where(lines, np.nan, data) if lines.any() else data))
    bad = lines.copy()
    if found is None:
        return bad
    low, middle, high = found
    outside = (data > high) | (data < low)
    outside &= np.isfinite(data) & ~lines
    for row, column in np.argwhere(outside)[: _most(data) + 1]:
        around = data[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].astype(float)
        alike = (around - middle) / (float(data[row, column]) - middle) >= ALIKE
        bad[row, column] = int(alike.sum()) - 1 <= MOST_ALIKE
    return bad | _clusters(data, outside & ~bad, middle)


def _clusters(
    data: NDArray[np.float32], outside: NDArray[np.bool_], middle: float
) -> NDArray[np.bool_]:
    """Small groups of pixels with a sharp edge, as a cosmic ray leaves them."""
    bad = np.zeros(data.shape, dtype=bool)
    if not 0 < int(outside.sum()) <= _most(data):
        return bad
    numbers, _ = ndimage.label(outside, structure=np.ones((3, 3)))
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        rows, columns = (slice(max(part.start - 1, 0), part.stop + 1) for part in box)
        excess = np.abs(data[rows, columns].astype(float) - middle)
        peak = float(excess[numbers[rows, columns] == number].max())
        core = (numbers[rows, columns] == number) & (excess >= ALIKE * peak)
        edge = ndimage.binary_dilation(core, structure=np.ones((3, 3))) & ~core
        if core.sum() <= LARGEST_CLUSTER and np.nanmax(excess[edge], initial=0.0) < EDGE * peak:
            bad[rows, columns] |= core
    return bad


def _most(data: NDArray[np.float32]) -> int:
    """Pixels outside that are looked at: more are no few bad ones."""
    return max(int(0.02 * data.size), 100)


def _around(data: NDArray[np.float32], bad: NDArray[np.bool_], row: int, column: int) -> float:
    """Median of the nearest good pixels."""
    for reach in range(1, max(data.shape)):
        part = (
            slice(max(row - reach, 0), row + reach + 1),
            slice(max(column - reach, 0), column + reach + 1),
        )
        good = data[part][~bad[part] & np.isfinite(data[part])]
        if good.size:
            return float(np.median(good))
    return float(np.median(data[~bad]))
