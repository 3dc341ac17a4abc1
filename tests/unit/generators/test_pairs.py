"""Moves by pair data: an atom at a wrong place goes to its own; what cannot be is said."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Octahedron

from htinvert.core import (
    Axis,
    Candidate,
    Channel,
    Evaluation,
    Infeasible,
    Objective,
    Relaxation,
    Space,
    UserError,
)
from htinvert.energy.lennard_jones import LennardJones
from htinvert.evaluation.costs import Costs
from htinvert.forward.pdf.model import Pdf
from htinvert.generators.operators.cluster import vacant_places
from htinvert.generators.operators.pairs import mend_pairs
from htinvert.generators.pairs import Pairs
from htinvert.metrics.rw import Rw

AXES = (Axis("r", "Å", 0.05, 1.5),)
RELAX = LennardJones(epsilon=1.0, sigma=2.5)
OBJECTIVES = (Objective("energy", 1.0),)


@pytest.fixture(scope="module")
def truth() -> Atoms:
    shape = Octahedron("Xe", 4, 1, latticeconstant=4.0)
    found = RELAX(Atoms(shape.symbols, shape.positions, tags=1)).atoms
    found.set_cell([24.0] * 3)
    found.center()
    return found


@pytest.fixture(scope="module")
def space() -> Space:
    box = Atoms(cell=[24.0] * 3)
    return Space(box, None, {"Xe": (38, 38)}, {frozenset(("Xe",)): 2.0})


@pytest.fixture(scope="module")
def costs(truth: Atoms) -> Costs:
    model = Pdf(axes=AXES, shape=(250,), qmin=1.0, qmax=20.0, u=0.006)
    return Costs((Channel("pdf", model(truth), model, {"rw": Rw()}),))


def misplaced(truth: Atoms) -> Atoms:
    """One atom of an edge sits at a place far from its own."""
    rest, rng = truth[1:], np.random.default_rng(8)
    places = vacant_places(rest, "Xe", rng, most=12)
    farthest = max(places, key=lambda place: np.linalg.norm(place - truth.positions[0]))
    return rest + Atoms("Xe", [farthest], tags=[1])


def test_a_misplaced_atom_finds_its_place(truth: Atoms, space: Space, costs: Costs) -> None:
    """At least every third move brings the energy of the truth back."""
    start, cost = misplaced(truth), costs({})
    assert cost(start) > 0.01
    lowest, energies = RELAX(truth).energy, []
    for seed in range(9):
        child = mend_pairs(start, cost, space=space, rng=np.random.default_rng(seed))
        assert len(child) == 38
        energies.append(RELAX(child).energy)
    assert RELAX(start).energy > lowest + 1.0
    assert np.sum(np.array(energies) < lowest + 1e-3) >= 3


def test_a_crystal_is_refused(truth: Atoms, costs: Costs) -> None:
    cell = truth.copy()
    cell.pbc = True
    space = Space(cell, None, {"Xe": (38, 38)}, {frozenset(("Xe",)): 2.0})
    with pytest.raises(UserError, match="free clusters only"):
        Pairs(space, OBJECTIVES, 1, costs)
    with pytest.raises(Infeasible, match="free clusters only"):
        mend_pairs(cell, costs({}), space=space, rng=np.random.default_rng(1))


def test_no_pair_data_is_said(space: Space) -> None:
    with pytest.raises(UserError, match=r"use: pdf"):
        Pairs(space, OBJECTIVES, 1, Costs(()))


def test_a_restored_generator_goes_on_as_the_one_it_was(
    truth: Atoms, space: Space, costs: Costs
) -> None:
    first, second = (Pairs(space, OBJECTIVES, 1, costs, fills=1) for _ in range(2))
    start = misplaced(truth)
    done = Evaluation(
        Candidate(0, start, "x"), Relaxation(start, -1.0, True, 1), objectives={"energy": -1.0}
    )
    first.tell([done])
    second.restore(first.state())
    ours, theirs = first.ask([5])[0], second.ask([5])[0]
    assert ours.parents == (0,) and ours.operator == "mend_pairs"
    assert ours.atoms.positions == pytest.approx(theirs.atoms.positions, abs=0.0)
