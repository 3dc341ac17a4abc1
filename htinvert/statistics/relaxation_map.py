"""Relaxation time and exponent of every pixel: a search over a table of models, calibrated.

Of one pixel little is known, and what is found of it is crooked: too short a time from a short
series. So the same search is made on simulated speckles of known times, in series as long and as
noisy; their medians say which time was meant, and their scatter how sure that is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter

from htinvert.core import Floats
from htinvert.statistics.autocovariance import Autocovariance, Lags, sums_of_products
from htinvert.statistics.kohlrausch import Weights, expected, without_noise
from htinvert.statistics.synthetic import intensities

TAUS, BETAS = 56, 15  # models in the table
SHORTEST = 0.3  # frames
BETA_RANGE = (0.3, 2.0)
AT_ONCE = 4096  # pixels
KNOWN = 9  # relaxation times that are simulated
SPREAD = 8.0  # how far they are from that of all pixels, as a factor
TRIALS = 120
MOST_SPECKLES, MOST_MODES = 40, 4  # that are simulated
TRUSTED = 0.5  # relative error of tau beyond which a pixel is hidden


@dataclass(frozen=True, eq=False)
class RelaxationMap:
    """Values and standard errors of each pixel, shape (y, x); nan where there is no fit.

    ``tau`` is in the series' unit; errors are relative for tau, absolute for beta.
    """

    tau: Floats
    beta: Floats
    relative_error: Floats
    beta_error: Floats

    @property
    def trusted(self) -> NDArray[np.bool_]:
        """Pixels whose tau is known to better than half of it."""
        return np.asarray(self.relative_error < TRUSTED)

    def scaled(self, step: float) -> RelaxationMap:
        """The same with tau in another unit."""
        return replace(self, tau=self.tau * step)


@dataclass(frozen=True)
class Conditions:
    """What a pixel's series is like: all pixels' tau [frames] and beta, noise, speckles.

    ``noise`` is the variance of counting over that of the speckles, ``contrast`` the latter over
    the squared mean; ``speckles`` are pooled in a pixel.
    """

    tau: float
    beta: float
    exposure: float
    noise: float
    contrast: float
    speckles: float


def relaxation_map(
    found: Autocovariance,
    weights: Weights,
    conditions: Conditions,
    *,
    average: int,
    hold_beta: bool = False,
) -> RelaxationMap:
    """Fit every pixel, pooled over a square of ``average`` px, by one table of models.

    With ``hold_beta`` the exponent of all pixels is every pixel's.
    """
    size = (average, average)
    square = uniform_filter(found.mean**2, size=size, mode="nearest")
    freed = without_noise(found.lags, found.bins, found.variance).astype(np.float32)
    if average > 1:
        freed = uniform_filter(freed, size=(*size, 1), mode="nearest")
    search = _searcher(found.lags, weights, conditions, hold_beta=hold_beta)
    logs = search(freed.reshape(-1, freed.shape[-1]))
    logs[(square <= 0.0).ravel()] = np.nan
    tau, beta, error, beta_error = _calibrated(logs, found.lags, search, conditions)
    shape = found.mean.shape
    return RelaxationMap(*(v.reshape(shape) for v in (tau, beta, error, beta_error)))


def _searcher(
    lags: Lags, weights: Weights, conditions: Conditions, *, hold_beta: bool
) -> Callable[[NDArray[np.float32]], Floats]:
    """What finds ln tau and ln beta, shape (n, 2), of bins (n, k); nan where none is."""
    taus = np.geomspace(SHORTEST, 2.0 * lags.count, TAUS)
    betas = np.array([conditions.beta]) if hold_beta else np.geomspace(*BETA_RANGE, BETAS)
    table = np.array([[expected(lags, t, b, conditions.exposure) for b in betas] for t in taus])
    white = weights.whiten(table.reshape(-1, table.shape[-1]).T)
    white = (white / np.linalg.norm(white, axis=0)).astype(np.float32)
    steps = (np.log(taus[1] / taus[0]), 0.0 if hold_beta else np.log(betas[1] / betas[0]))
    first = np.log([taus[0], betas[0]])

    def search(bins: NDArray[np.float32]) -> Floats:
        points = np.empty((len(bins), 2))
        for start in range(0, len(bins), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            scores = weights.whiten(bins[part].T.astype(float)).T.astype(np.float32) @ white
            points[part] = _peaks(scores.reshape(-1, len(taus), len(betas)))
        return np.asarray(first + points * steps)

    return search


def _peaks(scores: NDArray[np.float32]) -> Floats:
    """Where on the table each pixel's best model is, between points; nan at the edge of taus."""
    many, nt, nb = scores.shape
    i, j = np.divmod(scores.reshape(many, -1).argmax(axis=1), nb)
    rows = np.arange(many)
    point = np.stack([i, j], axis=1).astype(float)
    near = np.clip(i, 1, nt - 2)
    point[:, 0] += _vertex(*(scores[rows, near + d, j] for d in (-1, 0, 1))) * (i == near)
    if nb > 2:
        near = np.clip(j, 1, nb - 2)
        point[:, 1] += _vertex(*(scores[rows, i, near + d] for d in (-1, 0, 1))) * (j == near)
    point[(i == 0) | (i == nt - 1) | (scores[rows, i, j] <= 0.0)] = np.nan
    return point


