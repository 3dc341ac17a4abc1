"""Reflections of a crystal and the shape of their peaks over the angle 2 theta.

Structure factors by the sum over atoms, Lorentz and polarization factors: B. E. Warren, *X-Ray
Diffraction* (1990), chapters 3 and 4. Widths: G. Caglioti, A. Paoletti & F. P. Ricci, Nucl.
Instrum. 3, 223 (1958); P. Scherrer (1918); pseudo-Voigt functions: P. Thompson, D. E. Cox &
J. B. Hastings, J. Appl. Cryst. 20, 79 (1987).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from htinvert.core import Floats
from htinvert.forward.memo import fingerprint, remember
from htinvert.forward.pdf.pairs import compiled, kinds_of

REMEMBERED = 8  # structures, so that a fit of other parameters does not sum over atoms again
CHUNK = 2_000_000  # phases at a time
FARTHEST = 30.0  # full widths from its middle, beyond which a peak is left out
FINER = 4  # points of an even axis of ln Q per point of a pattern
FIRST = 0.5  # degrees that a pattern begins at, at least
LEAST = 1e-4  # degrees that a peak is wide at least
SCHERRER = 0.9  # of full widths and crystallites that are spheres, about
_summed: OrderedDict[bytes, Reflections] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Reflections:
    """Half of the reciprocal lattice's points; those opposite are the same by Friedel's law.

    Attributes:
        indices: h, k and l, shape (n, 3).
        q: length of the scattering vector [1/Å], shape (n,).
        sums: over each element's atoms of exp(2 pi i h x), shape (elements, n).
    """

    indices: NDArray[np.int64]
    q: Floats
    sums: NDArray[np.complex128]


def reflections(atoms: Atoms, q_max: float) -> Reflections:
    """Reflections to ``q_max`` [1/Å], from a few structures that are kept."""
    arrays = (atoms.numbers, atoms.positions, atoms.cell.array)
    key = fingerprint({"q": q_max}, *arrays)
    if key not in _summed:
        remember(_summed, key, _reflections(atoms, q_max), most=REMEMBERED)
    return _summed[key]


def _reflections(atoms: Atoms, q_max: float) -> Reflections:
    most = np.floor(q_max * atoms.cell.lengths() / (2 * np.pi)).astype(int)
    grid = np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij")
    indices = np.stack(grid, axis=-1).reshape(-1, 3)
    indices = indices[len(indices) // 2 + 1 :]  # behind the middle: one of each opposite two
    q = 2 * np.pi * np.linalg.norm(indices @ np.linalg.inv(atoms.cell.array).T, axis=1)
    indices, q = indices[q <= q_max], q[q <= q_max]
    symbols, kinds = kinds_of(atoms)
    places = atoms.get_scaled_positions(wrap=False)
    sums = np.zeros((len(symbols), len(q)), dtype=complex)
    step = max(CHUNK // len(atoms), 1)
    for first in range(0, len(q), step):
        some = slice(first, first + step)
        waves = np.exp(2j * np.pi * (indices[some] @ places.T))
        for kind in range(len(symbols)):
            sums[kind, some] = waves[:, kinds == kind].sum(axis=1)
    return Reflections(indices, q, sums)


def lorentz_polarization(theta: Floats, polarization: float | None) -> Floats:
    """Factor on a powder's intensity [1] at half the angle, shape (n,) [rad].

    ``polarization`` is 1 for an unpolarized beam, cos² of twice a monochromator's angle behind it,
    0 where the beam is polarized across the plane of scattering; None for neutrons.
    """
    lorentz = 1.0 / (np.sin(theta) ** 2 * np.cos(theta))
    if polarization is None:
        return np.asarray(lorentz)
    return np.asarray(lorentz * (1 + polarization * np.cos(2 * theta) ** 2) / (1 + polarization))


def pseudo_voigt(gauss: Floats, lorentz: Floats) -> tuple[Floats, Floats]:
    """Full width and share of Lorentz's curve, for the full widths of both parts of a peak."""
    g, w = gauss, lorentz
    width = (
        g**5 + 2.69269 * g**4 * w + 2.42843 * g**3 * w**2 + 4.47163 * g**2 * w**3
        + 0.07842 * g * w**4 + w**5
    ) ** 0.2  # fmt: skip
    part = w / width
    return width, np.asarray(1.36603 * part - 0.47719 * part**2 + 0.11116 * part**3)


def pattern(angles: Floats, centers: Floats, areas: Floats, width: Floats, share: Floats) -> Floats:
    """Sum of peaks at even ``angles``, shape (points,); all angles and widths in degrees."""
    out = np.zeros(len(angles))
    compiled(_add)(angles, centers, areas, width, share, FARTHEST, out)
    return out


def _add(
    angles: Any, centers: Any, areas: Any, width: Any, share: Any, farthest: Any, out: Any
) -> None:
    """Add pseudo-Voigt functions of these areas (compiled)."""
    for k in range(len(centers)):
        w, c = width[k], centers[k]
        first = np.searchsorted(angles, c - farthest * w)
        last = np.searchsorted(angles, c + farthest * w)
        gauss = areas[k] * (1 - share[k]) * 2 * np.sqrt(np.log(2) / np.pi) / w
        lorentz = areas[k] * share[k] * 2 / np.pi / w
        for i in range(first, last):
            x = 4 * ((angles[i] - c) / w) ** 2
            out[i] += lorentz / (1 + x)
            if x < 50.0:  # beyond, a Gaussian is below 1e-15 of its height
                out[i] += gauss * np.exp(-np.log(2) * x)


def blurred(angles: Floats, values: Floats, part: float) -> Floats:
    """A pattern over 2 theta [degrees] by a Gaussian of a full width of a ``part`` of Q.

    Points that are no numbers are bridged.
    """
    place = np.log(np.sin(np.radians(np.maximum(angles, FIRST) / 2)))
    even = np.linspace(place[0], place[-1], FINER * len(place))
    measured = np.isfinite(values)
    known = np.interp(even, place[measured], values[measured])
    step = max(float(even[1] - even[0]), 1e-12)
    sigma = part / np.sqrt(8.0 * np.log(2.0)) / step
    return np.asarray(np.interp(place, even, gaussian_filter1d(known, sigma, mode="nearest")))
