"""What a detector did not measure: dead and hot pixels, saturated ones, what a beam stop shades."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from htinvert.core import Signal

Mask = NDArray[np.bool_]
Values = NDArray[np.float64]

RANK = 2  # of the 24 values around, this many of the largest and smallest may be bad themselves
FAR = 2.0  # distance beyond the others in units of their range
LEAST = 0.01  # the same at least, in units of what is bright
MOST = 0.02  # share of the pixels beyond which they are none of a few bad ones
BRIGHT = 99.0  # percentile of a mean pattern that counts as bright
SATURATED = 0.5  # share of the patterns in which a pixel has the largest value of all
FEWEST = 4  # pixels that share it
LEAST_FULL = 127.0  # of the largest value that a detector has, one less than a power of two
DARK = 0.25  # of the partner's intensity: what is darker may be in a shadow
LIT = 0.1  # of what is bright: the partner's intensity at least
FAINT = 0.01  # the same where a shadow goes on that was found so
SHADOW = 0.002  # share of the frame that a shadow has at least


@dataclass(frozen=True, eq=False)
class Defects:
    """Which pixels (ny, nx) were not measured: alone dead or hot, or saturated."""

    bad: Mask
    saturated: Mask

    @property
    def every(self) -> Mask:
        """All of them."""
        return self.bad | self.saturated

    def __str__(self) -> str:
        """What is to be said of them; empty where there are none."""
        parts = []
        if self.bad.any():
            parts.append(f"dead or hot: {int(self.bad.sum())}")
        if self.saturated.any():
            parts.append(f"saturated: {int(self.saturated.sum())}")
        return f"pixels of the detector that are {', '.join(parts)}" if parts else ""


def find_defects(sample: Signal) -> Defects:
    """Bad pixels by sampled patterns (n, ny, nx).

    A pixel is dead or hot whose mean lies outside of the 24 around it by twice their range and 1 %
    of what is bright; more than 2 % of such are none. Pixels are saturated that ever have the
    largest value of all, where that is one less than a power of two, from 127 on, and four or more
    pixels have it in half of the patterns.
    """
    data = sample.data
    mean = data.mean(axis=0, dtype=float)
    seen = np.isfinite(mean)
    around = np.ones((5, 5), dtype=bool)
    around[2, 2] = False
    filled = np.where(seen, mean, 0.0)
    low = ndimage.rank_filter(filled, RANK, footprint=around, mode="reflect")
    high = ndimage.rank_filter(filled, -1 - RANK, footprint=around, mode="reflect")
    level = float(np.percentile(filled[seen], BRIGHT)) if seen.any() else 0.0
    reach = FAR * (high - low) + LEAST * level
    bad = seen & ((filled > high + reach) | (filled < low - reach) | _blind(filled, low, level))
    if bad.mean() > MOST:
        bad[:] = False
    return Defects(bad, _saturated(data, bad))


def _blind(mean: Values, low: Values, level: float) -> Mask:
    """Pixels of nothing at all among such that all have seen a good deal."""
    return (mean <= 0.0) & (low > LEAST * level)


def _saturated(data: NDArray[np.float32], bad: Mask) -> Mask:
    """Pixels at the largest value of all in most patterns, where several are."""
    good = np.where(bad, np.float32(-np.inf), data)
    largest = np.nanmax(good, initial=0.0)
    full = largest >= LEAST_FULL and float(np.log2(largest + 1.0)).is_integer()
    share = (good >= largest).mean(axis=0)
    found = share >= SATURATED
    if not full or found.sum() < FEWEST or len(data) < 2:
        return np.zeros_like(bad)
    return np.asarray(share > 0.0)


def find_shadow(mean: Values, middle: tuple[float, float]) -> Mask:
    """What a beam stop shades: dark where the pixel opposite to it is bright, from the border in.

    ``middle`` is the pattern's center (row, column) [px], ``mean`` shape (ny, nx). The region is
    grown by two pixels; nothing where there is none.
    """
    rows, columns = np.indices(mean.shape)
    filled = np.nan_to_num(mean)
    smooth = ndimage.gaussian_filter(filled, 1.0)
    places = np.stack([2 * middle[0] - rows, 2 * middle[1] - columns])
    partner = ndimage.map_coordinates(smooth, places, order=1, mode="constant", cval=0.0)
    level = float(np.percentile(filled, BRIGHT))
    reach = ndimage.binary_propagation(_border(mean.shape), mask=smooth < LIT * level)
    dark = smooth < DARK * partner
    bright = _parts(dark & (partner > LIT * level))
    if not (ndimage.binary_dilation(bright, iterations=2) & reach).any():
        return np.zeros(mean.shape, dtype=bool)
    faint = _parts(dark & (partner > FAINT * level))
    return np.asarray(ndimage.binary_dilation(bright | faint, iterations=2))


def _parts(mask: Mask) -> Mask:
    """Connected parts that are large enough for a shadow."""
    numbers, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    large = np.bincount(numbers.ravel()) >= SHADOW * mask.size
    large[0] = False
    return np.asarray(large[numbers])


def _border(shape: tuple[int, ...]) -> Mask:
    edge = np.ones(shape, dtype=bool)
    edge[1:-1, 1:-1] = False
    return edge
