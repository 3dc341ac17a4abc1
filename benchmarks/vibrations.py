"""EXAFS of a cluster that vibrates in its potential: a planted truth that no search assumes.

Harmonic, by quantum mechanics: A. A. Maradudin et al., Theory of Lattice Dynamics in the Harmonic
Approximation, 2nd ed. (1971). Each path of each absorber has the variance of its own length.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from scipy.spatial import cKDTree

from htinvert.core import Floats
from htinvert.forward.exafs.feff import scattering_paths
from htinvert.forward.exafs.model import AROUND, Exafs
from htinvert.forward.exafs.neighborhood import neighborhoods
from htinvert.forward.exafs.paths import Paths, chi

STEP = 0.01  # Å
SOFTEST = 1e-4  # of the stiffest mode's squared frequency: below it atoms turn and drift


def covariance(atoms: Atoms, calculator: Calculator, kelvin: float) -> Floats:
    """Of the atoms' displacements at ``kelvin`` > 0 [Å²], shape (n, 3, n, 3)."""
    moved, n = atoms.copy(), len(atoms)
    moved.calc = calculator
    stiffness = np.zeros((3 * n, 3 * n))
    for at in range(3 * n):
        for way in (1, -1):
            moved.positions[:] = atoms.positions
            moved.positions[at // 3, at % 3] += way * STEP
            stiffness[at] -= way * moved.get_forces().ravel() / (2 * STEP)
    masses = np.repeat(np.sqrt(atoms.get_masses()), 3)
    squares, modes = np.linalg.eigh((stiffness + stiffness.T) / 2 / np.outer(masses, masses))
    inner = squares > SOFTEST * squares.max()
    hbar = units._hbar / units._e / np.sqrt(units._amu / units._e) * 1e10  # Å sqrt(u eV)
    energies = hbar * np.sqrt(squares[inner])
    widths = hbar**2 / (2 * energies * np.tanh(energies / (2 * units.kB * kelvin)))
    modes = modes[:, inner] / masses[:, None]
    return ((modes * widths) @ modes.T).reshape(n, 3, n, 3)


def variances(paths: Paths, atoms: Atoms, absorber: int, covariance: Floats) -> Floats:
    """Of the lengths of an absorber's paths [Å²], shape (paths,)."""
    tree, found = cKDTree(atoms.positions), np.zeros(len(paths))
    for path, (places, legs) in enumerate(zip(paths.places, paths.legs, strict=True)):
        there = places[:legs] - places[0] + atoms.positions[absorber]
        _, which = tree.query(there, distance_upper_bound=STEP)
        ways = there - np.roll(there, -1, axis=0)
        ways /= 2 * np.linalg.norm(ways, axis=1)[:, None]
        pulls = ways - np.roll(ways, 1, axis=0)
        motion = covariance[which[:, None], :, which, :]  # leg, leg, axis, axis
        found[path] = np.einsum("ia,ijab,jb", pulls, motion, pulls)
    return found


def signal(model: Exafs, atoms: Atoms, motion: Floats, k: Floats) -> Floats:
    """Chi(k) at evenly spaced k [1/Å], shape (m,), of one element; potentials of each absorber.

    ``motion`` is the :func:`covariance` of the atoms.
    """
    grid, settings = (float(k[0]), float(k[1] - k[0]), len(k)), model._settings()
    mean = np.zeros(len(k))
    for at, hood in enumerate(neighborhoods(atoms, atoms.numbers[0], settings.reach + AROUND)):
        paths, _ = scattering_paths(hood, settings)
        sigma2 = variances(paths, atoms, at, motion)
        mean += model.s02 * chi(paths, grid, sigma2=sigma2, e0=model.e0) / len(atoms)
    return mean
