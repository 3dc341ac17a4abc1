"""Autocovariance of every pixel of a series, by FFT, block by block, in bins of lags.

Lags of a bin are pooled: sums of products over the sum of their numbers. So the expectation for a
finite series is known exactly (:func:`htinvert.statistics.kohlrausch.expected`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import UserError
from htinvert.statistics.series import Series

SINGLE = 16  # lags that have bins of their own
WIDER = 1.25  # ratio of edges of the others


@dataclass(frozen=True, eq=False)
class Lags:
    """Bins of lags: the first lag of each bin, and the one after the last, shape (k + 1,)."""

    count: int
    edges: NDArray[np.int_]

    @property
    def middle(self) -> NDArray[np.float64]:
        """Mean lag of each bin [frames], shape (k,)."""
        return np.asarray(0.5 * (self.edges[:-1] + self.edges[1:] - 1))

    def pooled(self, sums: NDArray[np.floating]) -> NDArray[np.floating]:
        """Sums of products at lags 0 to the last, shape (..., l), as means of bins (..., k)."""
        numbers = self.count - np.arange(self.edges[-1])
        first = self.edges[:-1]
        many = np.add.reduceat(numbers, first)
        summed = np.add.reduceat(sums[..., : self.edges[-1]], first, axis=-1)
        return np.asarray(summed / many)


def lags(count: int, *, longest: int | None = None) -> Lags:
    """Bins for a series of ``count`` frames: lags from 1, single ones first, to half the series."""
    last = min(longest or count // 2, count - 1)
    edges = list(range(1, min(SINGLE, last) + 1))
    while edges[-1] < last:
        edges.append(max(edges[-1] + 1, round(edges[-1] * WIDER)))
    edges[-1] = last
    return Lags(count, np.unique([*edges, last + 1]))


@dataclass(frozen=True, eq=False)
class Autocovariance:
    """What a series' pixels say: means, variances and autocovariances.

    Attributes:
        lags: bins of lags.
        mean: of each pixel, shape (y, x).
        variance: lag 0, noise of counting included, shape (y, x).
        bins: autocovariance, shape (y, x, k).
    """

    lags: Lags
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    bins: NDArray[np.float32]


def autocovariance(
    series: Series, *, steady: bool = False, longest: int | None = None
) -> Autocovariance:
    """Autocovariance of each pixel about its own mean.

    Args:
        series: frames; some 64 MB of them are in memory at once.
        steady: divide each frame by its mean first, against a beam current that wanders.
        longest: longest lag [frames]; None: half the series.

    Raises:
        UserError: where all frames are the same, or values are not finite.
    """
    count, ny, nx = series.shape
    bins = lags(count, longest=longest)
    found = Autocovariance(
        bins, np.empty((ny, nx)), np.empty((ny, nx)), np.empty((ny, nx, len(bins.middle)), "f4")
    )
    means = series.means() if steady else np.ones(count)
    if not (np.isfinite(means).all() and means.min() > 0.0):
        raise UserError(f"{series.name} has a frame whose mean is not above 0; leave it out")
    scale = (means / means.mean()).astype(np.float32)
    size = fft.next_fast_len(count + int(bins.edges[-1]), real=True)
    for first, values in series.blocks():
        rows = slice(first, first + values.shape[1])
        for row, along in zip(range(rows.start, rows.stop), values.swapaxes(0, 1), strict=True):
            x = np.ascontiguousarray((along / scale[:, None]).T)  # pixel, time
            found.mean[row] = x.mean(axis=1, dtype=float)
            x -= found.mean[row][:, None].astype(np.float32)
            sums = sums_of_products(x, size, int(bins.edges[-1]))
            found.variance[row] = sums[:, 0] / count
            found.bins[row] = bins.pooled(sums)
    if not np.isfinite(found.variance).all():
        raise UserError(f"{series.name} has values that are not finite; mask or crop them")
    if not (found.variance > 1e-12 * np.maximum(found.mean**2, 1e-30)).any():
        raise UserError(
            f"{series.name} does not fluctuate: every frame is the same; check the file"
        )
    return found


def sums_of_products(x: NDArray[np.float32], size: int, most: int) -> NDArray[np.float32]:
    """Sums of products at lags 0 to ``most`` - 1 of real series (p, t), padded to ``size``."""
    spectrum = fft.rfft(x, n=size, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(fft.irfft(power, n=size, axis=1)[:, :most])
