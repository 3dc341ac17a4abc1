"""What an engine's error of positions makes of a datum's model error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms

from htinvert.core import Axis, Channel, EvaluationFailed, Objective, Signal
from htinvert.metrics.likelihood import Likelihood
from htinvert.metrics.rw import Rw
from htinvert.ranking.positions import misplaced, with_error
from htinvert.signals.seen import Seen, see

COUNT = 400
AIM = Objective("places.rw", 1.0, Likelihood(200.0, 0.1))


@dataclass(frozen=True)
class Places:
    """A signal that is 10 plus where each atom lies along x, and a shift that is fitted."""

    kind = "curve"
    shift: float = 0.0

    def __call__(self, atoms: Atoms) -> Signal:
        if np.abs(atoms.positions[:, 1]).max() > 1.0:
            raise EvaluationFailed("an atom is out of sight")
        values = (10.0 + atoms.positions[:, 0] + self.shift).astype(np.float32)
        return Signal(values, (Axis("n", "1", 1.0),))


def seen(atoms: Atoms) -> Seen:
    free = {"shift": (-1.0, 1.0)}
    metrics = {"rw": Rw(scale=False)}
    return see(Channel("places", Places()(atoms), Places(), metrics, free), atoms, {})


@pytest.fixture
def atoms() -> Atoms:
    places = np.zeros((COUNT, 3))
    places[:, 0] = 0.1 * np.sin(np.arange(COUNT))
    return Atoms(f"Cu{COUNT}", places, tags=1)


def test_what_atoms_that_are_off_cost_is_part_of_the_floor(atoms: Atoms) -> None:
    """Each point is off as its atom, 0.2 Å of 10; half as many may move, the root of a half."""
    found = misplaced(AIM, seen(atoms), 0.2)
    assert found.share == pytest.approx(0.02, rel=0.1)
    assert found.floor == pytest.approx(np.hypot(0.1, found.share))
    assert not found.limited
    atoms.set_constraint(FixAtoms(range(COUNT // 2)))
    held = misplaced(AIM, seen(atoms), 0.2)
    assert held.share == pytest.approx(np.sqrt(0.5) * found.share, rel=0.15)
    assert with_error(AIM, found).likelihood == replace(AIM.likelihood, floor=found.floor)


def test_a_better_fit_than_that_shows_that_positions_err_less(atoms: Atoms) -> None:
    """Of 200 normal points 5 % have a variance below 0.842 of the true one (chi squared)."""
    aim = replace(AIM, likelihood=Likelihood(200.0, 0.01))
    found = misplaced(aim, seen(atoms), 0.2, best=0.012)
    assert found.floor == pytest.approx(0.012 / np.sqrt(0.842), rel=1e-3)
    assert found.limited and "less as the best fit is better" in str(found)
    assert misplaced(aim, seen(atoms), 0.2, best=0.001).floor == 0.01  # the model errs by that


def test_nothing_off_and_nothing_to_simulate_leave_the_floor(atoms: Atoms) -> None:
    assert misplaced(AIM, seen(atoms), 0.0).floor == 0.1
    assert misplaced(AIM, seen(atoms), 3.0).floor == 0.1
