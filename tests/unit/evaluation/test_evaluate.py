"""One candidate: what goes wrong is a result with a reason, never a crash and never a rank."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms

from htinvert.core import (
    ENERGIES,
    Candidate,
    Channel,
    EvaluationFailed,
    Recipe,
    Region,
    Relaxation,
    Score,
    Signal,
)
from htinvert.energy.offer import Offer
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.objectives import energies


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


def wordy(atoms: Atoms) -> Relaxation:
    return "E = -3.0 eV"  # type: ignore[return-value]


def strained(atoms: Atoms) -> Relaxation:
    return Relaxation(atoms, -16.5, False, 300, 1.4)


class Bottomless:
    """Says what is the lowest energy of anything real, and falls below it."""

    offer = Offer("bottomless 1", lowest=-12.0)

    def __call__(self, atoms: Atoms) -> Relaxation:
        return Relaxation(atoms, -12.5 * len(atoms), True, 1)


def refuses(atoms: Atoms) -> Relaxation:
    raise EvaluationFailed("LAMMPS: lost atoms")


def crashes(atoms: Atoms) -> Relaxation:
    raise ZeroDivisionError("in a plug-in")


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (flung, "exploded: atom 2 (Cd) moved 5.2 Å in the relaxation"),
        (fused, "fused: two relaxed atoms are"),
        (nowhere, "not finite: a relaxed position is not finite"),
        (priceless, "not finite: the energy is not finite"),
        (wordy, "garbage: the engine returned a str instead of a relaxation"),
        (strained, "not converged: a force of 1.4 eV/Å is left after 300 steps, more than 1"),
        (Bottomless(), "implausible energy: -12.5 eV/atom, below -12"),
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


def test_a_cluster_that_falls_apart_is_a_failure_and_one_that_rolls_up_is_none() -> None:
    chain = Atoms("Ti2O4", [[1.9 * i, 0, 0] for i in range(6)])
    ring = chain.copy()
    angles = np.linspace(0, 2 * np.pi, 7)[:6]
    ring.positions = 1.9 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    torn = chain.copy()
    torn.positions[4:, 0] += 4.0
    for relaxed, error in ((ring, None), (torn, "the cluster fell apart: 5.9 Å between")):
        recipe = Recipe(lambda _, end=relaxed: Relaxation(end, -1.0, True, 1))
        evaluation = evaluate(Candidate(0, chain, "random"), recipe)
        assert (evaluation.error or "").startswith(error or "")
        assert evaluation.ok == (error is None)


@pytest.mark.parametrize(
    "relaxation",
    [
        Relaxation(crystal(), -16.5, False, 300, 0.3),  # nearly there: bond-order potentials
        Relaxation(crystal(), -16.5, False, 0, 5.0),  # a single point was asked for
        Relaxation(crystal(), -16.5, False, 300),  # an engine that does not say
    ],
)
def test_a_relaxation_that_nearly_or_never_was_to_converge_is_ranked(
    relaxation: Relaxation,
) -> None:
    assert evaluate(Candidate(0, crystal(), "random"), Recipe(lambda _: relaxation)).ok


def test_an_energy_far_below_the_elements_is_not_believed() -> None:
    recipe = Recipe(left_alone, chemical_potentials={"Cd": 5.0, "Te": 5.0})
    evaluation = evaluate(Candidate(0, crystal(), "random"), recipe)
    assert evaluation.error is not None
    assert evaluation.error.startswith("implausible energy: -7.1 eV/atom below its chemical")
    partly = replace(recipe, chemical_potentials={"Cd": 5.0})  # then it is no formation energy
    assert evaluate(Candidate(0, crystal(), "random"), partly).ok


def layered() -> Atoms:
    """Bulk frozen below 4 Å and above 15 Å, a free layer from 7 to 12 Å, hosts between."""
    atoms = crystal().repeat((1, 1, 3))
    height = atoms.positions[:, 2]
    atoms = atoms[(height < 6.0) | (height > 9.0)]
    height = atoms.positions[:, 2]
    atoms.set_tags(((height > 9.0) & (height < 12.0)).astype(int))
    atoms.set_constraint(FixAtoms(np.flatnonzero((height < 3.0) | (height > 15.0))))
    return atoms


@pytest.mark.parametrize(
    ("margin", "sink", "reason"),
    [
        (3.0, 1.0, None),  # 9.7 - 1.0 is 0.8 Å out of the region
        (3.0, 2.5, "left the region: atom "),
        (1.5, 2.0, "in a grain: atom "),
    ],
)
def test_a_free_atom_must_stay_where_free_atoms_are(
    margin: float, sink: float, reason: str | None
) -> None:
    def sinks(atoms: Atoms) -> Relaxation:
        relaxed = atoms.copy()
        free = np.flatnonzero(atoms.get_tags())
        relaxed.positions[free[0], 2] -= sink
        return Relaxation(relaxed, -16.5, True, 10)

    recipe = Recipe(sinks, region=Region("z", 9.5, 12.0, margin))
    evaluation = evaluate(Candidate(0, layered(), "random"), recipe)
    assert (evaluation.error or "").startswith(reason or "")
    assert evaluation.ok == (reason is None)


def test_energies_count_per_cell_atom_and_area() -> None:
    atoms = crystal()
    atoms.set_cell([[4.0, 0.0, 0.0], [1.0, 5.0, 0.0], [0.5, 0.5, 30.0]])
    region = Region("z", 0.0, 1.0, 1.0)
    recipe = Recipe(left_alone, chemical_potentials={"Cd": -1.0, "Te": -2.0}, region=region)
    found = energies(Relaxation(atoms, -20.0, True, 1), recipe)
    assert found == pytest.approx(
        {
            "energy": -20.0 + 4 * 1.0 + 4 * 2.0,
            "total_energy": -20.0,
            "formation_energy": -8.0 / 8,
            "interface_energy": -8.0 / (4.0 * 5.0),
        }
    )
    assert set(found) == set(ENERGIES)
    assert "interface_energy" not in energies(Relaxation(atoms, -20.0, True, 1), Recipe(left_alone))
