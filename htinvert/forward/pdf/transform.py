"""From a histogram of distances to G(r): widths in real space, limits of Q by a finite transform.

Everything is an FFT on a grid that holds the observed points, so that G(r) costs no matrix.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Axis, Floats
from htinvert.forward.pdf.pairs import BIN, compiled

FINEST = 0.02  # Å, coarsest step of the grid in r
REACH = 6.0  # Å that pairs are looked for beyond the last point of a crystal's G(r)
TAPER = 3.0  # Å over which a crystal's G(r) fades out there
WIDEST = 5.5  # standard deviations, beyond which a Gaussian is below 3e-7 of its height
LEAST = 0.02  # of a width squared, that correlated motion leaves at least


@dataclass(frozen=True)
class Radial:
    """Steps in r [Å] and Q [1/Å] of a transform of ``size`` points, and each how-manieth is shown.

    ``origin`` [Å] is the first point of the signal, ``shown`` how many it has.
    """

    step: float
    size: int
    every: int
    origin: float
    shown: int

    @property
    def q_step(self) -> float:
        """Step in Q [1/Å]."""
        return 2 * np.pi / (self.size * self.step)

    def q(self, count: int) -> Floats:
        """The first Q [1/Å], from zero on, shape (count,)."""
        return np.asarray(self.q_step * np.arange(count, dtype=float))


def grid_for(axis: Axis, count: int, longest: float) -> Radial:
    """A grid for so many points of an axis of r, and distances up to ``longest`` [Å]."""
    every = max(int(np.ceil(axis.step / FINEST - 1e-9)), 1)
    last = max(axis.origin + axis.step * count, longest)
    size = every * fft.next_fast_len(int(4 * last / axis.step) + 1, real=True)
    return Radial(axis.step / every, size + size % 2 * every, every, axis.origin, count)


def fade(r: Floats, reach: float) -> Floats:
    """1 until shortly before ``reach`` [Å], then a cosine to 0."""
    x = np.clip((r - reach + TAPER) / TAPER, 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * x))


def sphere(r: Floats, diameter: float | None) -> Floats:
    """Share of pairs at distance r [Å] that a sphere holds (Guinier, X-Ray Diffraction)."""
    if diameter is None:
        return np.ones_like(r)
    x = np.minimum(r / diameter, 1.0)
    return np.asarray(1.0 - 1.5 * x + 0.5 * x**3)


@functools.lru_cache(maxsize=16)
def window(grid: Radial, lower: float, upper: float) -> Floats:
    """Share of each Q that lies between two limits [1/Å], up to the last that has any."""
    step = grid.q_step
    q = grid.q(min(int(upper / step) + 2, grid.size // 2))
    return np.asarray(
        np.clip((upper - q) / step + 0.5, 0, 1) * np.clip((q - lower) / step + 0.5, 0, 1)
    )


def broadened(
    counted: Floats, variance: float, motion: tuple[float, float, float], zoom: float, grid: Radial
) -> Floats:
    """Sum over pairs of Gaussians around their distances, in 1/Å, shape (size // 2,).

    Args:
        counted: pairs per bin, shape (bins,).
        variance: of their distance where motion is not correlated [Å²].
        motion: delta1 [Å], delta2 [Å²] and qbroad [1/Å], by which it changes with r.
        zoom: that multiplies all distances.
        grid: of the values.
    """
    r, sigma = widths(len(counted), variance, motion, zoom)
    out = np.zeros(grid.size // 2)
    compiled(_spread)(counted, r, sigma, grid.step, out)
    return out


def widths(
    bins: int, variance: float, motion: tuple[float, float, float], zoom: float
) -> tuple[Floats, Floats]:
    """Distance [Å] of each bin, and the standard deviation [Å] that its pairs have."""
    r = np.maximum(BIN * zoom * np.arange(bins, dtype=float), 1e-6)
    delta1, delta2, qbroad = motion
    factor = np.maximum(1.0 - delta1 / r - delta2 / r**2, LEAST) + (qbroad * r) ** 2
    return r, np.asarray(np.sqrt(variance * factor))


def _spread(counted: Any, r: Any, sigma: Any, step: Any, out: Any) -> None:
    """Add Gaussians, four points at a time, each from the last four by products (compiled)."""
    for k in range(len(counted)):
        if counted[k] == 0.0:
            continue
        s = sigma[k]
        first = max(int((r[k] - WIDEST * s) / step) + 1, 0)
        last = min(int((r[k] + WIDEST * s) / step) + 1, len(out))
        x = first * step - r[k]
        value = counted[k] / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (x / s) ** 2)
        ratio = np.exp(-(x * step + 0.5 * step * step) / (s * s))
        change = np.exp(-((step / s) ** 2))
        value1 = value * ratio
        ratio1 = ratio * change
        value2 = value1 * ratio1
        ratio2 = ratio1 * change
        value3 = value2 * ratio2
        ratio3 = ratio2 * change
        change4 = change**4
        jump = ratio * ratio1 * ratio2 * ratio3  # from a point to the fourth after it
        jump1, jump2 = jump * change4, jump * change4**2
        jump3, change16 = jump * change4**3, change4**4
        i = first
        while i + 3 < last:
            out[i] += value
            out[i + 1] += value1
            out[i + 2] += value2
            out[i + 3] += value3
            value *= jump
            value1 *= jump1
            value2 *= jump2
            value3 *= jump3
            jump *= change16
            jump1 *= change16
            jump2 *= change16
            jump3 *= change16
            i += 4
        rest = last - i
        if rest > 0:
            out[i] += value
        if rest > 1:
            out[i + 1] += value1
        if rest > 2:
            out[i + 2] += value2


def to_q(values: Floats, grid: Radial, count: int) -> Floats:
    """F(Q) [1/Å], the sine transform of a function of r, at the first Q, shape (..., count)."""
    return np.asarray(-grid.step * fft.rfft(values, n=grid.size, axis=-1)[..., :count].imag)


def to_r(f: Floats, grid: Radial) -> Floats:
    """G(r) [Å⁻²] at the points that are shown, from F(Q) within its window, shape (count,)."""
    every = grid.every
    if 2 * len(f) > grid.size // every:  # the window is finer than the points that are shown
        every = 1
    size = grid.size // every
    values = fft.irfft(f * _phases(grid, len(f)), n=size) * size / 2
    skip = grid.every // every
    return np.asarray(2 / np.pi * grid.q_step * values[: skip * grid.shown : skip])


@functools.lru_cache(maxsize=16)
def _phases(grid: Radial, count: int) -> NDArray[np.complex128]:
    """What makes a sine transform begin at a grid's origin."""
    return np.asarray(-1j * np.exp(1j * grid.q(count) * grid.origin))
