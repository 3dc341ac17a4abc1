"""Generators: they go downhill, name their parents and share the proposals; see also the checks."""

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Space
from htinvert.generators.basin_hopping import BasinHopping
from htinvert.generators.genetic import Genetic
from htinvert.generators.mixture import Mixture
from htinvert.generators.population import Member, Population
from htinvert.generators.random import Random
from htinvert.testing.generator import OBJECTIVES, copper_layer, priced, told


@pytest.fixture
def space() -> Space:
    return copper_layer()


def test_genetic_and_basin_hopping_go_downhill_where_random_does_not(space: Space) -> None:
    means = {}
    searches = {
        "random": Random(space, OBJECTIVES, 1),
        "genetic": Genetic(space, OBJECTIVES, 1, random=4),
        "hopping": BasinHopping(space, OBJECTIVES, 1),
    }
    for name, generator in searches.items():
        late = [priced(c).objectives["energy"] / len(c.atoms) for c in told(generator, 120)[80:]]
        means[name] = np.mean(late)
    assert means["genetic"] < means["random"]
    assert means["hopping"] < means["random"]


def test_children_name_their_parents(space: Space) -> None:
    bred = [c for c in told(Genetic(space, OBJECTIVES, 1, random=4), 40) if c.operator != "random"]
    assert bred
    assert all(c.parents and max(c.parents) < c.index for c in bred)


def test_shares_decide_who_proposes(space: Space) -> None:
    mixture = Mixture(
        (Random(space, OBJECTIVES, 1), BasinHopping(space, OBJECTIVES, 1)), (3.0, 1.0), 7
    )
    operators = [c.operator for c in mixture.ask(range(400))]
    assert operators.count("random") / len(operators) == pytest.approx(0.75, abs=0.07)  # 3 sigma


def test_of_two_alike_structures_the_better_stays() -> None:
    pair = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5]], cell=[9, 9, 9], pbc=True)
    moved = pair.copy()
    moved.translate([1.0, 2.0, 0.5])
    other = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 3.5]], cell=[9, 9, 9], pbc=True)
    population = Population(3)
    assert population.add(Member(0, pair, 1.0))
    assert not population.add(Member(1, moved, 2.0))
    assert population.add(Member(2, moved, 0.5))
    assert population.add(Member(3, other, 0.7))
    assert [member.index for member in population.members] == [2, 3]
