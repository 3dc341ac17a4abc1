"""Guided operators put atoms where a field asks for them, within what the space allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import (
    Candidate,
    Evaluation,
    Infeasible,
    Objective,
    Region,
    Relaxation,
    Space,
    UserError,
)
from htinvert.generators.guided import Guided
from htinvert.generators.operators import composition_of, is_valid
from htinvert.generators.operators.guided import (
    OPERATORS,
    Guide,
    Look,
    guided_add,
    guided_fill,
    guided_move,
    guided_remove,
    guided_shift,
    guided_substitute,
)
from htinvert.geometry.roles import region_mask
from htinvert.structures.region import search_space

CELL = (4.0, 12.0, 20.0)  # Å; the beam is x
WIDTH = 0.7  # Å, standard deviation of a column's picture
TRUTH = [("Cu", 2.0, 8.5), ("Cu", 5.0, 11.5), ("Au", 9.0, 10.0)]  # element, y, z


def picture(atoms: Atoms, points: np.ndarray) -> np.ndarray:
    """What an instrument along x would see at points: Gaussian columns of height Z^1.7."""
    gaps = points[:, None, 1:] - atoms.positions[None, :, 1:]
    gaps[..., 0] -= CELL[1] * np.round(gaps[..., 0] / CELL[1])
    height = (atoms.numbers / 29) ** 1.7
    return (height * np.exp(-0.5 * (gaps**2).sum(axis=-1) / WIDTH**2)).sum(axis=1)


def structure(region: Sequence[tuple[str, float, float]], shift: float = 0.0) -> Atoms:
    """Two rows of host columns, and columns between them."""
    atoms = Atoms("Cu4", [[0, 0, 2], [0, 6, 2], [0, 0, 18], [0, 6, 18]], cell=CELL, pbc=True)
    atoms.positions[2:, 1] += shift
    return atoms + Atoms(
        [name for name, _, _ in region], [[1.0, y, z] for _, y, z in region], tags=[1] * len(region)
    )


def looks_at(truth: Atoms) -> Look:
    """A guide that compares any structure with ``truth``."""

    def look(atoms: Atoms) -> Guide:
        def field(points: np.ndarray) -> np.ndarray:
            return picture(truth, points) - picture(atoms, points)

        y, z = np.meshgrid(np.arange(0, 12, 0.5), np.arange(0, 20, 0.5))
        grid = np.column_stack([np.zeros(y.size), y.ravel(), z.ravel()])
        return Guide(field, 29, float(np.sqrt((field(grid) ** 2).mean())), again=look)

    return look


@pytest.fixture
def space() -> Space:
    return search_space(
        structure(TRUTH),
        region=Region("z", 6.0, 14.0, 1.0),
        composition={"Cu": (1, 3), "Au": (0, 2)},
        min_distance={frozenset(pair): 1.8 for pair in [("Cu",), ("Cu", "Au"), ("Au",)]},
    )


def marked(region: Sequence[tuple[str, float, float]], space: Space) -> Atoms:
    atoms = structure(region)
    atoms.set_constraint(space.template.constraints)
    return atoms


def nearest(atoms: Atoms, y: float, z: float) -> tuple[float, str]:
    """Distance in projection [Å] of the region's atom nearest to a column, and its element."""
    part = atoms[region_mask(atoms)]
    gaps = part.positions[:, 1:] - [y, z]
    gaps[:, 0] -= CELL[1] * np.round(gaps[:, 0] / CELL[1])
    apart = np.linalg.norm(gaps, axis=1)
    return float(apart.min()), part[int(np.argmin(apart))].symbol


def draws(count: int = 20) -> list[np.random.Generator]:
    return [np.random.default_rng([7, index]) for index in range(count)]


def test_an_atom_is_added_where_a_column_is_missing(space: Space) -> None:
    parent, look = marked(TRUTH[1:], space), looks_at(structure(TRUTH))
    children = [guided_add(parent, look, space=space, rng=rng) for rng in draws()]
    away = [nearest(child, 2.0, 8.5)[0] for child in children]
    assert max(away) < 0.5 and np.mean(away) < 0.25  # Å; the column is 0.7 Å wide
    assert all(is_valid(child, space) for child in children)


def test_the_surplus_atom_is_taken_away(space: Space) -> None:
    parent = marked([*TRUTH, ("Cu", 6.0, 8.0)], space)
    children = [
        guided_remove(parent, looks_at(structure(TRUTH)), space=space, rng=rng) for rng in draws()
    ]
    assert all(nearest(child, 6.0, 8.0)[0] > 1.0 for child in children)


def test_a_misplaced_atom_goes_to_where_one_is_missing(space: Space) -> None:
    parent = marked([("Cu", 7.0, 7.0), *TRUTH[1:]], space)
    look = looks_at(structure(TRUTH))
    right = [
        nearest(guided_move(parent, look, space=space, rng=rng), 2.0, 8.5)[0] < 0.3
        for rng in draws()
    ]
    assert np.mean(right) > 0.9  # of 20; a relocation at random: 1 in 100


def test_a_column_that_is_too_dark_becomes_the_heavier_element(space: Space) -> None:
    parent = marked([TRUTH[0], TRUTH[1], ("Cu", 9.0, 10.0)], space)
    for rng in draws():
        child = guided_substitute(parent, looks_at(structure(TRUTH)), space=space, rng=rng)
        assert nearest(child, 9.0, 10.0) == (0.0, "Au")


