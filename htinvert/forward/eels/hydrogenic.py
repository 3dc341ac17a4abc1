"""Generalized oscillator strengths of hydrogen-like K and L shells, as functions of loss and angle.

R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011),
section 3.5.1 and appendix B (SIGMAK3, SIGMAL3); Ultramicroscopy 4, 169 (1979) and 63, 11 (1996).
"""

from __future__ import annotations

import numpy as np

from htinvert.core import Floats

RYDBERG = 13.605693  # eV
SCREENING = 0.35 * 7 + 1.7  # of an L electron, by Slater's rules
EXPONENTS = (
    0.82, 0.52, 0.52, 0.42, 0.30, 0.29, 0.22, 0.30, 0.22, 0.16, 0.12, 0.13, 0.13,
    0.14, 0.16, 0.18, 0.19, 0.22, 0.14, 0.11, 0.12, 0.12, 0.12, 0.10, 0.10, 0.10,
)  # fmt: skip
"""By which L shells of sodium to krypton deviate from hydrogen's (Egerton 1996)."""
BEYOND = 0.1  # the exponent of heavier elements


def _angular(k2: Floats, a: Floats, q: Floats, *, twice: int) -> Floats:
    """Factor of a Coulomb wave above the ionization threshold, and of a bound one below."""
    constant = 1.0 if twice == 2 else 0.25
    phase = np.arctan2(twice * a, q - k2 + constant)
    with np.errstate(all="ignore"):
        free = np.exp(-2.0 / a * phase) / -np.expm1(-2.0 * np.pi / a)
        ratio = (q + constant - k2 + twice * a) / (q + constant - k2 - twice * a)
        bound = np.exp(-np.log(np.abs(ratio)) / a)
    return np.where(k2 >= 0.0, free, bound)


def strength_k(energy: Floats, q: Floats, number: int) -> Floats:
    """df/dE of a K shell [1/eV], for losses [eV] and (momentum transfer times a0)^2, broadcast."""
    charge = number - 0.5
    q = q / charge**2
    k2 = energy / (RYDBERG * charge**2) - 1.0
    a = np.maximum(np.sqrt(np.abs(k2)), 0.01)
    wave = _angular(k2, a, q, twice=2)
    shape = (q + k2 / 3.0 + 1.0 / 3.0) / ((q - k2 + 1.0) ** 2 + 4.0 * k2) ** 3
    return np.asarray(256.0 * energy / (RYDBERG**2 * charge**4) * wave * shape)


def strength_l(energy: Floats, q: Floats, number: int, *, onset: float, last: float) -> Floats:
    """df/dE of a whole L shell [1/eV]: six 2p electrons, from ``last`` [eV] on both 2s, too.

    That is L3 and L2 together; nothing is to be added for L2.
    """
    charge = number - SCREENING
    q = q / charge**2
    k2 = energy / (RYDBERG * charge**2) - 0.25
    a = np.sqrt(np.abs(k2))
    wave = _angular(k2, a, q, twice=1)
    ridge = (q - k2 + 0.25) ** 2 + k2
    p_only = (
        2.25 * q**4
        - (0.75 + 3.0 * k2) * q**3
        + (0.59375 - 0.75 * k2 - 0.5 * k2**2) * q**2
        + (0.11146 + 0.85417 * k2 + 1.8833 * k2**2 + k2**3) * q
        + (0.0035807 + k2 / 21.333 + k2**2 / 4.5714 + k2**3 / 2.4 + k2**4 / 4.0)
    )
    both = (
        q**3
        - (5.0 / 3.0 * k2 + 11.0 / 12.0) * q**2
        + (k2**2 / 3.0 + 1.5 * k2 + 65.0 / 48.0) * q
        + (k2**3 / 3.0 + 0.75 * k2**2 + 23.0 / 48.0 * k2 + 5.0 / 64.0)
    )
    shape = np.where(energy <= last, p_only / ridge**5, both / ridge**4)
    place = number - 11
    exponent = EXPONENTS[place] if 0 <= place < len(EXPONENTS) else BEYOND
    empirical = (np.maximum(energy + 0.1 - onset, 0.1) / (1.8 * number**2)) ** exponent
    return np.asarray(empirical * 32.0 * shape * wave * energy / (RYDBERG**2 * charge**4))
