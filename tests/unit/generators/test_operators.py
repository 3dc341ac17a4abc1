"""Operators keep the host, the window, the composition and the closest distances."""

from copy import deepcopy

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.distance import cdist

from htinvert.core import Infeasible, Objective, Region, Space, UserError
from htinvert.generators import operators
from htinvert.generators.basin_hopping import BasinHopping
from htinvert.generators.catalog import CATALOG
from htinvert.generators.genetic import Genetic
from htinvert.geometry.distances import clashes, covalent_distances
from htinvert.geometry.fingerprint import difference, fingerprint
from htinvert.geometry.roles import (
    frozen_mask,
    motion,
    region_mask,
    rigid_bodies,
    rigid_mask,
    roles,
)
from htinvert.structures.region import search_space


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def rigid(space: Space) -> Space:
    """The same with vacuum at the cell's ends and the upper slab a rigid grain."""
    return grains(space, composition={"Cd": (1, 4), "Te": (1, 4)})


def grains(space: Space, *, composition: dict[str, tuple[int, int]], move: str = "xyz") -> Space:
    crystal = operators.host_of(space.template)
    crystal.cell[2, 2] += 8.0
    return search_space(
        crystal,
        region=Region("z", 8.0, 13.0, 2.0, above="rigid", move=move),
        composition=composition,
        min_distance=space.min_distance,
    )


Parents = tuple[Atoms, Atoms, np.random.Generator]
PARENTS: dict[int, tuple[Space, list[Parents]]] = {}
CHILDREN: dict[tuple[int, str], list[Atoms]] = {}


def parents(space: Space) -> list[Parents]:
    """Pairs made once for each space, and the random stream as they leave it."""
    if id(space) not in PARENTS:
        streams = [np.random.default_rng(seed) for seed in range(8)]
        pairs = [[operators.random_structure(space, rng=rng) for _ in "ab"] for rng in streams]
        made = [(*pair, rng) for pair, rng in zip(pairs, streams, strict=True)]
        PARENTS[id(space)] = (space, made)
    return PARENTS[id(space)][1]


def children(space: Space, name: str) -> list[Atoms]:
    made = []
    for seed, (mother, father, rng) in enumerate(deepcopy(parents(space))):
        try:
            if name == "random_structure":  # anew, not what was made for all tests
                rng = np.random.default_rng(seed)
                made.append(operators.random_structure(space, rng=rng))
            elif name == "cut_and_splice":
                made.append(operators.cut_and_splice(mother, father, space=space, rng=rng))
            else:
                made.append(getattr(operators, name)(mother, space=space, rng=rng))
        except Infeasible:
            continue
    return made


def first_children(space: Space, name: str) -> list[Atoms]:
    """What :func:`children` made when it was asked first."""
    key = id(space), name  # parents() keeps the space alive
    if key not in CHILDREN:
        CHILDREN[key] = children(space, name)
    return CHILDREN[key]


NAMES = (
    "random_structure",
    "cut_and_splice",
    "rattle",
    "slide",
    "permute",
    "relocate",
    "add",
    "remove",
    "add_or_remove",
    "transmute",
    "reorder",
    "mirror",
    "soft_mutation",
    "change_density",
)


@pytest.mark.parametrize("name", NAMES)
def test_every_child_is_valid_and_keeps_the_host(space: Space, name: str) -> None:
    made = first_children(space, name)
    assert len(made) >= 6
    host = space.template.positions
    for child in made:
        assert operators.is_valid(child, space)
        assert not clashes(child, region_mask(child), space.min_distance)
        np.testing.assert_array_equal(child.positions[~region_mask(child)], host)
        assert frozen_mask(child).sum() == frozen_mask(space.template).sum()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_random_stream_makes_the_same_child(space: Space, name: str) -> None:
    for first, second in zip(first_children(space, name), children(space, name), strict=True):
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
        places, ours, theirs = (a.positions[region_mask(a)] for a in (child, mother, father))
        near = [cdist(places, parent).min() < 0.5 for parent in (ours, theirs)]  # Å: pushed a bit
        both += all(near)
    assert both >= 15


def test_a_fixed_composition_leaves_nothing_to_add_or_remove(space: Space) -> None:
    fixed = Space(space.template, space.region, {"Te": (2, 2)}, space.min_distance)
    rng = np.random.default_rng(0)
    atoms = operators.random_structure(fixed, rng=rng)
    with pytest.raises(Infeasible, match="composition is fixed"):
        operators.add_or_remove(atoms, space=fixed, rng=rng)


def test_a_region_without_room_is_infeasible(space: Space) -> None:
    full = Space(space.template, space.region, {"Te": (60, 60)}, space.min_distance)
    with pytest.raises(Infeasible, match="no room for its atoms: .*blocked by min_distance"):
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


@pytest.mark.parametrize("name", [*NAMES, "shift_grain"])
def test_every_child_keeps_every_role_and_the_grain_in_one_piece(rigid: Space, name: str) -> None:
    made = children(rigid, name)
    assert len(made) >= 6
    host = operators.host_of(rigid.template)
    for child in made:
        assert operators.is_valid(child, rigid)
        rest = operators.host_of(child)
        assert motion(rest).tolist() == motion(host).tolist()
        assert roles(child)[len(rest) :] == ["free"] * (len(child) - len(rest))
        moved = rest.positions - host.positions
        np.testing.assert_array_equal(moved[frozen_mask(rest)], 0.0)
        assert np.ptp(moved[rigid_mask(rest)], axis=0).max() < 1e-12  # Å


