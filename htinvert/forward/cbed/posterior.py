"""From misfits to what is known: a posterior in which only independent points count.

The misfit of a model that is nearly right is no noise: neighboring pixels share it. Its size is
taken from the best fit, the number of independent points from the correlation of its residual, and
the scale of the misfit is integrated out: ``p ~ (misfit / least)^(-n / 2)``, Student's likelihood
(Sivia & Skilling, *Data Analysis*, 2nd ed. (2006), section 3.5.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats

LEVEL = 0.9  # of intervals
VAGUE = 0.5  # of all that is asked: an interval as wide says nothing
_FEWEST = 4.0  # independent points, however correlated a residual is


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of one number.

    Attributes:
        values: on which it is given, rising, shape (n,).
        weights: of each, their sum 1, shape (n,).
    """

    values: Floats
    weights: Floats

    @property
    def mean(self) -> float:
        """The expected value."""
        return float(self.weights @ self.values)

    @property
    def spread(self) -> float:
        """Standard deviation, at least what the distance of values allows to see."""
        step = float(np.diff(self.values).mean()) if len(self.values) > 1 else 0.0
        seen = self.weights @ (self.values - self.mean) ** 2
        return float(np.sqrt(seen + step**2 / 12.0))

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The shortest one that holds so much; at an end of the values it begins there.

        Each value stands for the stretch half-way to its neighbors.
        """
        edges = np.concatenate(
            [
                self.values[:1],
                (self.values[1:] + self.values[:-1]) / 2.0,
                self.values[-1:],
            ]
        )
        below = np.concatenate([[0.0], np.cumsum(self.weights)])
        tails = np.linspace(0.0, 1.0 - level, 201)
        low, high = (np.interp(tails + part, below, edges) for part in (0.0, level))
        # of intervals of one length the one between equal tails
        aside = 1e-6 * (edges[-1] - edges[0]) * np.abs(tails - 0.5 * (1.0 - level))
        place = int(np.argmin(high - low + aside))
        return float(low[place]), float(high[place])

    @property
    def determined(self) -> bool:
        """Whether its interval is narrower than half of all that was asked."""
        low, high = self.interval()
        return high - low < VAGUE * float(np.ptp(self.values))


def posterior(values: Floats, misfit: Floats, independent: float) -> Posterior:
    """The posterior of one number from the least misfit at each value, with an even prior."""
    log = -0.5 * independent * np.log(np.maximum(misfit, 1e-300) / misfit.min())
    weights = np.exp(log - log.max())
    return Posterior(np.asarray(values, float), weights / weights.sum())


def student_posterior(values: Floats, misfit: Floats, freedom: float) -> Posterior:
    """The posterior of one number from the least misfit in units of all noise, even before.

    How large the noise is is known by so many degrees of freedom.
    """
    log = -0.5 * (freedom + 1.0) * np.log1p((misfit - misfit.min()) / freedom)
    weights = np.exp(log)
    return Posterior(np.asarray(values, float), weights / weights.sum())


def independent_points(residual: Floats, *, faintest: float = 0.05) -> float:
    """How many points of residuals (..., ky, kx) are independent; NaN where nothing was compared.

    Points per correlation area: the sum of the autocorrelation of each pattern, averaged, over a
    circle in which it falls to noise (Bartlett's variance of a mean). Smoothness without a halt,
    such as a ring's, is not counted beyond a sixth of the pattern. ``faintest`` is the correlation
    at which a circle ends.
    """
    seen = np.isfinite(residual)
    values = np.where(seen, residual - np.nanmean(residual), 0.0)
    shape = residual.shape[-2:]
    size = tuple(2 * n for n in shape)
    covariance = _autocorrelation(values, size)
    overlap = np.maximum(_autocorrelation(seen.astype(float), size), 1.0)
    ratio = covariance / overlap / (covariance[0, 0] / overlap[0, 0])
    dy, dx = (np.minimum(np.arange(n), n - np.arange(n)) for n in size)
    apart = np.hypot(dy[:, None], dx)
    area = 1.0
    for reach in range(1, max(min(shape) // 6, 2)):
        ring = (apart > reach - 0.5) & (apart <= reach + 0.5)
        if ratio[ring].mean() < faintest:
            break
        area += float(ratio[ring].sum())
    return max(float(seen.sum()) / max(area, 1.0), _FEWEST)


def _autocorrelation(values: Floats, size: tuple[int, int]) -> Floats:
    spectrum = np.abs(np.fft.rfft2(values, s=size)) ** 2
    return np.asarray(np.fft.irfft2(spectrum.reshape(-1, *spectrum.shape[-2:]).sum(axis=0), s=size))
