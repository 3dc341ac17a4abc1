"""What every generator must keep, by the shipped checks; our own may also be told of by others."""

from __future__ import annotations

from functools import partial

import pytest

from htinvert.core import Generator, Objective, Space
from htinvert.generators.basin_hopping import BasinHopping
from htinvert.generators.genetic import Genetic
from htinvert.generators.mixture import Mixture
from htinvert.generators.random import Random
from htinvert.generators.replica_exchange import ReplicaExchange
from htinvert.testing.generator import Check, Make
from htinvert.testing.pytest_checks import generator_checks


def bred(space: Space, objectives: tuple[Objective, ...], seed: int) -> Generator:
    """Random and bred structures in turn."""
    return Mixture((Random(space, objectives, seed), Genetic(space, objectives, seed)), (0.5, 0.5),
                   seed)  # fmt: skip


def hopping(space: Space, objectives: tuple[Objective, ...], seed: int) -> Generator:
    """A walk that is told of random structures, too."""
    walk = BasinHopping(space, objectives, seed)
    return Mixture((walk, Random(space, objectives, seed)), (0.5, 0.5), seed)


MAKES = {
    "random": Random,
    "genetic": partial(Genetic, random=4),
    "hopping": BasinHopping,
    "exchange": partial(ReplicaExchange, replicas=3, every=2),
    "mixture": bred,
    "epsilon": partial(Genetic, random=4, population=5, selection="epsilon_moea"),
    "walk beside random": hopping,
}


@generator_checks
@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES)
def test_a_generator_keeps_what_it_promises(make: Make, check: Check) -> None:
    check(make)
