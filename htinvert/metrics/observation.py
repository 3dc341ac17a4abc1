"""An observed image together with what every comparison needs of it, computed once per process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import EvaluationFailed
from htinvert.geometry.once import Once
from htinvert.metrics.ssim import Moments, local_moments, single

FLAT = 1e-7  # relative contrast below which an image counts as constant (float32 round-off)


class Prepared:
    """What is needed again and again of an observed image: its transform and running sums."""

    def __init__(self, image: NDArray[np.floating]) -> None:
        data = np.asarray(image, dtype=np.float64)
        self._mean = float(data.mean())
        data = data - self._mean
        self._data = data
        self.scale = float(np.sqrt((data**2).mean()))
        check_contrast(self.scale, image, "observed")
        self.padded = [
            fft.next_fast_len(data.shape[0]),
            fft.next_fast_len(data.shape[1], real=True),
        ]
        self.spectrum = fft.rfft2(data.astype(np.float32), s=self.padded)
        self._sums = np.zeros((2, data.shape[0] + 1, data.shape[1] + 1))
        self._sums[:, 1:, 1:] = np.cumsum(np.cumsum([data, data**2], axis=1), axis=2)
        self._inverse_spreads: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._moments: dict[int, Moments] = {}

    def inverse_spread(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """One over the root of the sum of squared deviations of each patch; 0 without contrast."""
        if shape not in self._inverse_spreads:
            h, w = shape
            s = self._sums
            total, square = s[:, h:, w:] - s[:, :-h, w:] - s[:, h:, :-w] + s[:, :-h, :-w]
            spread = np.sqrt(np.maximum(square - total**2 / (h * w), 0))
            flat = spread <= FLAT * np.sqrt(h * w) * self.scale
            inverse = np.where(flat, 0.0, 1 / np.where(flat, 1.0, spread))
            self._inverse_spreads = {shape: inverse.astype(np.float32)}
        return self._inverse_spreads[shape]

    def moments(self, size: int) -> Moments:
        """Mean and sample variance of each size x size window."""
        if size not in self._moments:
            mean, variance = local_moments(self._data, size)  # less round-off without the mean
            self._moments[size] = single(mean + self._mean), single(variance)
        return self._moments[size]


def check_contrast(spread: float, image: NDArray[np.floating], name: str) -> None:
    """Raise EvaluationFailed where ``spread``, a root of summed squares, says constant or NaN."""
    if not np.isfinite(spread):
        raise EvaluationFailed(f"{name} image holds numbers that are not finite")
    if spread <= FLAT * float(np.abs(image).max()):
        raise EvaluationFailed(f"{name} image is constant; it cannot be registered")


_prepared: Once[Prepared] = Once(most=4)


def prepare(observed: NDArray[np.floating]) -> Prepared:
    """The prepared image, from a small cache per process that knows arrays by identity."""
    return _prepared.of(observed, lambda: Prepared(observed))
