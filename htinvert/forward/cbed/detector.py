"""From intensity over directions to a detector's pixels: geometry, blur, halo, gain, background.

What is linear is solved for: an instrument's blur is no Gaussian, and what was scattered
inelastically lies about the pattern as a halo, so broader copies of the pattern and a constant are
added, none below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, spline_filter
from scipy.optimize import nnls

from htinvert.core import Axis, Floats
from htinvert.forward.cross_section import wavelength

HALOS = (0.2, 0.5, 1.0)
"""Widths of the broader copies (standard deviation), in semiangles."""
_SPLINE = 3


@dataclass(frozen=True, kw_only=True)
class DetectorGeometry:
    """Where a detector's pixels lie among the directions behind a crystal.

    Attributes:
        rotation: of the detector against the image's right and down [degrees].
        center: of the bright disk beside the zero of the detector's axes, (x, y) [mrad].
        scale: true angle per stated one [1].
        ellipticity: half of the relative difference of the scales along x and y [1].
        blur: standard deviation of the sharpest part [mrad].
    """

    rotation: float = 0.0
    center: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    ellipticity: float = 0.0
    blur: float = 0.0

    def directions(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Directions (right, down) [mrad] against the beam for detector angles x and y [mrad]."""
        angle = np.radians(self.rotation)
        x = (x - self.center[0]) * self.scale * (1.0 + self.ellipticity)
        y = (y - self.center[1]) * self.scale * (1.0 - self.ellipticity)
        return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def angles(axis: Axis, count: int, beam_energy: float) -> Floats:
    """The angles [mrad] that the points of an axis in mrad or 1/Å stand for, shape (n,)."""
    values = axis.origin + axis.step * np.arange(count, dtype=float)
    return values if axis.unit == "mrad" else values * wavelength(beam_energy) * 1e3


def copies(
    density: Floats,
    step: tuple[float, float],
    directions: tuple[Floats, Floats],
    *,
    blur: float,
    widths: Sequence[float] = (),
) -> Floats:
    """The pattern as pixels see it, and broader copies, shape (1 + widths, *pixels).

    Args:
        density: intensity over directions (down, right), odd sides, zero in the middle.
        step: of its grid (down, right) [mrad].
        directions: of the pixels (right, down) [mrad].
        blur: standard deviation of the first [mrad].
        widths: those of the others [mrad].
    """
    right, down = directions
    middle = [(n - 1) / 2 for n in density.shape]
    at = np.stack([down / step[0] + middle[0], right / step[1] + middle[1]])
    found = []
    for width in (blur, *(float(np.hypot(blur, w)) for w in widths)):
        sigma = (width / step[0], width / step[1])
        seen = gaussian_filter(density, sigma, mode="constant") if width > 0.0 else density
        found.append(
            map_coordinates(spline_filter(seen, _SPLINE), at, order=_SPLINE, prefilter=False)
        )
    return np.stack(found)


def brought(
    columns: Floats, observed: Floats, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Copies and a constant brought to an observation by least squares, none below zero.

    ``columns`` (c, *pixels), ``observed`` (pixels), NaN where nothing was measured; ``weights`` are
    one over the noise of each pixel, even where None. Returns the sum everywhere and the factors,
    shape (c + 1,), the constant last.
    """
    seen = np.isfinite(observed)
    matrix = np.column_stack([*(column[seen] for column in columns), np.ones(int(seen.sum()))])
    target = observed[seen]
    if weights is not None:
        matrix, target = matrix * weights[seen][:, None], target * weights[seen]
    norms = np.maximum(np.linalg.norm(matrix, axis=0), 1e-300)
    reduced, rest = _triangular(matrix / norms, target)
    factors = nnls(reduced, rest)[0] / norms
    return np.tensordot(factors[:-1], columns, 1) + factors[-1], factors


def _triangular(matrix: Floats, target: Floats) -> tuple[NDArray[np.float64], Floats]:
    """The same problem of least squares in as many rows as columns."""
    orthogonal, triangle = np.linalg.qr(matrix)
    return triangle, orthogonal.T @ target
