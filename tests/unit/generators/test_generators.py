"""Generators: what they propose depends on seed, index and what they were told, on nothing else."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Generator, Objective, Region, Relaxation, Space
from htinvert.generators.basin_hopping import BasinHopping
from htinvert.generators.genetic import Genetic
from htinvert.generators.mixture import Mixture
from htinvert.generators.population import Member, Population
from htinvert.generators.random import Random
from htinvert.generators.replica_exchange import ReplicaExchange
from htinvert.store.checkpoint import Checkpoint
from htinvert.structures.region import search_space

OBJECTIVES = (Objective("energy", 1.0),)


@pytest.fixture
def space() -> Space:
    cell = Atoms("Cu2", positions=[[1, 1, 1], [1, 1, 19]], cell=[8, 8, 20], pbc=True)
    return search_space(
        cell,
        region=Region("z", 6.0, 14.0, 1.0),
        composition={"Cu": (2, 4)},
        min_distance={frozenset({"Cu"}): 2.0},
    )


def priced(candidate: Candidate) -> Evaluation:
    """Evaluate by height alone: the lower the atoms, the better."""
    energy = float(candidate.atoms.positions[:, 2].sum())
    relaxation = Relaxation(candidate.atoms, energy, True, 0)
    return Evaluation(candidate, relaxation, objectives={"energy": energy})


def generators(space: Space) -> list[Generator]:
    return [
        Random(space, OBJECTIVES, 1),
        Genetic(space, OBJECTIVES, 1, random=4),
        BasinHopping(space, OBJECTIVES, 1),
        ReplicaExchange(space, OBJECTIVES, 1, replicas=3, every=2),
        Mixture((Random(space, OBJECTIVES, 1), Genetic(space, OBJECTIVES, 1)), (0.5, 0.5), 1),
        Genetic(space, OBJECTIVES, 1, random=4, population=5, selection="epsilon_moea"),
        Mixture((BasinHopping(space, OBJECTIVES, 1), Random(space, OBJECTIVES, 1)), (0.5, 0.5), 1),
    ]


def told(generator: Generator, count: int, first: int = 0) -> list[Candidate]:
    made = []
    for index in range(first, first + count):
        for candidate in generator.ask([index]):
            made.append(candidate)
            generator.tell([priced(candidate)])
    return made


def test_a_replay_of_the_same_history_proposes_the_same(space: Space) -> None:
    for first, second in zip(generators(space), generators(space), strict=True):
        for a, b in zip(told(first, 30), told(second, 30), strict=True):
            assert (a.index, a.operator, a.parents) == (b.index, b.operator, b.parents)
            np.testing.assert_array_equal(a.atoms.positions, b.atoms.positions)


@pytest.mark.parametrize("count", [3, 17, 40])
def test_a_generator_restored_from_its_state_proposes_the_same(
    space: Space, tmp_path: Path, count: int
) -> None:
    made = zip(generators(space), generators(space), strict=True)
    for number, (first, second) in enumerate(made):
        told(first, count)
        folder = tmp_path / str(number)
        folder.mkdir()
        Checkpoint(folder, lambda: None).save({"generator": first.state()}, b"")
        second.restore(Checkpoint(folder, lambda: None).load()[0]["generator"])
        for a, b in zip(told(first, 30, count), told(second, 30, count), strict=True):
            assert (a.index, a.operator, a.parents) == (b.index, b.operator, b.parents)
            np.testing.assert_array_equal(a.atoms.positions, b.atoms.positions)


def test_our_generators_keep_the_protocol(space: Space) -> None:
    assert all(isinstance(generator, Generator) for generator in generators(space))


def test_genetic_and_basin_hopping_go_downhill_where_random_does_not(space: Space) -> None:
    means = {}
    for name, generator in zip(("random", "genetic", "hopping"), generators(space), strict=False):
        late = [priced(c).objectives["energy"] / len(c.atoms) for c in told(generator, 120)[80:]]
        means[name] = np.mean(late)
    assert means["genetic"] < means["random"]
    assert means["hopping"] < means["random"]


def test_a_failed_evaluation_is_learned_from_without_harm(space: Space) -> None:
    for generator in generators(space):
        candidate = generator.ask([0])[0]
        generator.tell([Evaluation(candidate, error="atoms fused")])
        assert generator.ask([1])


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