def _vertex(
    left: NDArray[np.float32], middle: NDArray[np.float32], right: NDArray[np.float32]
) -> Floats:
    """Place of a parabola's maximum, -0.5 to 0.5 of a step from the middle."""
    bend = 2.0 * middle.astype(float) - left - right
    return np.asarray(np.clip(0.5 * (right - left) / np.maximum(bend, 1e-12), -0.5, 0.5))


def _calibrated(
    logs: Floats,
    lags: Lags,
    search: Callable[[NDArray[np.float32]], Floats],
    conditions: Conditions,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Tau [frames], beta, relative error of tau and error of beta of what a search has found."""
    rng = np.random.default_rng(0)  # calibrations repeat
    known = np.linspace(-np.log(SPREAD), np.log(SPREAD), KNOWN) + np.log(conditions.tau)
    middle, low, high, exponent, scatter = np.empty((5, KNOWN))
    for row, log_tau in enumerate(known):
        trial = search(_simulated(lags, float(np.exp(log_tau)), conditions, rng))
        trial[np.isnan(trial[:, 0]), 0] = np.log(2.0 * lags.count)  # no end in sight
        low[row], middle[row], high[row] = np.percentile(trial[:, 0], (15.9, 50.0, 84.1))
        b = np.nanpercentile(np.r_[trial[:, 1], np.log(conditions.beta)], (15.9, 50.0, 84.1))
        exponent[row], scatter[row] = b[1], 0.5 * (b[2] - b[0])
    rising = np.maximum.accumulate(middle + 1e-6 * np.arange(KNOWN))
    found = logs[:, 0]
    meant = np.interp(found, rising, known)
    meant += np.minimum(found - rising[0], 0.0) + np.maximum(found - rising[-1], 0.0)
    # what spreads so around this truth, on the scale of truths
    width = 0.5 * (high - low) / np.maximum(np.gradient(rising, known), 0.1)
    error = np.interp(meant, known, width)
    beta = np.exp(logs[:, 1] - np.interp(meant, known, exponent) + np.log(conditions.beta))
    return np.exp(meant), beta, error, beta * np.interp(meant, known, scatter)


def _simulated(
    lags: Lags, tau: float, conditions: Conditions, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Bins of simulated pixels, shape (trials, k)."""
    speckles = round(min(max(conditions.speckles, 1.0), MOST_SPECKLES))
    modes = round(np.clip(1.0 / max(conditions.contrast, 1e-3), 1, MOST_MODES))
    size = fft.next_fast_len(lags.count + int(lags.edges[-1]), real=True)
    result = np.zeros((TRIALS, len(lags.middle)), dtype=np.float32)
    sigma = np.sqrt(conditions.noise / modes)
    for _ in range(speckles):
        x = intensities(
            lags.count,
            TRIALS,
            tau=tau,
            beta=conditions.beta,
            exposure=conditions.exposure,
            modes=modes,
            rng=rng,
        )
        x += np.float32(sigma) * rng.standard_normal(x.shape, dtype=np.float32)
        x -= x.mean(axis=1, keepdims=True)
        sums = sums_of_products(x, size, int(lags.edges[-1]))
        result += without_noise(lags, lags.pooled(sums), sums[:, 0] / lags.count).astype("f4")
    return result
