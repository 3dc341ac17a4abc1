"""Image of many atoms on a mesh of its own pixels: spread, transform, blur, transform back.

Positions go to pixels, so a distortion costs nothing; B-splines spread the atoms over the mesh and
their own transform, sinc^8, is divided out (Unser, IEEE Signal Process. Mag. 16 (6), 22 (1999)).
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import BSpline, PPoly

from htinvert.core import Floats
from htinvert.forward.probe import Optics, Probe, aperture_transfer, source_transfer, transfer

Indices = NDArray[np.int_]
Singles = NDArray[np.float32]

_SPLINE_ORDER = 7
_ALIAS = 2e-3  # of an atom's peak: most that a coarse mesh could add; found is a tenth of it
_TABLE_SIZE = 1 << 14  # steps of the aperture's transfer function; rounding to them costs 1e-6


def mesh_image(
    positions: Floats,
    weights: Floats,
    *,
    repeats: Floats,
    origin: Floats,
    per_pixel: Floats,
    shape: tuple[int, int],
    probe: Probe,
) -> Singles:
    """Sum of the probe's intensity over atoms and their repeats, per Å², shape (ny, nx).

    Atoms farther from the window than ``probe.guard`` are left out. In single precision.

    Args:
        positions: (right, down) of each atom [Å], shape (n, 2).
        weights: what each atom scatters, shape (n,).
        repeats: repeat vectors of the projection [Å], one per row, shape (0 to 2, 2).
        origin: position of the first pixel [Å].
        per_pixel: pixel (column, row) to position [Å], shape (2, 2).
        shape: pixels (ny, nx).
        probe: the probe.
    """
    finer, margin, mesh = _layout(probe, per_pixel, shape)
    to_mesh: Floats = np.linalg.inv(per_pixel).astype(np.float64) * finer
    last = finer * (np.array(shape[::-1]) - 1)  # (column, row), as all of the mesh's coordinates
    places, kept = _repeated(
        (positions - origin) @ to_mesh.T + margin, repeats @ to_mesh.T, last + 2 * margin
    )
    response = _response(probe, to_mesh, mesh)
    spectrum = fft.rfft(_spread(places, weights[kept], mesh))[:, : response.shape[1]]
    spectrum = fft.fft(spectrum, axis=0)
    spectrum *= response
    rows = fft.ifft(spectrum, axis=0, overwrite_x=True)
    x, y = margin
    image = fft.irfft(rows[y : y + last[1] + 1 : finer], n=mesh[1])
    window = image[:, x : x + last[0] + 1 : finer]
    return np.asarray(window * np.float32(abs(np.linalg.det(to_mesh))))


def mesh_points(probe: Probe, per_pixel: Floats, shape: tuple[int, int]) -> int:
    """How many points the mesh of an image has; its time grows with them."""
    ny, nx = _layout(probe, per_pixel, shape)[2]
    return ny * nx


def _layout(
    probe: Probe, per_pixel: Floats, shape: tuple[int, int]
) -> tuple[int, Indices, tuple[int, int]]:
    """Mesh points per pixel, those around the window (across, down) and shape of the mesh."""
    finer = _oversampling(probe, per_pixel)
    reach = probe.guard * finer * np.linalg.norm(np.linalg.inv(per_pixel), axis=1)
    margin = np.ceil(reach).astype(np.int_)
    points = finer * (np.array(shape[::-1]) - 1) + 1 + 2 * margin
    nx, ny = (int(fft.next_fast_len(int(count), real=True)) for count in points)
    return finer, margin, (ny, nx)


def _oversampling(probe: Probe, per_pixel: Floats) -> int:
    """How much finer than the pixels the mesh must be, for an aliasing below ``_ALIAS``.

    A wave of f periods per mesh step leaks (f / (1 - f))^8 of itself into its four next aliases.
    """
    frequency = np.linspace(0, probe.band_limit, 128)
    passed = transfer(probe, frequency) * frequency
    coarsest = frequency * np.linalg.norm(per_pixel, ord=2)
    finer = 1
    while True:
        periods = np.minimum(coarsest / finer, 0.5)
        leak = 4 * (periods / (1 - periods)) ** (_SPLINE_ORDER + 1)
        if leak @ passed <= _ALIAS * passed.sum():
            return finer
        finer += 1


def _repeated(places: Floats, repeats: Floats, last: Indices) -> tuple[Floats, Indices]:
    """Repeats of ``places`` (n, 2) from (0, 0) to ``last``, shape (2, m), and the atom of each."""
    basis = np.eye(2)
    if len(repeats) == 1:
        basis = np.array([repeats[0], [-repeats[0, 1], repeats[0, 0]]])
    elif len(repeats) == 2:
        basis = repeats
    inverse = np.linalg.inv(basis)
    reach = np.array([[0, 0], [last[0], 0], [0, last[1]], last]) @ inverse
    shifts = np.zeros((1, 2))
    for index in range(len(repeats)):
        cell = np.floor(places @ inverse[:, index])
        places = places - cell[:, None] * basis[index]
        count = np.arange(np.floor(reach[:, index].min()), np.floor(reach[:, index].max()) + 1)
        shifts = (shifts[:, None] + count[:, None] * basis[index]).reshape(-1, 2)
    every = shifts.T[:, :, None] + places.T[:, None]
    inside = ((every >= 0) & (every <= last[:, None, None])).all(axis=0)
    return every[:, inside], np.nonzero(inside)[1]


def _spread(places: Floats, weights: Floats, shape: tuple[int, int]) -> Singles:
    """Atoms on the mesh as B-splines, periodic, shape (ny, nx)."""
    ny, nx = shape
    columns, across = _splines(places[0], nx)
    rows, down = _splines(places[1], ny)
    index = rows[:, None] * nx + columns
    share = (down * weights)[:, None] * across
    return np.bincount(index.ravel(), share.ravel(), nx * ny).reshape(shape).astype(np.float32)


def _splines(places: Floats, size: int) -> tuple[Indices, Floats]:
    """Mesh points under each place's B-spline and their values, shape (order + 1, n) each."""
    first = np.floor(places)
    values = _spline_pieces() @ np.vander(places - first, _SPLINE_ORDER + 1).T
    half = (_SPLINE_ORDER + 1) // 2
    points = first.astype(np.intp) + np.arange(half, half - _SPLINE_ORDER - 1, -1)[:, None]
    return points % size, values


