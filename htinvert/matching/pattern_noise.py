"""Errors of what was fitted to patterns, taken from what the fit leaves.

A model of a mean is off by what a specimen's atoms and the probe's places happen to be: more where
beams interfere, alike over some pixels, another in each strip. Pixels weigh by counting, and errors
are those that such a residual makes, neighbors together, whatever its law: White, Econometrica 48,
817 (1980); Conley, J. Econometrics 92, 1 (1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from htinvert.core import Floats

_ALIKE = 0.4  # semiangles over which residuals may be alike
_FAINT = 0.1  # of the mean: the least count that a variance is taken of


@dataclass(frozen=True, eq=False)
class Noise:
    """Of pixels.

    Attributes:
        weights: one over the standard deviation of each, shape (rows, ky, kx).
        alike: squared residuals, so weighted, per pixel that is independent.
    """

    weights: Floats
    alike: float = 1.0


def counting(matched: Floats, data: Floats) -> Noise:
    """Noise of counting by the best patterns, both of shape (rows, ky, kx).

    By the data themselves pixels that happen to be dark would weigh more.
    """
    least = _FAINT * max(float(np.nanmean(data)), 1e-30)
    return Noise(1.0 / np.sqrt(np.maximum(matched, least)))


def spreads(
    slopes: Floats, residual: Floats, semiangle: float, prior: Floats
) -> tuple[Floats, Floats]:
    """Standard errors of parameters in the unit of their slopes, and those by curvature, (n,).

    The first are at least the second, and those of the residual itself, whose products with the
    influence of each pixel are summed over its neighbors (a cone of :data:`_ALIKE` semiangles).

    Args:
        slopes: of the residual, shape (n, rows, ky, kx), 0 where nothing was measured.
        residual: shape (rows, ky, kx), the same.
        semiangle: of the bright disk [px].
        prior: one over what each parameter is known to before, 0 where it is free, shape (n,).
    """
    flat = slopes.reshape(len(slopes), -1)
    curvature = flat @ flat.T + np.diag(prior**2)
    curvature += 1e-9 * np.trace(curvature) / len(prior) * np.eye(len(prior))
    inverse = np.linalg.inv(curvature)
    pulls = (inverse @ flat).reshape(slopes.shape) * residual
    size = [2 * n for n in residual.shape[-2:]]
    power = np.abs(fft.rfft2(pulls, s=size)) ** 2
    together = fft.irfft2(power.sum(axis=1), s=size)
    apart = np.hypot(*np.meshgrid(*(fft.fftfreq(n, 1 / n) for n in size), indexing="ij"))
    cone = np.maximum(1.0 - apart / max(_ALIKE * semiangle, 1.0), 0.0)
    variance = (together * cone).sum(axis=(1, 2)) + ((inverse * prior) ** 2).sum(axis=1)
    curved = np.diag(inverse)
    return np.sqrt(np.maximum(variance, curved)), np.sqrt(curved)