def test_two_columns_of_exchanged_elements_are_exchanged_back(space: Space) -> None:
    fixed = Space(space.template, space.region, {"Cu": (2, 2), "Au": (1, 1)}, space.min_distance)
    parent = marked([("Au", 2.0, 8.5), TRUTH[1], ("Cu", 9.0, 10.0)], fixed)
    for rng in draws():
        child = guided_substitute(parent, looks_at(structure(TRUTH)), space=fixed, rng=rng)
        assert nearest(child, 9.0, 10.0)[1] == "Au" and nearest(child, 2.0, 8.5)[1] == "Cu"


def test_an_empty_region_is_filled_where_columns_are(space: Space) -> None:
    look, found = looks_at(structure(TRUTH)), []
    for rng in draws(40):
        try:
            child = guided_fill(marked([], space), look, space=space, rng=rng)
        except Infeasible:
            continue
        assert is_valid(child, space)
        found.append(np.mean([nearest(child, y, z)[0] < 0.4 for _, y, z in TRUTH]))
    assert len(found) > 30
    assert np.mean(found) > 0.8  # a region filled at random has one column in ten


def test_a_shifted_grain_goes_back_to_where_the_image_has_it() -> None:
    truth = structure([])
    space = search_space(
        structure([], shift=2.5),
        region=Region("z", 6.0, 14.0, 1.0, above="rigid"),
        composition={},
        min_distance={frozenset({"Cu"}): 1.8},
    )
    atoms = space.template
    for index in range(6):
        rng = np.random.default_rng([3, index])
        atoms = guided_shift(atoms, looks_at(truth), space=space, rng=rng)
    off = (atoms.positions[2, 1] - truth.positions[2, 1] + 3.0) % 6.0 - 3.0  # Å; the row repeats
    assert abs(off) < 0.3  # Å: six times twenty draws of steps of 0.3 to 3 Å


def test_composition_and_distances_are_kept_and_draws_repeat(space: Space) -> None:
    look = looks_at(structure(TRUTH))
    parent = marked([("Cu", 7.0, 7.0), ("Cu", 3.0, 9.0), ("Au", 9.0, 12.0)], space)
    for name, (operator, _) in OPERATORS.items():
        for index in range(8):
            try:
                first, again = (
                    operator(parent, look, space=space, rng=np.random.default_rng([1, index]))
                    for _ in range(2)
                )
            except Infeasible:
                continue
            assert is_valid(first, space), name
            assert first == again, name
    assert composition_of(parent) == {"Cu": 2, "Au": 1}  # the parent is left as it is


def test_what_the_experiment_does_not_ask_for_is_infeasible_with_the_reason(space: Space) -> None:
    truth = marked(TRUTH, space)
    look, rng = looks_at(truth), np.random.default_rng(0)
    fixed = Space(space.template, space.region, {"Cu": (2, 2), "Au": (1, 1)}, space.min_distance)
    with pytest.raises(Infeasible, match="allows no more atoms"):
        guided_add(truth, look, space=fixed, rng=rng)
    with pytest.raises(Infeasible, match="allows no fewer atoms"):
        guided_remove(truth, look, space=fixed, rng=rng)
    for operator in (guided_move, guided_substitute):
        with pytest.raises(Infeasible, match="the region is empty"):
            operator(marked([], space), look, space=space, rng=rng)
    with pytest.raises(Infeasible, match="every element fits its place"):
        guided_substitute(truth, look, space=space, rng=rng)


class Pictures:
    """Stands in for the campaign's guide, which remembers nothing."""

    def __call__(self, parameters: object) -> Callable[[Atoms], Guide]:
        return looks_at(structure(TRUTH))


def evaluated(candidate: Candidate) -> Evaluation:
    cost = looks_at(structure(TRUTH))(candidate.atoms).rms
    relaxation = Relaxation(candidate.atoms, cost, True, 0)
    return Evaluation(candidate, relaxation, objectives={"energy": cost})


def test_the_generator_mends_the_best_and_a_replay_proposes_the_same(space: Space) -> None:
    objectives = (Objective("energy", 1.0),)
    first = Guided(space, objectives, 5, Pictures(), fills=3)
    told = []
    for index in range(12):
        for candidate in first.ask([index]):
            told.append(evaluated(candidate))
            first.tell(told[-1:])
    assert {e.candidate.operator for e in told} > {"guided_fill"}
    assert min(e.objectives["energy"] for e in told[3:]) <= told[0].objectives["energy"]
    again = Guided(space, objectives, 5, Pictures(), fills=3)
    again.tell(told)
    restored = Guided(space, objectives, 5, Pictures(), fills=3)
    restored.restore(first.state())
    for other in (again, restored):
        for a, b in zip(first.ask(range(31, 40)), other.ask(range(31, 40)), strict=True):
            assert a.atoms == b.atoms and a.parents == b.parents


def test_a_campaign_without_an_image_is_told_so(space: Space) -> None:
    with pytest.raises(UserError, match="has no experiment whose forward model"):
        Guided(space, (Objective("energy", 1.0),), 1, None)


def test_an_unknown_operator_is_refused_with_the_known_ones(space: Space) -> None:
    with pytest.raises(UserError, match="guided_twist is unknown to guided"):
        Guided(space, (Objective("energy", 1.0),), 1, Pictures(), operators={"guided_twist": 1.0})
