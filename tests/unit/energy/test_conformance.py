"""What every engine must keep, whichever are installed: slopes, symmetries and roles."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase.constraints import FixAtoms
from ase.stress import voigt_6_to_full_3x3_stress

from htinvert.core import EnergyModel, UserError
from htinvert.energy.isolation import Isolated
from htinvert.geometry.roles import RigidBody

from .conftest import Case, cases

CASES = cases()
every_engine = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
fast_engine = pytest.mark.parametrize(
    "case", [c for c in CASES if not c.slow], ids=[c.name for c in CASES if not c.slow]
)


def rattled(case: Case) -> Any:
    atoms = case.crystal()
    atoms.rattle(0.08, seed=1)
    return atoms


@every_engine
def test_it_declares_what_it_offers(case: Case) -> None:
    offer = case.engine.offer
    symbols = set(case.crystal().get_chemical_symbols())
    assert isinstance(case.engine, EnergyModel)
    assert {"energy", "forces"} <= set(offer.properties)
    assert any(digit in offer.model for digit in "0123456789"), "a version is part of the name"
    assert offer.elements is None or symbols <= offer.elements
    assert offer.memory > 0
    case.engine.check_elements(symbols)
    with pytest.raises(UserError, match="does not know Og"):
        case.engine.check_elements({*symbols, "Og"})


@every_engine
def test_its_specification_travels(case: Case) -> None:
    assert pickle.loads(pickle.dumps(case.engine)) == case.engine  # noqa: S301  (our own)
    assert hash(case.engine.offer) == hash(replace(case.engine).offer)


@every_engine
def test_forces_are_slopes_of_the_energy(case: Case) -> None:
    atoms, step = rattled(case), 1e-2 if case.rounding > 2e-3 else 1e-4
    force = case.engine.single_point(atoms).forces
    assert force.shape == (len(atoms), 3)
    for atom, axis in ((0, 0), (1, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(case.engine.single_point(moved).energy)
        slope = (energies[0] - energies[1]) / (2 * step)
        tolerance = 2e-2 if case.rounding > 2e-3 else 1e-3  # eV/Å; a coarse step sees curvature
        assert force[atom, axis] == pytest.approx(-slope, abs=tolerance)


@every_engine
def test_energy_and_forces_do_not_depend_on_origin_orientation_or_order(case: Case) -> None:
    atoms = rattled(case)
    before = case.engine.single_point(atoms)
    order = np.arange(len(atoms))[::-1]
    other = atoms[order]
    other.translate([0.3, -1.1, 2.7])
    other.wrap()
    other.rotate(90, "z", rotate_cell=True)
    after = case.engine.single_point(other)
    turned = before.forces[order] @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    # A grid of points in space is not the same after a shift: that is GPAW's egg-box error.
    tolerance = 2e-2 if case.slow else max(case.rounding, 1e-4)
    assert after.energy == pytest.approx(before.energy, abs=tolerance)  # eV
    np.testing.assert_allclose(after.forces, turned, atol=tolerance)  # eV/Å


@fast_engine
def test_energy_is_extensive(case: Case) -> None:
    atoms = rattled(case)
    single, double = (
        case.engine.single_point(atoms),
        case.engine.single_point(atoms.repeat((1, 2, 1))),
    )
    assert double.energy == pytest.approx(2 * single.energy, abs=case.rounding)  # eV


@every_engine
def test_stress_is_the_slope_with_strain_where_it_is_offered(case: Case) -> None:
    if "stress" not in case.engine.offer.properties:
        assert case.engine.single_point(rattled(case)).stress is None
        return
    atoms, strain = rattled(case), 2e-3
    stress = case.engine.single_point(atoms).stress
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array * [1 + sign * strain, 1, 1], scale_atoms=True)
        energies.append(case.engine.single_point(strained).energy)
    slope = (energies[0] - energies[1]) / (2 * strain) / atoms.get_volume()
    # Plane waves change in number with the cell (Pulay), and ReaxFF's energies jump where bonds are
    # cut off, which a slope of energies feels.
    tolerance = 2e-2 if case.slow else max(1e-3, 0.5 * case.rounding)
    assert stress[0] == pytest.approx(slope, abs=tolerance)  # eV/Å³


@fast_engine
def test_stress_turns_with_the_structure(case: Case) -> None:
    """In any orientation; LAMMPS, for one, turns every cell before it starts."""
    atoms = rattled(case)
    before = case.engine.single_point(atoms).stress
    if before is None:
        pytest.skip("it offers no stress")
    turned = atoms.copy()
    turned.rotate(73, (1, 2, 3), rotate_cell=True)
    frame = np.linalg.solve(atoms.cell.array, turned.cell.array)  # rows turn by this
    expected = frame.T @ voigt_6_to_full_3x3_stress(before) @ frame
    after = voigt_6_to_full_3x3_stress(case.engine.single_point(turned).stress)
    np.testing.assert_allclose(after, expected, atol=max(case.rounding, 1e-5))  # eV/Å³


@every_engine
def test_a_relaxation_lowers_the_energy_and_leaves_what_is_held(case: Case) -> None:
    atoms = rattled(case)
    loose = replace(case.engine, fmax=0.2)
    atoms.set_constraint(FixAtoms([0]))
    before = atoms.copy()
    relaxation = loose(atoms)
    np.testing.assert_array_equal(atoms.positions, before.positions)
    np.testing.assert_allclose(relaxation.atoms.positions[0], before.positions[0], atol=1e-12)
    assert relaxation.converged
    assert relaxation.force <= 0.2
    assert relaxation.energy < case.engine.single_point(before).energy
    assert relaxation.atoms.calc is None


@fast_engine
def test_a_rigid_body_moves_as_a_whole(case: Case) -> None:
    atoms = case.crystal()
    atoms.positions[2:4] += [0.1, 0.05, -0.1]
    atoms.set_constraint([FixAtoms([0]), RigidBody([2, 3], "xz")])
    relaxation = replace(case.engine, fmax=0.1)(atoms)
    moved = relaxation.atoms.positions - atoms.positions
    np.testing.assert_allclose(moved[2], moved[3], atol=1e-10)  # Å
    assert abs(moved[2, 1]) < 1e-10
    assert np.linalg.norm(moved[2]) > 0.01


@pytest.mark.parametrize("name", ["lammps CdTe.sw", "chgnet"])
def test_in_a_child_process_it_answers_the_same(name: str) -> None:
    case = next((case for case in CASES if case.name == name), None)
    if case is None:
        pytest.skip(f"{name} is not installed")
    atoms = rattled(case)
    here, there = case.engine(atoms), Isolated(case.engine)(atoms)
    assert there.energy == pytest.approx(here.energy, abs=1e-6)  # eV
    np.testing.assert_allclose(there.atoms.positions, here.atoms.positions, atol=1e-6)  # Å
