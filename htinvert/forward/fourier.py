"""Sums of Fourier series over grids of points."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import map_coordinates

from htinvert.core import Floats

Complexes = NDArray[np.complex128]

_OVERSAMPLING = 2.5  # of the series' grid, where it is interpolated; error below 1e-5 of the peak
_SPLINE_ORDER = 5


def waves(orders: NDArray[np.int_], phases: Floats) -> Complexes:
    """``exp(2 pi i order phase)``, shape (orders, phases); powers by repeated multiplication."""
    step = np.exp(2j * np.pi * phases)
    waves = np.empty((len(orders), len(phases)), dtype=np.complex128)
    waves[0] = np.exp(2j * np.pi * orders[0] * phases)
    filled = 1
    while filled < len(orders):  # doubling keeps the round-off below 1e-13
        block = min(filled, len(orders) - filled)
        np.multiply(waves[:block], step**filled, out=waves[filled : filled + block])
        filled += block
    return waves


def sum_rows(series: Complexes, origin: Floats, step: Floats, shape: tuple[int, int]) -> Floats:
    """The sum where the second fractional coordinate does not change along a row."""
    ny, nx = shape
    orders = np.arange(series.shape[0]) - series.shape[0] // 2
    rows, columns = np.arange(ny), np.arange(nx)
    down = waves(np.arange(series.shape[1]), origin[1] + rows * step[1, 1])
    down[1:] *= 2  # the conjugate half
    partial = series @ down  # (2 H + 1, ny)
    partial *= waves(orders, origin[0] + rows * step[0, 1])
    right = waves(orders, columns * step[0, 0])
    parts = np.concatenate([partial.real, -partial.imag])
    return np.asarray(parts.T @ np.concatenate([right.real, right.imag]))


def interpolate(series: Complexes, origin: Floats, step: Floats, shape: tuple[int, int]) -> Floats:
    """The sum at any affine grid: FFT to a fine grid, quintic B-splines with deconvolution.

    Dividing the coefficients by the B-spline's own transform, sinc^6, makes the spline pass exactly
    along each plane wave but for aliases (Unser, IEEE Signal Process. Mag. 16 (6), 22 (1999)).
    """
    h_count, l_count = series.shape
    orders = np.arange(h_count) - h_count // 2
    n1 = fft.next_fast_len(max(ceil(_OVERSAMPLING * h_count), 8))
    n2 = fft.next_fast_len(max(ceil(_OVERSAMPLING * (2 * l_count - 1)), 8), real=True)
    response = np.outer(np.sinc(orders / n1), np.sinc(np.arange(l_count) / n2)) ** (
        _SPLINE_ORDER + 1
    )
    spectrum = np.zeros((n1, n2 // 2 + 1), dtype=np.complex128)
    spectrum[orders, :l_count] = series / response
    grid = fft.irfft2(spectrum, s=(n1, n2), norm="forward")
    rows, columns = np.indices(shape, dtype=float)
    places = origin[:, None, None] + step[:, :1, None] * columns + step[:, 1:, None] * rows
    places *= np.array([n1, n2])[:, None, None]
    order, mode = _SPLINE_ORDER, "grid-wrap"
    return np.asarray(map_coordinates(grid, places, order=order, mode=mode, prefilter=False))
