"""How far the residual of neighboring points hangs together, and pieces of data that do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats

FEWEST = 6  # pieces along an axis, however long the correlation


def correlation_time(residual: Floats, axis: int = -1) -> float:
    """Integrated autocorrelation [points] of a residual along an axis, averaged over the others.

    ``1 + 2 sum rho(k)``, or of the squares, ``1 + 2 sum rho(k)^2``, where that is more, as where a
    residual oscillates because it has no slow part (EXAFS within a range of R); each up to the
    first k >= 5 tau (Sokal, *Monte Carlo Methods in Statistical Mechanics* (1997), section 3). 1
    for white noise. Points that are NaN count as 0.
    """
    covariance = _covariance(residual, axis)
    if covariance[0] <= 0.0:
        return 1.0
    correlation = covariance / covariance[0]
    return max(_summed(correlation), _summed(correlation**2), 1.0)


def _summed(correlation: Floats) -> float:
    times = 2.0 * np.cumsum(correlation) - 1.0
    enough = np.flatnonzero(np.arange(len(times)) >= 5.0 * times)
    return float(times[enough[0]] if enough.size else times.max())


def decay(values: Floats, axis: int = -1) -> float:
    """Over how many points data hang together along an axis, averaged over the others; 1 if not.

    ``1 + 2 sum rho(k)^2`` up to where the autocorrelation rho first is not positive: by so much
    fewer points a variance is known than there are (Bartlett, J. R. Stat. Soc. Suppl. 8, 27
    (1946)). Points that are NaN count as 0.
    """
    covariance = _covariance(values, axis)
    if covariance[0] <= 0.0:
        return 1.0
    ends = np.flatnonzero(covariance <= 0.0)
    correlation = covariance[1 : ends[0] if ends.size else len(covariance)] / covariance[0]
    return float(1.0 + 2.0 * (correlation**2).sum())


def _covariance(values: Floats, axis: int) -> Floats:
    """Autocovariance by lag along an axis, summed over the others; NaN count as the mean."""
    data = np.moveaxis(np.nan_to_num(values - np.nanmean(values)), axis, -1)
    rows = data.reshape(-1, data.shape[-1])
    size = rows.shape[1]
    power = (np.abs(np.fft.rfft(rows, n=2 * size, axis=1)) ** 2).sum(axis=0)
    return np.asarray(np.fft.irfft(power)[:size])


def stretches(size: int, time: float) -> NDArray[np.intp]:
    """Number of the stretch that each of this many points belongs to, shape (size,).

    A stretch is four correlation times long, or a sixth of all where that is longer.
    """
    length = int(np.clip(np.ceil(4.0 * time), 1, max(size // FEWEST, 1)))
    count = max(size // length, 1)
    return np.asarray(np.arange(size) * count // size, dtype=np.intp)


def blocks(residual: Floats, axes: tuple[int, ...]) -> NDArray[np.intp]:
    """Number of the block that each point belongs to, of the residual's shape.

    Blocks are stretches of each of ``axes``; along the others every index is a block of its own.
    """
    found = np.zeros(residual.shape, dtype=np.intp)
    for axis, size in enumerate(residual.shape):
        inside = axis % residual.ndim in {a % residual.ndim for a in axes}
        time = correlation_time(residual, axis) if inside else 0.25
        numbers = stretches(size, time) if inside else np.arange(size)
        view = [1] * residual.ndim
        view[axis] = size
        found = found * (int(numbers[-1]) + 1) + numbers.reshape(view)
    return found
