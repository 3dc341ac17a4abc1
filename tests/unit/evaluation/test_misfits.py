"""Structures are priced by what quick experiments miss, whatever they are ranked by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Channel, Objective, Signal
from htinvert.evaluation.misfits import Misfits
from htinvert.metrics.likelihood import Likelihood
from htinvert.metrics.rw import Rw

AT = np.arange(0.0, 12.0, 0.1)


@dataclass(frozen=True)
class Wave:
    """A curve to which a second wave is added as the atom goes up [Å]."""

    kind: ClassVar[str] = "curve"
    quick: ClassVar[bool] = True

    def __call__(self, atoms: Atoms) -> Signal:
        height = float(atoms.positions[0, 2])
        return Signal.curve(AT, np.sin(AT) + height * np.cos(3.0 * AT), name="r", unit="Å")


@pytest.mark.parametrize("told", [None, Likelihood(20.0, 0.1)])
def test_a_misfit_is_proportional_to_the_residual_also_below_a_likelihoods_floor(
    told: Likelihood | None,
) -> None:
    """Generators compare ratios; a log-likelihood is 0 at the floor and negative below."""
    structures = [Atoms("H", positions=[[0, 0, height]]) for height in (0.0, 0.02, 0.04, 0.3)]
    channel = Channel("wave", Wave()(structures[0]), Wave(), {"rw": Rw()})
    found = Misfits((channel,), (Objective("wave.rw", 40.0, told),))
    cost = found.at({})
    none, small, double, large = map(cost, structures)
    assert none == pytest.approx(0.0, abs=1e-3 * small)
    assert double / small == pytest.approx(2.0, rel=0.01)
    assert large > double
    assert found.fitted(structures[1])[0] == small