@cache
def _spline_pieces() -> Floats:
    """Polynomials of a B-spline on whole-number knots, one per row, highest power first."""
    spline = BSpline.basis_element(np.arange(_SPLINE_ORDER + 2))
    pieces = PPoly.from_spline(spline)
    first = int(np.searchsorted(pieces.x, 0, side="right")) - 1
    return np.asarray(pieces.c[:, first : first + _SPLINE_ORDER + 1].T)


def _response(probe: Probe, to_mesh: Floats, shape: tuple[int, int]) -> Singles:
    """Transfer function over the B-spline's own, at the frequencies of an FFT of ``shape``.

    Columns beyond the probe's band are left out.
    """
    metric = to_mesh @ to_mesh.T
    slowest = np.sqrt(np.linalg.det(metric) / metric[1, 1])  # least 1/Å per 1/step along a row
    y, x = fft.fftfreq(shape[0]), fft.rfftfreq(shape[1])
    x = x[x <= probe.band_limit / slowest]
    per_step = _TABLE_SIZE / (2 * probe.optics.cutoff)
    metric *= per_step**2
    squared = np.outer(np.float32(2 * metric[0, 1] * y), np.float32(x))
    squared += (metric[0, 0] * x**2).astype(np.float32)
    squared += (metric[1, 1] * y**2).astype(np.float32)[:, None]
    np.clip(squared, 0, _TABLE_SIZE**2, out=squared)
    passed = _aperture_table(probe.optics)[np.sqrt(squared).astype(np.int32)]
    passed *= source_transfer(probe.source_size / per_step, squared=squared)
    passed *= (np.sinc(y) ** -(_SPLINE_ORDER + 1)).astype(np.float32)[:, None]
    passed *= (np.sinc(x) ** -(_SPLINE_ORDER + 1)).astype(np.float32)
    return passed


@lru_cache(maxsize=8)
def _aperture_table(optics: Optics) -> Singles:
    """Transfer function of the aperture in the middle of equal steps to its cutoff, then 0."""
    middles = (np.arange(_TABLE_SIZE) + 0.5) / _TABLE_SIZE
    return np.append(aperture_transfer(optics, middles), 0).astype(np.float32)
