"""Lennard-Jones clusters against what is known in closed form and from the literature."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.constraints import FixAtoms

from htinvert.core import EvaluationFailed, UserError
from htinvert.energy.lennard_jones import LennardJones, energy_and_forces

SOME = np.random.default_rng(1).normal(scale=1.5, size=(9, 3))


def test_a_pair_sits_at_the_sixth_root_of_two_sigma_and_is_bound_by_epsilon() -> None:
    pair = Atoms("Xe2", [[0, 0, 0], [0, 0, 3.3]])
    found = LennardJones(epsilon=0.5, sigma=2.5, fmax=1e-8)(pair)
    assert found.energy == pytest.approx(-0.5)
    assert found.atoms.get_distance(0, 1) == pytest.approx(2.5 * 2 ** (1 / 6), abs=1e-6)
    assert found.converged


def test_it_agrees_with_another_implementation() -> None:
    atoms = Atoms("Xe9", SOME)
    atoms.calc = AseLennardJones(epsilon=1.0, sigma=1.0, rc=1e3, smooth=False)
    energy, forces = energy_and_forces(SOME)
    shift = 4.0 * 36 * (1e3**-12 - 1e3**-6)  # ASE subtracts the energy at its cutoff
    assert energy == pytest.approx(atoms.get_potential_energy() + shift, rel=1e-9)
    np.testing.assert_allclose(forces, atoms.get_forces(), rtol=1e-6, atol=1e-6)


def test_a_tetrahedron_has_six_whole_bonds() -> None:
    four = Atoms("Xe4", [[0, 0, 0], [1.3, 1.2, 0], [1.2, 0, 1.3], [0, 1.2, 1.1]])
    found = LennardJones(sigma=1.5, fmax=1e-6)(four)
    assert found.energy == pytest.approx(-6.0, abs=1e-9)


def test_frozen_atoms_stay() -> None:
    atoms = Atoms("Xe9", 2.5 * SOME)
    atoms.set_constraint(FixAtoms([0, 3]))
    found = LennardJones()(atoms).atoms
    np.testing.assert_array_equal(found.positions[[0, 3]], atoms.positions[[0, 3]])


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(UserError, match="one kind of atom"):
        LennardJones().check_elements({"Xe", "Ar"})
    with pytest.raises(EvaluationFailed, match="without periodic images"):
        LennardJones()(bulk("Xe", "fcc", a=6.1))
