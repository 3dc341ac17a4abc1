"""One candidate: what goes wrong is a result with a reason, never a crash and never a rank."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import (
    Candidate,
    Channel,
    EvaluationFailed,
    Recipe,
    Relaxation,
    Score,
    Signal,
)
from htinvert.evaluate import evaluate


def crystal() -> Atoms:
    return bulk("CdTe", "zincblende", a=6.48, cubic=True)


def left_alone(atoms: Atoms) -> Relaxation:
    return Relaxation(atoms, -16.5, True, 1)


def brightness(atoms: Atoms) -> Signal:
    return Signal.image(np.full((4, 4), float(len(atoms))), 0.2)


def difference(simulated: Signal, observed: Signal) -> Score:
    return Score(float(np.abs(simulated.data - observed.data).mean()))


OBSERVED = Signal.image(np.full((4, 4), 7.5), 0.2)
CHANNEL = Channel("haadf", OBSERVED, brightness, {"difference": difference})


def test_objectives_are_the_energy_less_its_chemical_potentials_and_the_costs() -> None:
    recipe = Recipe(left_alone, (CHANNEL,), {"Cd": -1.0, "Te": -2.0})
    evaluation = evaluate(Candidate(3, crystal(), "random"), recipe)
    assert evaluation.ok
    assert evaluation.objectives["energy"] == pytest.approx(-16.5 + 4 * 1.0 + 4 * 2.0)  # 4 CdTe
    assert evaluation.objectives["haadf.difference"] == pytest.approx(0.5)
    assert evaluation.seconds > 0


def flung(atoms: Atoms) -> Relaxation:
    away = atoms.copy()
    away.set_cell(atoms.cell)
    away.positions[2, 2] += 3.0
    away.positions[2, :2] += 3.0
    return Relaxation(away, -16.5, True, 1)


def fused(atoms: Atoms) -> Relaxation:
    together = atoms.copy()
    together.positions[1] = together.positions[0] + 0.3
    return Relaxation(together, -16.5, True, 1)


def nowhere(atoms: Atoms) -> Relaxation:
    lost = atoms.copy()
    lost.positions[0] = np.nan
    return Relaxation(lost, -16.5, True, 1)


def priceless(atoms: Atoms) -> Relaxation:
    return Relaxation(atoms, float("nan"), True, 1)


def refuses(atoms: Atoms) -> Relaxation:
    raise EvaluationFailed("LAMMPS: lost atoms")


def crashes(atoms: Atoms) -> Relaxation:
    raise ZeroDivisionError("in a plug-in")


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (flung, "moved 5.2 Å in the relaxation"),
        (fused, "two relaxed atoms are"),
        (nowhere, "a relaxed position is not finite"),
        (priceless, "the energy is not finite"),
        (refuses, "LAMMPS: lost atoms"),
        (crashes, "ZeroDivisionError: in a plug-in"),
    ],
)
def test_a_bad_relaxation_is_recorded_with_its_reason(
    energy: Callable[[Atoms], Relaxation], reason: str
) -> None:
    evaluation = evaluate(Candidate(0, crystal().repeat(2), "random"), Recipe(energy))
    assert not evaluation.ok
    assert evaluation.error is not None
    assert reason in evaluation.error
    assert not evaluation.objectives


def test_atoms_on_top_of_each_other_never_reach_the_engine() -> None:
    def never(atoms: Atoms) -> Relaxation:
        raise AssertionError("an engine may hang on fused atoms")

    doubled = crystal() + crystal()
    evaluation = evaluate(Candidate(0, doubled, "random"), Recipe(never))
    assert evaluation.error is not None
    assert evaluation.error.startswith("fused: two proposed atoms are 0.00")


def test_a_cost_that_is_no_number_is_a_failure() -> None:
    def undefined(simulated: Signal, observed: Signal) -> Score:
        return Score(float("nan"))

    channel = Channel("haadf", OBSERVED, brightness, {"undefined": undefined})
    evaluation = evaluate(Candidate(0, crystal(), "random"), Recipe(left_alone, (channel,)))
    assert evaluation.error == "haadf.undefined is not finite"