def test_a_shift_moves_the_grain_with_its_own_host_and_nobody_else(rigid: Space) -> None:
    mother = operators.random_structure(rigid, rng=np.random.default_rng(0))
    child = operators.shift_grain(mother, space=rigid, rng=np.random.default_rng(1))
    moved = child.positions - mother.positions
    above = ~region_mask(mother) & (mother.positions[:, 2] > 10.5)
    assert above.sum() > rigid_mask(mother).sum()
    assert np.ptp(moved[above], axis=0).max() < 1e-12
    assert np.linalg.norm(moved[above][0]) > 0.1  # Å
    assert abs(moved[above][0, 2]) <= 0.25 * operators.GRAIN_SHIFT
    np.testing.assert_array_equal(moved[~above], 0.0)


@pytest.mark.parametrize("move", ["xy", "z", "x"])
def test_a_shift_goes_only_where_the_grain_may(space: Space, move: str) -> None:
    free = grains(space, composition={"Te": (1, 2)}, move=move)
    mother = operators.random_structure(free, rng=np.random.default_rng(0))
    child = operators.shift_grain(mother, space=free, rng=np.random.default_rng(2))
    moved = (child.positions - mother.positions)[rigid_mask(mother)][0]
    assert "".join(axis for axis, shift in zip("xyz", moved, strict=True) if shift) == move


def test_a_child_of_two_has_the_grain_where_its_mother_has_it(rigid: Space) -> None:
    rng = np.random.default_rng(4)
    mother, father = (operators.random_structure(rigid, rng=rng) for _ in range(2))
    for parent, shift in ((mother, 0.3), (father, -0.4)):
        parent.positions[rigid_mask(parent)] += shift
    child = operators.cut_and_splice(mother, father, space=rigid, rng=rng)
    grain, hers = child[rigid_mask(child)], mother[rigid_mask(mother)]
    np.testing.assert_array_equal(grain.positions, hers.positions)
    assert len(rigid_bodies(child)) == 1


def test_random_structures_try_places_for_the_grain(rigid: Space) -> None:
    start = rigid.template.positions[rigid_mask(rigid.template)][0]
    made = children(rigid, "random_structure")
    shifts = [np.linalg.norm(a.positions[rigid_mask(a)][0] - start) for a in made]
    assert min(shifts) == 0.0
    assert max(shifts) > 0.3  # Å


def test_a_shift_of_the_grain_is_no_duplicate(rigid: Space) -> None:
    mother = operators.random_structure(rigid, rng=np.random.default_rng(0))
    child = operators.shift_grain(mother, space=rigid, rng=np.random.default_rng(1))
    assert difference(fingerprint(mother), fingerprint(child)) > 5e-4  # the campaign's threshold


def test_shifts_alone_can_be_searched(space: Space) -> None:
    """No atom is free: what differs between two structures is the place of the grain only."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 4))
    crystal.cell[2, 2] += 8.0
    alone = search_space(
        crystal,
        region=Region("z", 11.5, 12.8, 2.0, above="rigid"),
        composition={},
        min_distance=space.min_distance,
    )
    assert not region_mask(alone.template).any()
    mother = operators.random_structure(alone, rng=np.random.default_rng(0))
    child = operators.shift_grain(mother, space=alone, rng=np.random.default_rng(3))
    assert difference(fingerprint(mother), fingerprint(child)) > 5e-4
    for name in ("rattle", "slide", "permute", "relocate"):
        with pytest.raises(Infeasible):
            getattr(operators, name)(mother, space=alone, rng=np.random.default_rng(0))
    with pytest.raises(Infeasible, match="regions of both parents are empty"):
        operators.cut_and_splice(mother, child, space=alone, rng=np.random.default_rng(0))


def test_without_a_rigid_grain_none_shifts(space: Space) -> None:
    atoms = operators.random_structure(space, rng=np.random.default_rng(0))
    with pytest.raises(Infeasible, match="no grain is rigid"):
        operators.shift_grain(atoms, space=space, rng=np.random.default_rng(0))


def test_the_generators_shift_grains_only_where_one_is_rigid(space: Space, rigid: Space) -> None:
    objectives = (Objective("energy", 1.0),)
    with pytest.raises(UserError, match="for shift_grain make a grain rigid"):
        Genetic(space, objectives, 1, operators={"shift_grain": 1.0})
    Genetic(rigid, objectives, 1, operators={"shift_grain": 1.0})
    mother = operators.random_structure(rigid, rng=np.random.default_rng(0))
    assert CATALOG["shift_grain"].apply(mother, space=rigid, rng=np.random.default_rng(0)) != mother
    BasinHopping(rigid, objectives, 1, moves={"shift_grain": 1.0})
    with pytest.raises(UserError, match="basin_hopping has no move to use"):
        BasinHopping(space, objectives, 1, moves={"shift_grain": 1.0})
    with pytest.raises(UserError, match="move cut_and_splice is unknown"):
        BasinHopping(space, objectives, 1, moves={"cut_and_splice": 1.0})


def test_a_box_holds_what_is_put_into_it(space: Space) -> None:
    crystal = operators.host_of(space.template).repeat((2, 2, 1))
    box = Region("z", 8.0, 13.0, 2.0, box={"x": (-3.0, 3.0), "y": (4.0, 9.0)})
    small = search_space(
        crystal, region=box, composition={"Te": (2, 3)}, min_distance=space.min_distance
    )
    for seed in range(6):
        rng = np.random.default_rng(seed)
        mother = operators.random_structure(small, rng=rng)
        father = operators.random_structure(small, rng=rng)
        child = operators.cut_and_splice(mother, father, space=small, rng=rng)
        for atoms in (mother, child):
            x, y, _ = atoms.positions[region_mask(atoms)].T
            assert (np.abs(x) <= 3.0).all() and ((y >= 4.0) & (y <= 9.0)).all()
