"""What every engine must keep, whichever are installed: the shipped checks, and a child process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import UserError
from htinvert.energy.isolation import Isolated
from htinvert.energy.lennard_jones import LennardJones
from htinvert.testing.energy import Check, check_rigid_body, rattled
from htinvert.testing.pytest_checks import energy_checks

from .conftest import Case, cases

CASES = cases()
every_engine = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@energy_checks
@every_engine
def test_an_engine_keeps_what_it_promises(case: Case, check: Check) -> None:
    engine = case.engine
    if check is check_rigid_body and hasattr(engine, "steps"):
        engine = replace(engine, steps=20)  # what moves in one piece shows it before the minimum
    check(engine, case.crystal(), rounding=case.rounding, on_grid=case.slow)


@energy_checks
def test_an_engine_that_only_relaxes_does_so_too(check: Check) -> None:
    places = [(0, 0, 0), (1.5, 0, 0.3), (0.7, 1.4, 0), (0.7, 0.5, 1.3)]
    check(LennardJones(sigma=1.3), Atoms("Xe4", positions=places))


@every_engine
def test_it_offers_forces_and_refuses_what_it_does_not_know(case: Case) -> None:
    assert {"energy", "forces"} <= set(case.engine.offer.properties)
    with pytest.raises(UserError, match="does not know Og"):
        case.engine.check_elements({*case.crystal().get_chemical_symbols(), "Og"})


def test_in_a_child_process_it_answers_the_same() -> None:
    case = next((case for case in CASES if case.name == "lammps CdTe.sw"), None)
    if case is None:
        pytest.skip("LAMMPS is not installed")
    atoms = rattled(case.crystal())
    here, there = case.engine(atoms), Isolated(case.engine)(atoms)
    assert there.energy == pytest.approx(here.energy, abs=1e-6)  # eV
    np.testing.assert_allclose(there.atoms.positions, here.atoms.positions, atol=1e-6)  # Å
