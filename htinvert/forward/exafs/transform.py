"""From chi(k) to what is compared: weighted, transformed to R, or filtered by R.

The transform is that of IFEFFIT and larch, ``chi(R) = dk / sqrt(pi) sum k^n chi(k) W(k)
exp(2 i k R)`` on 2048 points of 0.05 1/Å: M. Newville, J. Phys.: Conf. Ser. 430, 012007 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats

Window = Literal["hanning", "parzen", "welch"]
Space = Literal["k", "R", "q"]
WINDOWS: tuple[Window, ...] = ("hanning", "parzen", "welch")
SPACES: tuple[Space, ...] = ("k", "R", "q")
STEP = 0.05  # 1/Å
POINTS = 2048
R_STEP = float(np.pi / (STEP * POINTS))  # Å


@dataclass(frozen=True)
class Reduction:
    """What is done to a chi(k).

    Attributes:
        compare: ``k``, the weighted chi(k) between the limits; ``R``, the real part of chi(R);
            ``q``, what of chi(R) lies within ``r`` transformed back.
        k: limits [1/Å], where the window is one half.
        weight: power of k.
        dk: over how much k the window rises and falls [1/Å].
        window: its shape.
        r: limits [Å].
    """

    compare: Space
    k: tuple[float, float]
    weight: int
    dk: float
    window: Window
    r: tuple[float, float]

    @property
    def seen(self) -> tuple[float, float]:
        """From where to where chi(k) matters [1/Å]."""
        if self.compare == "k":
            return self.k
        return max(self.k[0] - self.dk / 2, STEP), self.k[1] + self.dk / 2

    def compared(self, first: float, values: Floats) -> tuple[float, float, Floats]:
        """First point, step and values of what is compared, of a chi(k) in steps of ``STEP``.

        It begins at ``first`` [1/Å] and is taken for zero outside.
        """
        k: Floats = first + STEP * np.arange(len(values), dtype=float)
        weighted = values * k**self.weight
        if self.compare == "k":
            inside = _within(k, self.k)
            return float(k[inside][0]), STEP, weighted[inside]
        start = round(first / STEP)
        whole = np.zeros(POINTS)
        windowed = weighted * taper(k, self.k, self.dk, self.window)
        whole[start : start + len(values)] = windowed
        transformed = STEP / np.sqrt(np.pi) * np.fft.fft(whole)[: POINTS // 2]
        r: Floats = R_STEP * np.arange(POINTS // 2, dtype=float)
        inside = _within(r, self.r)
        if self.compare == "R":
            return float(r[inside][0]), R_STEP, transformed[inside].real
        kept = np.zeros(POINTS, dtype=complex)
        kept[: POINTS // 2][inside] = transformed[inside]
        back = 2.0 * np.sqrt(np.pi) / STEP * np.fft.ifft(kept).real
        low, high = round(self.seen[0] / STEP), round(self.seen[1] / STEP)
        return low * STEP, STEP, back[low : high + 1]


def taper(k: Floats, limits: tuple[float, float], dk: float, window: Window) -> Floats:
    """1 between the limits, 1/2 at them for ``hanning``, 0 beyond; ``dk`` wide at both."""
    width = max(dk, 1e-9)
    rising = np.clip((k - limits[0]) / width + 0.5, 0.0, 1.0)
    falling = np.clip((limits[1] - k) / width + 0.5, 0.0, 1.0)
    x = np.minimum(rising, falling)
    if window == "parzen":
        return np.asarray(x)
    if window == "welch":
        return np.asarray(1.0 - (1.0 - x) ** 2)
    return np.asarray(np.sin(0.5 * np.pi * x) ** 2)


def _within(x: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    slack = 1e-6
    return np.asarray((x >= limits[0] - slack) & (x <= limits[1] + slack))
