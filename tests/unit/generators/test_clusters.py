"""Free clusters: what operators keep, and what their moves mean."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st

from htinvert.config.campaign import load
from htinvert.core import Infeasible, Space
from htinvert.generators import operators
from htinvert.generators.catalog import CATALOG
from htinvert.generators.operators import bonds
from htinvert.generators.operators.cluster import vacant_place
from htinvert.generators.operators.symmetry import (
    DIAGONAL,
    closure,
    orbit,
    point_group,
    symmetric_cluster,
)
from htinvert.geometry.distances import covalent_distances
from htinvert.geometry.fingerprint import difference, fingerprint
from htinvert.geometry.roles import region_mask
from htinvert.structures.box import box

OXIDE = Space(box(14.0), None, {"O": (4, 6), "Ti": (2, 4)}, covalent_distances(["Ti", "O"]))
FITTING = sorted(name for name, operator in CATALOG.items() if operator.suits(OXIDE))


CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "clusters").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_cluster_campaign_is_valid_and_begins_from_an_empty_box(path: Path) -> None:
    assert load(path).structure["use"] == "box"


def copper(number: int) -> Space:
    return Space(box(30.0), None, {"Cu": (number, number)}, covalent_distances(["Cu"]))


def as_region(atoms: Atoms) -> Atoms:
    """All atoms free, in the middle of a box of 30 Å."""
    free = Atoms(atoms.symbols, atoms.positions, cell=[30.0] * 3)
    free.center()
    free.set_tags(1)
    return free


OCTAHEDRON = as_region(Octahedron("Cu", 4, cutoff=1))  # 38 atoms, the truncated octahedron


@pytest.mark.parametrize("name", FITTING)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_child_of_every_operator_is_legal_and_repeatable(name: str, seed: int) -> None:
    made = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        parents = [operators.random_structure(OXIDE, rng=rng) for _ in range(CATALOG[name].parents)]
        before = [parent.positions.copy() for parent in parents]
        try:
            made.append(CATALOG[name].apply(*parents, space=OXIDE, rng=rng))
        except Infeasible:
            return
        for parent, positions in zip(parents, before, strict=True):
            np.testing.assert_array_equal(parent.positions, positions)
    assert operators.objection(made[0], OXIDE) == ""
    assert region_mask(made[0]).all() and not made[0].pbc.any()
    np.testing.assert_array_equal(made[0].positions, made[1].positions)
    np.testing.assert_array_equal(made[0].numbers, made[1].numbers)


@pytest.mark.parametrize("number", [13, 38])
def test_random_clusters_are_compact_and_in_the_middle_of_their_box(number: int) -> None:
    """A cluster in close packing has the radius of a ball of its volume, d^3/sqrt 2 per atom."""
    space = copper(number)
    radius = (0.75 * number * 2.64**3 / np.sqrt(2.0) / np.pi) ** (1 / 3)
    for seed in range(5):
        atoms = operators.random_structure(space, rng=np.random.default_rng(seed))
        assert np.abs(atoms.positions.max(axis=0) + atoms.positions.min(axis=0) - 30.0).max() < 1e-9
        assert 1.0 * radius < atoms.get_all_distances().max() < 2.4 * radius


def test_point_groups_are_groups_and_their_clusters_have_them() -> None:
    space = copper(24)
    for seed in range(8):
        group = point_group(np.random.default_rng(seed))
        products = np.einsum("aij,bjk->abik", group, group).reshape(-1, 3, 3)
        apart = np.abs(products[:, None] - group).max(axis=(2, 3)).min(axis=1)
        assert apart.max() < 1e-6
    cubic = closure([DIAGONAL, np.diag([-1.0, -1.0, 1.0])])
    assert len(cubic) == 12  # the rotations of a tetrahedron
    assert [len(orbit(np.array(p), cubic, 1.0)) for p in ([3.0, 0, 0], [2, 2, 2.1], [3, 2, 1])] == [
        6, 4, 12,
    ]  # fmt: skip
    atoms = symmetric_cluster({"Cu": 24}, space=space, rng=np.random.default_rng(5))
    assert len(atoms) == 24


def test_a_cluster_must_fit_into_its_box() -> None:
    space = copper(2)
    pair = Atoms("Cu2", [[0, 0, 0], [0, 0, 31.0]], cell=[30.0] * 3, tags=[1, 1])
    assert operators.objection(pair, space) == "the window"


def test_the_atoms_of_least_coordination_are_the_worst_held() -> None:
    """In the truncated octahedron every corner has six neighbors; an adatom on (111) has three."""
    place = vacant_place(OCTAHEDRON, "Cu", np.random.default_rng(0))
    more = OCTAHEDRON + Atoms("Cu", [place], tags=[1])
    assert int(np.argmax(bonds.bond_energies(more))) == 38
    near = np.linalg.norm(OCTAHEDRON.positions - place, axis=1)
    assert (np.abs(near - 2.55) < 0.25).sum() in (3, 4)  # Å: a hollow of a facet


def test_an_adatom_on_a_broken_octahedron_goes_back_to_the_vacancy() -> None:
    rng = np.random.default_rng(0)
    corner = int(np.argmax(np.linalg.norm(OCTAHEDRON.positions - 15.0, axis=1)))
    broken = OCTAHEDRON[np.arange(38) != corner]
    broken += Atoms("Cu", [vacant_place(OCTAHEDRON, "Cu", rng)], tags=[1])
    whole = fingerprint(OCTAHEDRON)
    healed = 0
    for seed in range(10):
        child = operators.relocate_surface(
            broken, space=copper(38), rng=np.random.default_rng(seed), share=0.0
        )
        healed += difference(fingerprint(child), whole) < 5e-3
    assert healed >= 3


def test_a_twist_keeps_each_half_as_it_is() -> None:
    child = operators.twist(OCTAHEDRON, space=copper(38), rng=np.random.default_rng(4))
    before, after = OCTAHEDRON.get_all_distances(), child.get_all_distances()
    kept = np.isclose(before, after, atol=1e-6).sum(axis=1)
    assert np.median(kept) >= 12  # the atoms of one's own half, less those pushed at the cut
    assert kept.max() < 38


def test_a_mirrored_cluster_has_a_mirror_plane() -> None:
    """The inertia of both halves about the plane is equal, so their difference vanishes."""
    space = copper(12)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        child = operators.mirror(operators.random_structure(space, rng=rng), space=space, rng=rng)
        apart = np.sort(child.get_all_distances(), axis=1)
        matched = [np.abs(apart - row).max(axis=1) for row in apart]
        twins = sum(np.sort(row)[1] < 1e-6 for row in matched)
        if twins == 12:
            return
    pytest.fail("no child of six was its own mirror image")


def test_strain_keeps_the_volume_and_is_for_free_clusters_only() -> None:
    child = operators.strain(OCTAHEDRON, space=copper(38), rng=np.random.default_rng(0))
    boxes = [a.positions - a.positions.mean(axis=0) for a in (OCTAHEDRON, child)]
    matrix = np.linalg.lstsq(*boxes, rcond=None)[0]
    assert np.linalg.det(matrix) == pytest.approx(1.0, abs=1e-6)
    assert not np.allclose(matrix, np.eye(3), atol=0.01)


def test_the_softest_modes_of_a_bent_chain_bend_and_do_not_stretch() -> None:
    chain = as_region(Atoms("Cu3", [[0, 0, 0], [2.5, 0.4, 0], [5.0, 0, 0]]))
    modes = bonds.soft_modes(chain, np.arange(3))
    assert len(modes) == 3  # 9 less 3 translations and 3 rotations
    assert np.abs(modes[:, :, 2]).max() < 1e-6  # within the plane of the chain
    ends = chain.positions[2] - chain.positions[0]
    stretch = [abs((mode[2] - mode[0]) @ ends) for mode in modes]
    assert np.linalg.norm(modes[0][1]) > 0.5 and stretch[-1] >= 0.0


def test_orderings_of_one_vacancy_in_a_square_are_all_equivalent() -> None:
    """Four corners, three atoms of one kind: one way, and of two kinds on four corners, two."""
    square = as_region(Atoms("Cu4", [[0, 0, 0], [2.6, 0, 0], [2.6, 2.6, 0], [0, 2.6, 0]]))
    distances = covalent_distances(["Cu", "Ni"])
    vacancy = Space(box(30.0), None, {"Cu": (3, 3)}, distances)
    assert len(list(operators.orderings(square, space=vacancy))) == 1
    alloy = Space(box(30.0), None, {"Cu": (2, 2), "Ni": (2, 2)}, distances)
    assert len(list(operators.orderings(square, space=alloy))) == 2  # side by side, across
    free = Space(box(30.0), None, {"Cu": (0, 4), "Ni": (0, 4)}, distances)
    full = [a for a in operators.orderings(square, space=free) if len(a) == 4]
    assert len(full) == 5  # necklaces of four beads in two colors are six; one is the parent


def test_transmutation_keeps_the_sites() -> None:
    square = as_region(Atoms("Cu4", [[0, 0, 0], [2.6, 0, 0], [2.6, 2.6, 0], [0, 2.6, 0]]))
    space = Space(box(30.0), None, {"Cu": (0, 4), "Ni": (0, 4)}, covalent_distances(["Cu", "Ni"]))
    child = operators.transmute(square, space=space, rng=np.random.default_rng(0))
    assert child.get_chemical_formula() == "Cu3Ni"
    np.testing.assert_allclose(child.get_all_distances(), square.get_all_distances(), atol=1e-9)
