"""Kohlrausch's stretched exponential in an intensity's autocovariance of a finite series.

The amplitude g1(t) = exp(-(t / tau)^beta) of a field of speckles shows in intensities as
g2(t) - 1 = A g1(t)² (Siegert's relation), so the autocovariance is c(t) = A exp(-2 (t / tau)^beta).
Times are in frames here. Sources: R. Kohlrausch, Ann. Phys. 167, 56 (1854); the bias of a finite
series: E. D. Menzel et al., Phys. Rev. B 65, 075312 (2002); length and errors: L. He et al.,
Microsc. Microanal. 21, 1026 (2015) and P. Zhang et al., Ultramicroscopy 178, 125 (2017).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import least_squares

from htinvert.core import Floats
from htinvert.statistics.autocovariance import Lags

NODES = 12  # of Gauss and Legendre's on either half of an exposure's triangle
SMEARED = 64  # lags at which an exposure's length matters
TERMS = 512  # of the sum over pairs of times, on either side
GONE = 1e-3  # of g1²: what is beyond is not summed
BETA = (0.2, 3.0)
ROUNDS = 3  # of weights by the last fit
SINGULAR = 1e-9  # of normal equations: what the data do not tell gets a large error, no division
RIDGE = 1e-6  # of a covariance's diagonal


def decay(count: int, tau: float, beta: float, exposure: float = 1.0) -> Floats:
    """Autocovariance of unit amplitude at lags 0 to ``count`` - 1 [frames], shape (count,).

    Each frame collects for ``exposure`` of an interval, which averages over a triangle of times.
    """
    values = _squared(np.arange(count, dtype=float), tau, beta)
    if exposure > 0.0:
        x, weights = np.polynomial.legendre.leggauss(NODES)
        u = 0.5 * (x + 1.0)
        weights = 0.5 * weights * (1.0 - u)
        lag = np.arange(min(SMEARED, count), dtype=float)[:, None]
        sides = _squared(lag + exposure * u, tau, beta) + _squared(
            np.abs(lag - exposure * u), tau, beta
        )
        values[: len(lag)] = sides @ weights
    return values


def _squared(time: Floats, tau: float, beta: float) -> Floats:
    return np.asarray(np.exp(-2.0 * (time / tau) ** beta))


def expected(lags: Lags, tau: float, beta: float, exposure: float = 1.0) -> Floats:
    """What is found on average, in a series of this length, of an autocovariance of unit amplitude.

    The pixel's own mean is taken off, so what is found is less by about the variance of that mean,
    and negative at long lags; here exactly. Lag 0 of noise of counting takes part by that mean,
    too: data and expectation are to be :func:`without_noise`. Shape (k,).
    """
    sums = finite(decay(lags.count, tau, beta, exposure))
    return np.asarray(without_noise(lags, lags.pooled(sums), sums[0] / lags.count))


def finite(c: Floats) -> Floats:
    """Expected sums of products about the series' own mean, by lag, of an autocovariance ``c``.

    With D(t) the covariance of a value and the mean, and V the mean's variance, a sum of n - k
    products is (n - k) (c(k) + V) - 2 sum of D over the first n - k times.
    """
    count = len(c)
    running = np.cumsum(c)
    with_mean = (running + running[::-1] - c[0]) / count
    variance = with_mean.mean()
    numbers = count - np.arange(count)
    return np.asarray(numbers * (c + variance) - 2.0 * np.cumsum(with_mean)[::-1])


def without_noise(
    lags: Lags, bins: NDArray[np.floating], variance: NDArray[np.floating] | float
) -> NDArray[np.floating]:
    """Bins (..., k) of an autocovariance, freed of what uncorrelated noise does by the mean.

    Noise adds its variance s to lag 0 and -s / n to all others: adding lag 0 over n - 1 to these
    removes s exactly, whatever it is.
    """
    return np.asarray(bins + np.asarray(variance)[..., None] / (lags.count - 1))


def scatter(
    lags: Lags,
    tau: float,
    beta: float,
    *,
    noise: float = 0.0,
    contrast: float = 1.0,
    speckles: tuple[float, float] = (1.0, 1.0),
) -> Floats:
    """Covariance of the bins of pixels of unit amplitude, shape (k, k).

    Bartlett's sum over pairs of times, with the fourth cumulant of speckles of 1 / ``contrast``
    modes (gamma distribution), and ``noise``, the variance of counting over the amplitude.
    ``speckles`` are how many independent ones are averaged, by the correlation of intensities and
    by its square: terms that link two pixels by two fields count by the first, by four the second.
    """
    j = np.rint(lags.middle).astype(int)
    gone = tau * (0.5 * np.log(1.0 / GONE)) ** (1.0 / beta)
    reach = int(min(lags.count - 1, max(2.0 * gone, 4.0)))
    step = -(-reach // TERMS)
    h = np.arange(-(reach // step), reach // step + 1) * step
    weight = step * (1.0 - np.abs(h) / lags.count)

    def g(time: NDArray[np.int_]) -> NDArray[np.float32]:
        return np.exp(-((np.abs(time) / tau) ** beta)).astype(np.float32)

    plain, minus, plus = g(h), g(h[None] - j[:, None]), g(h[None] + j[:, None])
    found = np.empty((len(j), len(j)))
    own = g(j)
    for a in range(len(j)):
        both = g(h[None] + (j - j[a])[:, None])  # (b, h)
        pairs = plain**2 * both**2 + plus**2 * minus[a] ** 2
        pairs = pairs + 2.0 * contrast * plain * minus[a] * both * plus
        linked = 2.0 * contrast * own[a] * own[:, None] * (minus[a] * plus + both * plain)
        found[a] = (linked / speckles[0] + pairs / speckles[1]) @ weight
    gap, total = np.abs(j[:, None] - j), j[:, None] + j
    found += 2.0 * noise * (g(gap) ** 2 + g(total) ** 2) / speckles[1]
    found += np.diag(noise**2 / np.diff(lags.edges)) / speckles[1]
    found = 0.5 * (found + found.T) / np.sqrt(np.outer(lags.count - j, lags.count - j))
    return np.asarray(found + RIDGE * np.diag(found.diagonal().copy()))


class Weights:
    """The inverse of a covariance, as the solver that least squares want."""

    def __init__(self, covariance: Floats) -> None:
        self.factor = cho_factor(_positive(covariance), lower=True)

    def whiten(self, values: Floats) -> Floats:
        """Values (k, ...) whose covariance becomes the unit matrix."""
        return np.asarray(solve_triangular(self.factor[0], values, lower=True))

    def gain(self, jacobian: Floats) -> Floats:
        """How parameters follow the data: (J' W J)⁻¹ J' W, shape (p, k)."""
        scale = np.linalg.norm(self.whiten(jacobian), axis=0) + 1e-300
        scaled = jacobian / scale
        weighted = cho_solve(self.factor, scaled)
        normal = scaled.T @ weighted + SINGULAR * np.eye(scaled.shape[1])
        return np.asarray(np.linalg.solve(normal, weighted.T) / scale[:, None])


def _positive(covariance: Floats) -> Floats:
    """A covariance without eigenvalues that rounding has made negative."""
    scale = np.sqrt(covariance.diagonal())
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    values = np.maximum(values, 1e-4 * values[-1])
    return np.asarray((vectors * values) @ vectors.T * np.outer(scale, scale))


def fit(
    lags: Lags, data: Floats, *, exposure: float, weights: Weights, start: tuple[float, float]
) -> tuple[float, float, float]:
    """Amplitude, tau [frames] and beta that fit bins of an autocovariance, shape (k,)."""
    white = weights.whiten(data)

    def residual(point: Floats) -> Floats:
        model = weights.whiten(expected(lags, np.exp(point[0]), np.exp(point[1]), exposure))
        return np.asarray(white - (model @ white) / (model @ model) * model)

    low, high = np.log([[0.1, BETA[0]], [20.0 * lags.count, BETA[1]]])
    begin = np.clip(np.log(start), low + 1e-3, high - 1e-3)
    best = least_squares(residual, begin, bounds=(low, high), xtol=1e-6, ftol=1e-8)
    tau, beta = (float(value) for value in np.exp(best.x))
    model = weights.whiten(expected(lags, tau, beta, exposure))
    return float((model @ white) / (model @ model)), tau, beta


def jacobian(lags: Lags, amplitude: float, tau: float, beta: float, exposure: float) -> Floats:
    """Derivatives of the expected bins by ln tau, ln beta and the amplitude, shape (k, 3)."""
    step = 1e-3
    columns = [
        amplitude
        * (
            expected(lags, tau * np.exp(step * a), beta * np.exp(step * b), exposure)
            - expected(lags, tau * np.exp(-step * a), beta * np.exp(-step * b), exposure)
        )
        / (2 * step)
        for a, b in ((1, 0), (0, 1))
    ]
    return np.stack([*columns, expected(lags, tau, beta, exposure)], axis=1)


def plain_fit(lags: Lags, data: Floats) -> tuple[float, float, float]:
    """Amplitude, tau and beta without any correction or weights, as a comparison."""
    time = lags.middle

    def residual(point: Floats) -> Floats:
        model = _squared(time, np.exp(point[0]), np.exp(point[1]))
        return np.asarray(data - (model @ data) / (model @ model) * model)

    low, high = np.log([[0.1, BETA[0]], [20.0 * lags.count, BETA[1]]])
    best = least_squares(residual, np.log([start(lags, data), 0.8]), bounds=(low, high))
    tau, beta = (float(value) for value in np.exp(best.x))
    model = _squared(time, tau, beta)
    return float((model @ data) / (model @ model)), tau, beta


def start(lags: Lags, data: Floats) -> float:
    """A first guess of tau [frames]: twice the lag at which the data have fallen to 1/e."""
    below = np.flatnonzero(data < data[0] / np.e)
    lag = lags.middle[below[0]] if len(below) else lags.middle[-1]
    return float(max(2.0 * lag, 0.5))
