"""From intensity over directions to a detector's pixels: geometry, blur, halo, gain, background.

What is linear is solved for: an instrument's blur is no Gaussian, and what was scattered
inelastically lies about the pattern as a halo, so broader copies of the pattern and a constant are
added, none below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, spline_filter1d
from scipy.optimize import nnls
from scipy.sparse import csr_array

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
    before: tuple[float, float] = (0.0, 0.0),
) -> Floats:
    """Patterns as pixels see them, and broader copies, shape (..., 1 + widths, *pixels).

    Blur and cubic splines are products with one matrix per axis, and all patterns and copies are
    read at the pixels by one sparse matrix.

    Args:
        density: intensity over directions (..., down, right), odd sides, zero in the middle.
        step: of its grid (down, right) [mrad].
        directions: of the pixels (right, down) [mrad].
        blur: standard deviation of the first [mrad].
        widths: those of the others [mrad].
        before: what the grid has blurred by already (down, right) [mrad].
    """
    *many, height, width = density.shape
    spread = (blur, *(float(np.hypot(blur, w)) for w in widths))
    down, right = (
        np.stack([_blurred(n, round(_beyond(sigma, done) / along, 9)) for sigma in spread])
        for n, along, done in zip((height, width), step, before, strict=True)
    )
    flat = density.reshape(-1, 1, height, width)
    knots = (down @ flat @ right.transpose(0, 2, 1)).reshape(-1, height * width)
    x, y = directions
    seen = knots @ _reading(y / step[0], x / step[1], (height, width))
    return np.asarray(seen).reshape(*many, len(spread), *x.shape)


def _beyond(sigma: float, done: float) -> float:
    """What has to be added to a blur to make another [mrad]."""
    return float(np.sqrt(max(sigma**2 - done**2, 0.0)))


@lru_cache(maxsize=256)
def _blurred(count: int, sigma: float) -> Floats:
    """From values to coefficients of cubic splines of what is blurred, shape (count, count)."""
    values = np.eye(count)
    if sigma > 0.0:
        values = gaussian_filter1d(values, sigma, axis=0, mode="constant")
    return np.asarray(spline_filter1d(values, _SPLINE, axis=0))


def _reading(y: Floats, x: Floats, shape: tuple[int, int]) -> csr_array:
    """Splines' weights of pixels at steps (y, x) from the middle, shape (coefficients, pixels).

    Nothing outside of the grid; at its edge coefficients are mirrored.
    """
    places, weights = [], []
    inside = np.ones(y.size, dtype=bool)
    for at, count in ((y.ravel(), shape[0]), (x.ravel(), shape[1])):
        at = at + (count - 1) / 2
        inside &= (at >= 0) & (at <= count - 1)
        first = np.floor(at).astype(int)
        t = at - first
        cubic = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4]
        weights.append(np.stack([*cubic, t**3]) / 6)
        near = np.abs(first + np.arange(-1, 3)[:, None])
        places.append(np.clip(np.minimum(near, 2 * (count - 1) - near), 0, count - 1))
    index = places[0][:, None] * shape[1] + places[1]
    value = weights[0][:, None] * weights[1] * inside
    ends = np.arange(0, index.size + 1, 16)
    pixels = (value.reshape(16, -1).T.ravel(), index.reshape(16, -1).T.ravel(), ends)
    return csr_array(pixels, shape=(y.size, shape[0] * shape[1])).T


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


def brought_together(
    columns: Floats, observed: Floats, weights: Floats, *, own: tuple[int, ...]
) -> Floats:
    """As :func:`brought` for several patterns that one instrument has seen, everywhere.

    A constant and the copies whose numbers are in ``own`` have a factor for each pattern, of the
    other copies one holds for all: a detector's blur does not depend on what it looks at.
    ``columns`` (n, c, *pixels), ``observed`` and ``weights`` (n, *pixels).
    """
    count, copied = columns.shape[:2]
    shared = [c for c in range(copied) if c not in own]
    each = len(own) + 1
    reduced = np.zeros((count, copied + 1, len(shared) + count * each))
    rest = np.zeros((count, copied + 1))
    for place, (some, data, weight) in enumerate(zip(columns, observed, weights, strict=True)):
        seen = np.isfinite(data)
        matrix = np.column_stack([*(some[c][seen] for c in (*shared, *own)), np.ones(seen.sum())])
        triangle, rest[place] = _triangular(
            matrix * weight[seen][:, None], data[seen] * weight[seen]
        )
        first = len(shared) + place * each
        reduced[place, :, : len(shared)] = triangle[:, : len(shared)]
        reduced[place, :, first : first + each] = triangle[:, len(shared) :]
    whole = reduced.reshape(-1, reduced.shape[-1])
    norms = np.maximum(np.linalg.norm(whole, axis=0), 1e-300)
    factors = nnls(whole / norms, rest.ravel())[0] / norms
    alone = factors[len(shared) :].reshape(count, each)
    found = np.tensordot(columns[:, shared], factors[: len(shared)], (1, 0))
    found += np.einsum("nc...,nc->n...", columns[:, list(own)], alone[:, :-1])
    return np.asarray(found + alone[:, -1].reshape(count, *(1,) * (observed.ndim - 1)))


def _triangular(matrix: Floats, target: Floats) -> tuple[NDArray[np.float64], Floats]:
    """The same problem of least squares in as many rows as columns."""
    orthogonal, triangle = np.linalg.qr(matrix)
    return triangle, orthogonal.T @ target
