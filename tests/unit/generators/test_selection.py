"""Who breeds: published examples, and two published mistakes of other programs."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from htinvert.core import UserError
from htinvert.generators.population import Member, Population, by_sum
from htinvert.generators.selection import (
    Breeders,
    EpsilonMoea,
    by_front,
    distance_to_ideal,
    dominates,
    make_selection,
)

NAMES = ("weighted_sum", "nsga2", "epsilon_moea")


def member(index: int, *values: float, length: float | None = None) -> Member:
    """A dimer of its own length [Å], so that no two are alike unless it is said."""
    length = 2.0 + 0.35 * index if length is None else length
    atoms = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, length]], cell=[20, 20, 20], tags=[1, 1])
    return Member(index, atoms, float(sum(values)), values)


def filled(name: str, *rows: tuple[float, ...], size: int = 20) -> Breeders:
    breeders = make_selection(name, size, objectives=2, epsilon=0.1, seed=1)
    for index, values in enumerate(rows):
        breeders.add(member(index, *values))
    return breeders


def test_domination_looks_at_every_objective() -> None:
    """A peer's first archive compared the second objective with itself."""
    assert dominates((1.0, 1.0, 1.0), (1.0, 1.0, 2.0))
    assert not dominates((1.0, 3.0), (2.0, 2.0))
    assert not dominates((1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize("objective", [0, 1, 2])
def test_the_archive_takes_what_is_better_in_any_one_objective(objective: int) -> None:
    """The same mistake, seen from outside: each objective by itself decides."""
    first, better = [1.05, 1.05, 1.05], [1.05, 1.05, 1.05]
    better[objective] -= 0.3
    archive = EpsilonMoea(5, epsilon=0.1, seed=1)
    archive.add(member(0, *first))
    archive.add(member(1, *better))
    assert [known.index for known in archive.archive] == [1]
    archive.add(member(2, *first))
    assert [known.index for known in archive.archive] == [1]


@pytest.mark.parametrize("name", NAMES)
def test_two_parents_are_never_the_same_member(name: str) -> None:
    """A peer drew both of a tournament with replacement."""
    breeders = filled(name, (1.0, 2.0), (2.0, 1.0), size=2)
    for seed in range(50):
        mother, father = breeders.parents(2, 3, np.random.default_rng(seed))
        assert {mother.index, father.index} == {0, 1}


def test_a_tournament_of_all_is_won_by_the_best() -> None:
    """Drawn without replacement, as many rounds as members leave nobody out."""
    population = Population(6)
    for index in range(6):
        population.add(member(index, float(10 - index)))
    winners = {population.tournament(6, np.random.default_rng(s)).index for s in range(30)}
    assert winners == {5}
    drawn = [population.tournament(2, np.random.default_rng(s)).index for s in range(200)]
    assert min(drawn) == 1  # the worst never wins against another


def test_fronts_and_crowding_order_as_in_a_worked_example() -> None:
    """Five points on a line of trade-offs, and two that are dominated."""
    values = np.array([[0, 10], [1, 6], [1.5, 5.5], [5, 2], [10, 0], [6, 6], [9, 9]], dtype=float)
    order = list(by_front(values))
    assert set(order[:2]) == {0, 4}  # the ends of the front
    # Crowding of the inner ones over ranges of 10: (1.5 + 4.5) / 10, (4 + 4) / 10, (8.5 + 5.5) / 10
    assert order[2:5] == [3, 2, 1]
    assert order[5:] == [5, 6]


@pytest.mark.parametrize("count", [1, 2])
def test_a_front_of_fewer_than_three_points_falls_back_to_the_ideal_point(count: int) -> None:
    values = np.array([[0.0, 1.0], [1.0, 0.0], [0.9, 0.95], [0.8, 1.1], [4.0, 4.0]])
    if count == 1:
        values = np.vstack([[[-1.0, -1.0]], values])
    order = list(by_front(values))
    assert len(order) == len(values)
    assert order[-1] == len(values) - 1
    if count == 2:
        assert set(order[:2]) == {0, 1}
    near = distance_to_ideal(values)
    assert near[order[-2]] < near[order[-1]]


def test_one_objective_is_sorted_by_it() -> None:
    values = np.array([[3.0], [1.0], [2.0]])
    assert list(by_front(values)) == list(by_sum(values)) == [1, 2, 0]


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=30))
def test_the_best_by_front_is_dominated_by_nobody(rows: list[tuple[int, ...]]) -> None:
    values = np.array(rows, dtype=float)
    order = by_front(values)
    assert sorted(order) == list(range(len(values)))
    best = values[order[0]]
    assert not any(dominates(tuple(row), tuple(best)) for row in values)


