"""Partial elastic cross-section of an atom: what an annular detector collects of a beam it meets.

Molière (eikonal) approximation with Kirkland's parametrized potentials: E. J. Kirkland, *Advanced
Computing in Electron Microscopy*, 2nd ed., Springer 2010, eqs. 5.10, 5.18 and appendix C.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources

import numpy as np
from ase.units import Bohr, Hartree
from numpy.typing import NDArray
from scipy.special import j0, k0

ELECTRON_REST_ENERGY = 510_998.95  # eV, CODATA 2018
PLANCK_TIMES_LIGHT = 12_398.419_84  # eV Å, CODATA 2018
BORN = 2 * np.pi * Bohr * (Bohr * Hartree)  # h^2 / (2 pi m e) [V Å^2]
_RADIUS_RANGE = (1e-7, 6.0)  # Å; the potential is negligible beyond 6 Å
_ANGLE_NODES = 48


def wavelength(beam_energy: float) -> float:
    """Relativistic electron wavelength [Å] at ``beam_energy`` [eV], Kirkland eq. 2.5."""
    return float(
        PLANCK_TIMES_LIGHT / np.sqrt(beam_energy * (2 * ELECTRON_REST_ENERGY + beam_energy))
    )


def interaction_parameter(beam_energy: float) -> float:
    """Phase per projected potential [rad/(V Å)] at ``beam_energy`` [eV], Kirkland eq. 5.6."""
    ratio = (ELECTRON_REST_ENERGY + beam_energy) / (2 * ELECTRON_REST_ENERGY + beam_energy)
    return 2 * np.pi * ratio / (wavelength(beam_energy) * beam_energy)


@cache
def _parameters() -> dict[int, NDArray[np.float64]]:
    """Kirkland's a, b, c, d per atomic number, each shape (4, 3)."""
    text = resources.files(__package__).joinpath("kirkland.csv").read_text(encoding="ascii")
    rows = np.loadtxt(text.splitlines(), delimiter=",", skiprows=4)
    return {int(row[0]): row[1:].reshape(4, 3) for row in rows}


def _coefficients(number: int) -> NDArray[np.float64]:
    """One element's a, b, c, d, shape (4, 3). Raises ``ValueError`` where there are none."""
    if number not in _parameters():
        raise ValueError(f"no scattering parameters for Z = {number}; they exist for Z = 1 to 103")
    return _parameters()[number]


def projected_potential(number: int, radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Potential of one atom integrated along the beam [V Å], Kirkland eq. 5.10.

    Args:
        number: atomic number, 1 to 103.
        radius: distance from the nucleus [Å], shape (n,), greater than 0.

    Raises:
        ValueError: for an element without parameters.
    """
    a, b, c, d = _coefficients(number)
    r = radius[:, None]
    screened = 2 * a * k0(2 * np.pi * r * np.sqrt(b))
    gaussian = c / d * np.exp(-((np.pi * r) ** 2) / d)
    charge = Bohr * (Bohr * Hartree)  # a0 e in V Å^2: e = 14.3996 V Å
    return np.asarray(2 * np.pi**2 * charge * (screened + gaussian).sum(axis=1))


def scattering_factor(number: int, squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Electron scattering factor [Å] in the first Born approximation, Kirkland eq. C.15.

    Takes ``squared`` spatial frequencies [1/Å²] of any shape. The Fourier transform of
    :func:`projected_potential` is this times 47.88 V Å², see :data:`BORN`.
    """
    a, b, c, d = _coefficients(number)
    total = np.zeros_like(squared)
    for part in range(3):
        total += a[part] / (squared + b[part]) + c[part] * np.exp(-d[part] * squared)
    return total


@cache
def _radial_nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre nodes and weights [Å] on logarithmic, then linear panels, shape (n,) each."""
    node, weight = np.polynomial.legendre.leggauss(24)
    lower, upper = _RADIUS_RANGE
    edges = np.concatenate([np.geomspace(lower, 0.05, 15), np.arange(0.1, upper + 1e-9, 0.05)])
    half = np.diff(edges)[:, None] / 2
    middle = (edges[:-1] + edges[1:])[:, None] / 2
    return (middle + half * node).ravel(), (half * weight).ravel()


@lru_cache(maxsize=4096)
def cross_section(number: int, *, beam_energy: float, inner: float, outer: float) -> float:
    """Elastic cross-section of one atom into an annular detector [Å²].

    ``sigma = 2 pi integral |f(theta)|^2 theta dtheta`` between the detector's angles, with
    ``f = (2 pi i / lambda) integral [1 - exp(i s v(r))] J0(2 pi r theta / lambda) r dr``,
    *s* the interaction parameter and *v* the projected potential, converged to 1e-7. Kirkland's
    program stops its adaptive quadrature at 1e-5 per step and scatters around this value by
    up to 2e-4 (a change of the beam energy by 1e-9 moves its result by 1e-4).

    Args:
        number: atomic number, 1 to 103.
        beam_energy: kinetic energy [eV].
        inner: smallest collected angle [mrad].
        outer: largest collected angle [mrad].

    Raises:
        ValueError: for an element without parameters.
    """
    node, weight = np.polynomial.legendre.leggauss(_ANGLE_NODES)
    half = (outer - inner) / 2e3
    theta = (outer + inner) / 2e3 + half * node
    radius, step = _radial_nodes()
    k = 2 * np.pi / wavelength(beam_energy)
    phase = interaction_parameter(beam_energy) * projected_potential(number, radius)
    integrand = (1 - np.exp(1j * phase)) * radius * step
    amplitude = k * (j0(k * np.outer(theta, radius)) @ integrand)  # eq. 5.18
    return float(2 * np.pi * half * np.sum(weight * np.abs(amplitude) ** 2 * theta))
