"""EXAFS of a cluster whose bonds are of unequal length and stiffness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from ase.cluster import Icosahedron, Octahedron
from ase.optimize import BFGS
from scipy.optimize import least_squares

from htinvert.core import Axis, Signal
from htinvert.forward.exafs.model import SOFTENING, Exafs

pytest.importorskip("larch", reason="pip install htinvert[xas]")

K = np.arange(1.0, 15.01, 0.05)
NAMES = ("e0", "zoom", "first", "others", "softening")
LOW, HIGH = (-10.0, 0.97, 5e-4, 5e-4, SOFTENING[0]), (10.0, 1.03, 0.03, 0.05, SOFTENING[1])


@pytest.fixture(scope="module")
def vibrations(script):
    return script("benchmarks/vibrations.py")


@pytest.fixture
def icosahedron():
    """Copper in EMT: 12 bonds of 2.43 Å to the center, 30 of 2.55 Å on the surface."""
    atoms = Icosahedron("Cu", 2)
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=1e-3)
    atoms.calc = None
    return atoms


def test_the_motion_of_two_atoms_is_that_of_an_oscillator(vibrations):
    """sigma2 = hbar / (2 mu w) coth(hbar w / 2 k T), w from the curvature of EMT's energy."""
    from ase import Atoms, units

    pair = Atoms("Cu2", [(0, 0, 0), (2.2, 0, 0)])
    pair.calc = EMT()
    BFGS(pair, logfile=None).run(fmax=1e-4)
    apart, energies = pair.get_distance(0, 1), []
    for step in (-0.01, 0.0, 0.01):
        pair.set_distance(0, 1, apart + step)
        energies.append(pair.get_potential_energy())
    pair.set_distance(0, 1, apart)
    stiffness = np.dot(energies, (1, -2, 1)) / 0.01**2 * units._e * 1e20  # N/m
    reduced = 0.5 * pair.get_masses()[0] * units._amu
    w = np.sqrt(stiffness / reduced)
    size = units._hbar / (2 * reduced * w) / np.tanh(units._hbar * w / (2 * units._k * 80.0))
    motion = vibrations.covariance(pair, EMT(), 80.0)
    pull = np.array([[1, 0, 0], [-1, 0, 0]])
    found = np.einsum("ia,iajb,jb", pull, motion, pull)
    assert found == pytest.approx(size * 1e20, rel=2e-3)


def test_bonds_that_soften_with_their_length_are_fitted(vibrations, icosahedron):
    """Without it the fit shifts distances by 0.4 % and leaves a tenth of the signal."""
    motion = vibrations.covariance(icosahedron, EMT(), 80.0)
    limits = {"kmin": 3.0, "kmax": 14.0, "rmin": 1.5, "rmax": 4.5, "criterion": 1.0}
    made = vibrations.signal(Exafs(**limits | {"rmax": 5.0}, e0=3.0), icosahedron, motion, K)
    data = Signal(made.astype(np.float32), (Axis("k", "1/Å", K[1] - K[0], K[0]),), "chi")
    model, data = Exafs(absorber="Cu", **limits).reduced(data)

    def left(values):
        found = dict(zip(NAMES, values, strict=False))
        sigma2 = {"Cu1": found.pop("first"), "*": found.pop("others")}
        signal = replace(model, sigma2=sigma2, **found)(icosahedron).data
        scale = (signal @ data.data) / (signal @ signal)
        return (scale * signal - data.data) / np.linalg.norm(data.data)

    start, width = np.array([0.0, 1.0, 0.005, 0.008, 4.0]), np.subtract(HIGH, LOW)
    stiff, soft = (
        least_squares(
            left, start[:n], bounds=(LOW[:n], HIGH[:n]), x_scale=width[:n], diff_step=1e-3
        )
        for n in (4, 5)
    )
    assert 2 * stiff.cost > 0.1**2
    assert abs(stiff.x[1] - 1) > 0.003
    assert 2 * soft.cost < 0.03**2
    assert soft.x[1] == pytest.approx(1, abs=1e-3)
    assert soft.x[0] == pytest.approx(3.0, abs=0.5)
    assert 3 < soft.x[4] < 7  # Morse's potential of copper, 1.36 / Å: 4.1 at high temperature


def test_softening_is_fitted_where_bonds_differ_in_length(icosahedron):
    model = Exafs(kmax=14.0, rmax=3.0)
    assert model.free_of(icosahedron)["softening"] == SOFTENING
    assert "softening" not in model.free_of(Octahedron("Cu", 3))
