"""Errors of a fit to an image in which the residual of neighboring pixels hangs together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Floats
from htinvert.evaluation.optimize import ANYWHERE


def correlated_errors(
    jacobian: Floats, residual: Floats, shape: tuple[int, int], reach: tuple[float, float]
) -> Floats:
    """Standard errors of least squares where the residual of neighboring pixels hangs together.

    The variance is the diagonal of B (M + 12 s^2) B with B = (J'J + 12 s)^-1: M is the variance
    of J'r for a residual with the autocovariance that r is seen to have, weighted by Bartlett's
    triangle out to ``reach`` (Newey & West, Econometrica 55, 703 (1987); in two dimensions: Conley,
    J. Econometrics 92, 1 (1999)). So every parameter has the number of independent pixels that
    its own derivative sees: what makes a column too bright says little of where it is. 12 is the
    inverse variance of a value anywhere between 0 and 1, as in
    :meth:`htinvert.evaluation.optimize.Box.standard_errors`.

    A scan is recorded line by line, and what moves one line moves all of its pixels, by their own
    slopes: no autocovariance shows that. So the sums of B J'r over lines count as independent
    draws, too (Liang & Zeger, Biometrika 73, 13 (1986)), and the larger variance is taken.

    Args:
        jacobian: of the residual, shape (m, n), by parameters from 0 to 1.
        residual: r, shape (m,), of an image of ``shape`` (ny, nx).
        shape: with m = ny * nx.
        reach: along y and x [px]; farther apart nothing hangs together.
    """
    size, count = jacobian.shape
    padded = [fft.next_fast_len(2 * n - 1, real=True) for n in shape]
    weight = np.ones(padded)
    for axis, (length, most) in enumerate(zip(padded, reach, strict=True)):
        lags = np.minimum(np.arange(length), length - np.arange(length))
        weight *= np.clip(1.0 - lags / most, 0.0, None).reshape((-1, 1) if axis == 0 else (1, -1))

    def spectra(columns: Floats) -> NDArray[np.complexfloating]:
        images = columns.T.reshape(-1, *shape)
        return np.asarray(fft.rfft2(images, s=padded))

    own = fft.irfft2(np.abs(spectra(residual[:, None])[0]) ** 2, s=padded) * weight
    covariance = own / max(size - count, 1)
    scale = max(float(covariance.sum()), float(covariance[0, 0]))
    prior = ANYWHERE * scale * np.eye(count)
    inverse = np.linalg.pinv(jacobian.T @ jacobian + prior)
    found = []
    for seen in spectra(jacobian @ inverse):
        common = fft.irfft2(np.abs(seen) ** 2, s=padded)
        found.append(max(float((common * covariance).sum()), 0.0))
    by_line = ((jacobian @ inverse) * residual[:, None]).reshape(*shape, count).sum(axis=1)
    lines = (by_line**2).sum(axis=0) * shape[0] / max(shape[0] - count, 1)
    variance = np.maximum(found, lines)
    return np.asarray(np.sqrt(variance + scale * np.diag(inverse @ prior @ inverse)))
