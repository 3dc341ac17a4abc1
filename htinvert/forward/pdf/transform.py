"""From a histogram of distances to G(r): widths in real space, limits of Q by a finite transform.

Everything is an FFT on a grid that holds the observed points, so that G(r) costs no matrix.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft

from htinvert.core import Axis, Floats
from htinvert.forward.pdf.pairs import BIN, compiled

FINEST = 0.02  # Å, coarsest step of the grid in r
REACH = 6.0  # Å that pairs are looked for beyond the last point of a crystal's G(r)
TAPER = 3.0  # Å over which a crystal's G(r) fades out there
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

    @property
    def q(self) -> Floats:
        """Every Q [1/Å], shape (size // 2 + 1,)."""
        return np.asarray(self.q_step * np.arange(self.size // 2 + 1, dtype=float))


def grid_for(axis: Axis, count: int, longest: float) -> Radial:
    """A grid for so many points of an axis of r, and distances up to ``longest`` [Å]."""
    every = max(int(np.ceil(axis.step / FINEST - 1e-9)), 1)
    step = axis.step / every
    last = max(axis.origin + axis.step * count, longest)
    size = fft.next_fast_len(int(4 * last / step), real=True)
    return Radial(step, size + size % 2, every, axis.origin, count)


@functools.lru_cache(maxsize=16)
def window(grid: Radial, lower: float, upper: float) -> Floats:
    """Share of each Q that lies between two limits [1/Å], shape (size // 2 + 1,)."""
    q, step = grid.q, grid.q_step
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
    r = np.maximum(BIN * zoom * np.arange(len(counted)), 1e-6)
    delta1, delta2, qbroad = motion
    factor = np.maximum(1.0 - delta1 / r - delta2 / r**2, LEAST) + (qbroad * r) ** 2
    out = np.zeros(grid.size // 2)
    compiled(_spread)(counted, r, np.sqrt(variance * factor), grid.step, out)
    return out


def _spread(counted: Any, r: Any, sigma: Any, step: Any, out: Any) -> None:
    """Add Gaussians; each from the one point before by two products (compiled)."""
    for k in range(len(counted)):
        if counted[k] == 0.0:
            continue
        s = sigma[k]
        first = max(int((r[k] - 5.5 * s) / step) + 1, 0)
        last = min(int((r[k] + 5.5 * s) / step), len(out) - 1)
        x = first * step - r[k]
        value = counted[k] / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (x / s) ** 2)
        ratio = np.exp(-(x * step + 0.5 * step * step) / (s * s))
        change = np.exp(-((step / s) ** 2))
        for i in range(first, last + 1):
            out[i] += value
            value *= ratio
            ratio *= change


def to_q(values: Floats, grid: Radial) -> Floats:
    """F(Q) [1/Å], the sine transform of a function of r, shape (..., size // 2 + 1)."""
    return np.asarray(-grid.step * fft.rfft(values, n=grid.size, axis=-1).imag)


def to_r(f: Floats, grid: Radial) -> Floats:
    """G(r) [Å⁻²] at the points that are shown, from F(Q) within its window."""
    phased = -1j * f * np.exp(1j * grid.q * grid.origin)
    values = fft.irfft(phased, n=grid.size) * grid.size / 2
    return np.asarray(2 / np.pi * grid.q_step * values[: grid.every * grid.shown : grid.every])
