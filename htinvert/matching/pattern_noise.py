"""Errors of what was fitted to patterns, taken from what the fit leaves.

A model of a mean is off by what a specimen's atoms and the probe's places happen to be: more where
beams interfere, alike over some pixels, another in each strip. Pixels weigh by counting, and errors
are those that such a residual makes, neighbors together, whatever its law: White, Econometrica 48,
817 (1980); Conley, J. Econometrics 92, 1 (1999). Or larger groups together: MacKinnon, Nielsen &
Webb, J. Appl. Econometrics 38, 671 (2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Floats

_ALIKE = 0.4  # semiangles over which residuals may be alike
LEAST_FREEDOM = 3.0  # a Student's law of less has no variance to speak of
_FAINT = 0.1  # of the mean: the least count that a variance is taken of


@dataclass(frozen=True, eq=False)
class Noise:
    """Of pixels.

    Attributes:
        weights: one over the standard deviation of each, shape (rows, ky, kx).
        alike: squared residuals, so weighted, per pixel that is independent.
        shared: patterns over measured pixels, so weighted and orthonormal, shape (n, p), of which
            a residual holds more than of others; None where there are none.
        excess: its variance in each beside that of counting, shape (n,).
    """

    weights: Floats
    alike: float = 1.0
    shared: Floats | None = None
    excess: Floats | None = None

    def even(self, left: Floats) -> Floats:
        """Weighted residuals of measured pixels, flat, whose variance is that of counting only."""
        if self.shared is None or self.excess is None:
            return left
        less = 1.0 - 1.0 / np.sqrt(1.0 + self.excess)
        return np.asarray(left - (less * (self.shared @ left)) @ self.shared)

    @property
    def volume(self) -> float:
        """Logarithm of how much more room the excess leaves, squared."""
        return 0.0 if self.excess is None else float(np.log1p(self.excess).sum())


def shared_noise(changes: Floats, left: Floats) -> tuple[Floats, Floats]:
    """Patterns of which a residual may hold more, orthonormal, and the excess variance in each.

    Args:
        changes: of weighted pixels, by what scatters equally much in all of them, shape (n, p);
            how much is the likeliest by the residual.
        left: weighted residual, shape (p,).
    """
    _, sizes, basis = np.linalg.svd(changes, full_matrices=False)
    held = np.square(basis @ left)
    plain = max((float(left @ left) - float(held.sum())) / max(left.size - len(held), 1), 1.0)
    tried = np.concatenate([[0.0], np.geomspace(1e-4, 1.0, 81)]) ** 2
    excess = tried[:, None] * sizes**2 / plain
    unlikely = (np.log1p(excess) + held / plain / (1.0 + excess)).sum(axis=1)
    return basis, excess[int(unlikely.argmin())]


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
    inverse = np.linalg.inv(_curvature(flat, prior))
    pulls = (inverse @ flat).reshape(slopes.shape) * residual
    size = [2 * n for n in residual.shape[-2:]]
    power = np.abs(fft.rfft2(pulls, s=size)) ** 2
    together = fft.irfft2(power.sum(axis=1), s=size)
    apart = np.hypot(*np.meshgrid(*(fft.fftfreq(n, 1 / n) for n in size), indexing="ij"))
    cone = np.maximum(1.0 - apart / max(_ALIKE * semiangle, 1.0), 0.0)
    variance = (together * cone).sum(axis=(1, 2)) + ((inverse * prior) ** 2).sum(axis=1)
    curved = np.diag(inverse)
    return np.sqrt(np.maximum(variance, curved)), np.sqrt(curved)


def left_out(
    slopes: Floats, residual: Floats, groups: NDArray[np.int_], prior: Floats
) -> tuple[Floats, float]:
    """Standard errors where the pixels of a group err alike: by leaving out each group (jackknife).

    Returns them, shape (n,), and the degrees of freedom of the first (Satterthwaite, Biometrics
    Bull. 2, 110 (1946)): few groups tell a variance only about. ``groups`` has the shape of
    ``residual``; the others as in :func:`spreads`.
    """
    flat = slopes.reshape(len(slopes), -1)
    curvature = _curvature(flat, prior)
    numbers = np.unique(groups)
    moved = []
    for number in numbers:
        some = flat[:, groups.ravel() == number]
        pull = some @ residual[groups == number]
        moved.append(np.linalg.solve(curvature - some @ some.T, pull))
    squares = np.square(moved) * (1.0 - 1.0 / len(numbers))
    variance = squares.sum(axis=0) + ((np.linalg.inv(curvature) * prior) ** 2).sum(axis=1)
    even = squares[:, 0].sum() ** 2 / max(float((squares[:, 0] ** 2).sum()), 1e-300)
    # of k groups alike, each of one degree of freedom, (k + 2) / 3
    return np.sqrt(variance), max(float(3.0 * even - 2.0), LEAST_FREEDOM)


def _curvature(flat: Floats, prior: Floats) -> Floats:
    """Of the misfit, shape (n, n), a little more so that it can be inverted."""
    found = flat @ flat.T + np.diag(prior**2)
    return np.asarray(found + 1e-9 * np.trace(found) / len(prior) * np.eye(len(prior)))
