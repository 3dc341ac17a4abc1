"""Operators keep the host, the window, the composition and the closest distances."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import Infeasible, Region, Space, frozen_mask, region_mask
from htinvert.generators import operators
from htinvert.geometry import clashes, covalent_distances
from htinvert.structures.region import search_space


@pytest.fixture
def space() -> Space:
    """Two slabs of zinc-blende CdTe with a gap of 5 Å between them that holds Cd and Te."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
    gap = (crystal.positions[:, 2] > 8.0) & (crystal.positions[:, 2] < 13.0)
    return search_space(
        crystal[~gap],
        region=Region("z", 8.0, 13.0, 2.0),
        composition={"Cd": (1, 4), "Te": (1, 4)},
        min_distance=covalent_distances(["Cd", "Te"], ratio=0.7),
    )


def children(space: Space, name: str) -> list[Atoms]:
    made = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        mother = operators.random_structure(space, rng=rng)
        father = operators.random_structure(space, rng=rng)
        try:
            if name == "random_structure":
                made.append(mother)
            elif name == "cut_and_splice":
                made.append(operators.cut_and_splice(mother, father, space=space, rng=rng))
            else:
                made.append(getattr(operators, name)(mother, space=space, rng=rng))
        except Infeasible:
            continue
    return made


NAMES = (
    "random_structure",
    "cut_and_splice",
    "rattle",
    "slide",
    "permute",
    "relocate",
    "add_or_remove",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_child_is_valid_and_keeps_the_host(space: Space, name: str) -> None:
    made = children(space, name)
    assert len(made) >= 6
    host = space.template.positions
    for child in made:
        assert operators.is_valid(child, space)
        assert not clashes(child, region_mask(child), space.min_distance)
        np.testing.assert_array_equal(child.positions[~region_mask(child)], host)
        assert frozen_mask(child).sum() == frozen_mask(space.template).sum()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_random_stream_makes_the_same_child(space: Space, name: str) -> None:
    for first, second in zip(children(space, name), children(space, name), strict=True):
        np.testing.assert_array_equal(first.positions, second.positions)
        np.testing.assert_array_equal(first.numbers, second.numbers)


def test_permutation_exchanges_elements_and_moves_nobody_else(space: Space) -> None:
    rng = np.random.default_rng(3)
    mother = operators.random_structure(space, rng=rng)
    child = operators.permute(mother, space=space, rng=rng)
    moved = np.flatnonzero((child.positions != mother.positions).any(axis=1))
    assert len(moved) == 2
    assert set(child.symbols[moved]) == {"Cd", "Te"}


def test_a_slide_keeps_the_distances_inside_the_region(space: Space) -> None:
    rng = np.random.default_rng(5)
    mother = operators.random_structure(space, rng=rng)
    child = operators.slide(mother, space=space, rng=rng)
    mask = region_mask(mother)
    np.testing.assert_allclose(
        child[mask].get_all_distances(mic=True), mother[mask].get_all_distances(mic=True), atol=1e-9
    )
    assert not np.allclose(child.positions[mask], mother.positions[mask])


def test_add_or_remove_changes_the_number_of_atoms_by_one(space: Space) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        mother = operators.random_structure(space, rng=rng)
        child = operators.add_or_remove(mother, space=space, rng=rng)
        assert abs(len(child) - len(mother)) == 1


def test_cut_and_splice_takes_atoms_from_both_parents(space: Space) -> None:
    both = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mother = operators.random_structure(space, rng=rng)
        father = operators.random_structure(space, rng=rng)
        child = operators.cut_and_splice(mother, father, space=space, rng=rng)
        places = {tuple(p) for p in child.positions[region_mask(child)]}
        ours = {tuple(p) for p in mother.positions[region_mask(mother)]}
        theirs = {tuple(p) for p in father.positions[region_mask(father)]}
        both += bool(places & ours) and bool(places & theirs)
    assert both >= 15


def test_a_fixed_composition_leaves_nothing_to_add_or_remove(space: Space) -> None:
    fixed = Space(space.template, space.region, {"Te": (2, 2)}, space.min_distance)
    rng = np.random.default_rng(0)
    atoms = operators.random_structure(fixed, rng=rng)
    with pytest.raises(Infeasible, match="composition is fixed"):
        operators.add_or_remove(atoms, space=fixed, rng=rng)


def test_a_region_without_room_is_infeasible(space: Space) -> None:
    full = Space(space.template, space.region, {"Te": (60, 60)}, space.min_distance)
    with pytest.raises(Infeasible, match="no room"):
        operators.random_structure(full, rng=np.random.default_rng(0))


def test_a_free_cluster_is_cut_by_a_plane() -> None:
    cluster = Atoms("Cu6", positions=np.random.default_rng(0).normal(scale=3, size=(6, 3)))
    cluster.center(vacuum=4)
    free = search_space(cluster, region=None, composition={}, min_distance={frozenset({"Cu"}): 1.0})
    rng = np.random.default_rng(1)
    mother = operators.random_structure(free, rng=rng)
    father = operators.random_structure(free, rng=rng)
    child = operators.cut_and_splice(mother, father, space=free, rng=rng)
    assert child.get_chemical_formula() == "Cu6"