@given(st.lists(st.tuples(*[st.floats(0, 2)] * 2), min_size=1, max_size=25))
def test_no_box_of_the_archive_dominates_another(rows: list[tuple[float, float]]) -> None:
    archive = EpsilonMoea(8, epsilon=0.25, seed=3)
    for index, values in enumerate(rows):
        archive.add(member(index, *values, length=2.0 + 0.2 * index))
    boxes = [archive.box(known) for known in archive.archive]
    assert boxes
    assert not any(dominates(a, b) for a, b in product(boxes, boxes))


def test_inside_a_box_the_nearer_to_its_corner_stays_in_units_of_epsilon() -> None:
    archive = EpsilonMoea(5, epsilon=0.1, seed=1)
    archive.add(member(0, 0.01, 0.09, length=2.5))
    archive.add(member(1, 0.05, 0.03, length=2.5))  # nearer to the corner, neither dominates
    assert [known.index for known in archive.archive] == [1]
    archive.add(member(2, 0.02, 0.08, length=2.5))
    assert [known.index for known in archive.archive] == [1]


def test_unlike_structures_share_a_box_where_neither_dominates() -> None:
    archive = EpsilonMoea(5, epsilon=0.1, seed=1)
    archive.add(member(0, 0.01, 0.09))
    archive.add(member(1, 0.05, 0.03))
    assert {known.index for known in archive.archive} == {0, 1}


@pytest.mark.parametrize("name", NAMES)
def test_one_member_stands_for_a_family(name: str) -> None:
    breeders = make_selection(name, 5, objectives=2, epsilon=0.1, seed=1)
    for index, value in enumerate((3.0, 1.0, 2.0)):
        breeders.add(member(index, value, value, length=2.5))
    assert len(breeders) == 1
    assert breeders.standing(1) == 1.0
    assert breeders.standing(0) == breeders.standing(2) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_a_selection_never_outgrows_its_size_and_keeps_the_best(name: str) -> None:
    rng = np.random.default_rng(0)
    rows = [tuple(row) for row in rng.uniform(0, 3, size=(40, 2))]
    breeders = make_selection(name, 6, objectives=2, epsilon=0.1, seed=1)
    for index, values in enumerate(rows):
        breeders.add(member(index, *values, length=2.0 + 0.15 * index))
    assert len(breeders) == 6
    best = int(np.argmin([sum(values) for values in rows]))
    if name != "nsga2":  # whose extremes may crowd it out
        assert breeders.standing(best) == 1.0


def test_an_unknown_selection_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        UserError, match="selection is spea; choose one of auto, weighted_sum, nsga2"
    ):
        make_selection("spea", 5, objectives=2, epsilon=0.1, seed=1)


def test_left_to_itself_it_is_one_archive_for_several_objectives_and_the_sum_for_one() -> None:
    several = make_selection("auto", 5, objectives=3, epsilon=0.1, seed=1)
    one = make_selection("auto", 5, objectives=1, epsilon=0.1, seed=1)
    assert isinstance(several, EpsilonMoea)
    assert isinstance(one, Population)
