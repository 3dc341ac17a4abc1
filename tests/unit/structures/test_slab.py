"""Surfaces as surface science knows them: terminations, areas, compositions, coordination."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc111, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

from htinvert.core import HOST_TAG, UserError
from htinvert.geometry.fingerprint import fingerprint
from htinvert.geometry.roles import frozen_mask, region_mask
from htinvert.structures.prototype import prototype
from htinvert.structures.sanity import coordination_of
from htinvert.structures.slab import slab, terminations
from htinvert.structures.symmetry import operations

COPPER = prototype("Cu", crystal="fcc", a=3.61)
SILICON = prototype("Si", crystal="diamond", a=5.431)
CUPRITE = prototype("Cu2O", crystal="cuprite", a=4.27)
RUTILE = prototype("TiO2", crystal="rutile", a=4.594, c=2.959)
CDTE = prototype("CdTe", crystal="zincblende", a=6.48)
PEROVSKITE = prototype("SrTiO3", crystal="perovskite", a=3.905)


def has_equal_faces(atoms: Atoms) -> bool:
    """Whether an operation of the slab turns it upside down."""
    plain = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)
    return bool((operations(plain)[0][:, 2, 2] == -1).any())


def test_copper_111_has_one_termination_and_nine_neighbors() -> None:
    (only,) = terminations(COPPER, miller=(1, 1, 1))
    assert only.gap == pytest.approx(3.61 / math.sqrt(3))
    assert only.broken == 3  # of twelve neighbors
    surface = slab(COPPER, miller=(1, 1, 1), layers=5)
    assert coordination_of(surface).tolist() == [9, 12, 12, 12, 9]
    assert surface.cell.lengths()[:2] == pytest.approx([3.61 / math.sqrt(2)] * 2)


def test_copper_111_is_the_slab_that_ase_builds() -> None:
    ours = slab(COPPER, miller=(1, 1, 1), layers=4, vacuum=10.0, repeat=(2, 2))
    theirs = fcc111("Cu", (2, 2, 4), a=3.61, vacuum=5.0)
    theirs.pbc = True
    theirs.set_tags(1)  # ASE numbers its layers there
    assert len(ours) == len(theirs)
    assert ours.cell.volume == pytest.approx(theirs.cell.volume)
    np.testing.assert_allclose(fingerprint(ours), fingerprint(theirs), atol=1e-9)


def test_cu2o_111_is_the_stoichiometric_surface_with_one_unsaturated_copper() -> None:
    """Three trilayers O-Cu4-O: 6.039 Å at 120 degrees, one Cu per face that lost its upper O.

    Soon et al., Phys. Rev. B 75, 125420 (2007), the surface called Cu2O(111):O.
    """
    first, *others = terminations(CUPRITE, miller=(1, 1, 1))
    assert (first.plane, first.below, first.symmetric) == ("O", "Cu4", True)
    assert sorted((t.plane, t.below) for t in others) == [("Cu4", "O"), ("O", "O")]
    surface = slab(CUPRITE, miller=(1, 1, 1), layers=3)
    assert surface.symbols.formula.count() == {"Cu": 12, "O": 6}
    assert surface.cell.cellpar()[[0, 1, 5]] == pytest.approx([6.039, 6.039, 120.0], abs=1e-3)
    copper = surface.symbols == "Cu"
    unsaturated = np.flatnonzero(copper & (coordination_of(surface) == 1))
    assert len(unsaturated) == 2
    heights = surface.positions[unsaturated, 2] - surface.positions[:, 2].mean()
    assert heights[0] == pytest.approx(-heights[1])
    assert has_equal_faces(surface)


def test_rutile_110_ends_in_bridging_oxygen_and_fivefold_titanium() -> None:
    """Diebold, Surf. Sci. Rep. 48, 53 (2003): area 6.497 x 2.959 Å, O-Ti2O2-O trilayers."""
    first = terminations(RUTILE, miller=(1, 1, 0))[0]
    assert (first.plane, first.below, first.symmetric) == ("O", "Ti2O2", True)
    assert first.area == pytest.approx(6.497 * 2.959, abs=1e-2)
    surface = slab(RUTILE, miller=(1, 1, 0), layers=4)
    assert surface.get_chemical_formula(mode="metal") == "Ti8O16"
    counts = coordination_of(surface)
    assert sorted(counts[surface.symbols == "Ti"].tolist()) == [5, 5, 6, 6, 6, 6, 6, 6]
    assert sorted(counts[surface.symbols == "O"].tolist()) == [2, 2, *[3] * 14]


def test_corundum_0001_ends_in_a_single_layer_of_aluminum() -> None:
    """The clean surface, equal on both sides: Renaud, Surf. Sci. Rep. 32, 5 (1998)."""
    corundum = prototype("Al2O3", crystal="corundum", a=4.759, c=12.991)
    first, *others = terminations(corundum, miller=(0, 0, 1))
    assert (first.plane, first.below, first.symmetric) == ("Al", "O3", True)
    assert sorted((t.plane, t.below) for t in others) == [("Al", "Al"), ("O3", "Al")]


def test_silicon_100_has_one_termination_with_two_dangling_bonds_per_atom() -> None:
    (only,) = terminations(SILICON, miller=(1, 0, 0))
    assert only.area == pytest.approx(5.431**2 / 2)
    surface = slab(SILICON, miller=(0, 0, 1), layers=3)
    assert coordination_of(surface).tolist() == [2, 4, 4, 4, 4, 2]


def test_silicon_111_is_cut_in_the_shuffle_set_first_and_in_the_glide_set_second() -> None:
    shuffle, glide = terminations(SILICON, miller=(1, 1, 1))
    assert (shuffle.broken, glide.broken) == (1, 3)
    assert shuffle.gap == pytest.approx(3 * glide.gap)


def test_opposite_faces_of_a_polar_crystal_differ() -> None:
    """(111) of zinc blende ends in the cation, (-1 -1 -1) in the anion, three bonds kept."""
    assert terminations(CDTE, miller=(1, 1, 1))[0].plane == "Cd"
    assert terminations(CDTE, miller=(-1, -1, -1))[0].plane == "Te"
    with pytest.raises(UserError, match="no operation that exchanges its two faces"):
        slab(CDTE, miller=(1, 1, 1), layers=3, symmetric=True)


@pytest.mark.parametrize(("termination", "formula"), [(0, "Sr3Ti2O7"), (1, "Sr2Ti3O8")])
def test_a_symmetric_slab_leaves_planes_out(termination: int, formula: str) -> None:
    whole = slab(PEROVSKITE, miller=(0, 0, 1), layers=3, termination=termination)
    equal = slab(PEROVSKITE, miller=(0, 0, 1), layers=3, termination=termination, symmetric=True)
    assert whole.get_chemical_formula(mode="metal") == "Sr3Ti3O9"
    assert equal.get_chemical_formula(mode="metal") == formula
    assert has_equal_faces(equal) and not has_equal_faces(whole)


@pytest.mark.parametrize(
    ("phase", "miller"),
    [(COPPER, (3, 2, 1)), (CUPRITE, (1, 1, 0)), (RUTILE, (1, 0, 1)), (CDTE, (1, 1, 0))],
)
def test_what_a_termination_promises_of_its_faces_is_so(phase: Atoms, miller: tuple) -> None:
    for index, termination in enumerate(terminations(phase, miller=miller)):
        whole = slab(phase, miller=miller, layers=3, termination=index)
        assert has_equal_faces(whole) is termination.symmetric
        assert np.linalg.det(whole.cell) > 0
        if termination.can_be_symmetric:
            equal = slab(phase, miller=miller, layers=3, termination=index, symmetric=True)
            assert has_equal_faces(equal)


def test_the_bottom_is_host_and_frozen_the_rest_is_region() -> None:
    surface = slab(CUPRITE, miller=(1, 1, 1), layers=3, fixed=1)
    frozen = frozen_mask(surface)
    np.testing.assert_array_equal(frozen, ~region_mask(surface))
    assert surface[frozen].get_chemical_formula() == "Cu4O2"
    assert surface.positions[frozen, 2].max() < surface.positions[~frozen, 2].min()
    assert set(surface.get_tags()[frozen]) == {HOST_TAG}


def test_vacuum_and_thickness_are_what_is_asked_for() -> None:
    surface = slab(COPPER, miller=(1, 0, 0), thickness=9.0, vacuum=12.0)
    height = np.ptp(surface.positions[:, 2])
    assert len(surface) == 5  # 1.805 Å each
    assert surface.cell[2, 2] - height == pytest.approx(12.0)
    assert surface.positions[:, 2].min() == pytest.approx(6.0)


def test_a_repeated_slab_has_the_same_surface() -> None:
    small = slab(RUTILE, miller=(1, 1, 0), layers=2)
    large = slab(RUTILE, miller=(1, 1, 0), layers=2, repeat=(3, 2))
    assert len(large) == 6 * len(small)
    assert sorted(coordination_of(large)) == sorted(np.tile(coordination_of(small), 6))


@pytest.fixture(scope="module")
def expected() -> Atoms:
    return slab(CUPRITE, miller=(1, 1, 1), layers=2, termination=1)


@settings(max_examples=16)
@given(seed=st.integers(0, 2**32 - 1), cell=st.sampled_from(["cubic", "skewed", "doubled"]))
def test_no_description_of_the_crystal_changes_the_slab(
    expected: Atoms, seed: int, cell: str
) -> None:
    """Other cells of the lattice, relabeled atoms, moves by 1e-9 Å and a rigid shift and turn."""
    rng = np.random.default_rng(seed)
    matrix = {
        "cubic": np.eye(3),
        "skewed": [[1, 1, 0], [0, 1, 2], [0, 0, 1]],
        "doubled": [[1, 1, 0], [-1, 1, 0], [0, 0, 1]],
    }[cell]
    other = make_supercell(CUPRITE, matrix)[rng.permutation(6 * round(np.linalg.det(matrix)))]
    other.translate(rng.uniform(-3, 3, 3))
    other.positions += rng.normal(0.0, 1e-9, other.positions.shape)
    other.wrap()
    other.rotate(40.0, rng.normal(size=3), rotate_cell=True)
    found = slab(other, miller=(1, 1, 1), layers=2, termination=1)
    assert found.get_chemical_symbols() == expected.get_chemical_symbols()
    np.testing.assert_allclose(found.cell.cellpar(), expected.cell.cellpar(), atol=1e-5)
    np.testing.assert_allclose(fingerprint(found), fingerprint(expected), atol=1e-5)


def test_a_termination_says_what_it_is() -> None:
    said = str(terminations(CUPRITE, miller=(1, 1, 1))[0])
    assert said == (
        "outermost O over Cu4, cut in a gap of 1.23 Å, breaks 2 bonds per 31.6 Å²; "
        "whole layers have equal faces"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"miller": (0, 0, 0)}, r"\(0 0 0\) name no plane that can be cut"),
        ({"miller": (1, 1, 99)}, "three integers, not all 0, up to 20"),
        ({"termination": 4}, r"termination 4 does not exist; the surface \(1 1 1\) has 3: 0: O"),
        ({"layers": 0}, "has no layers; give a positive number"),
        ({"layers": None}, "needs layers or thickness"),
        ({"thickness": 9.0}, "needs layers or thickness"),
        ({"fixed": 3}, "fixed is 3 of 3 layers; leave at least one free"),
        ({"vacuum": 0.0}, "vacuum is 0.0 Å; give a positive height"),
        ({"repeat": (0, 1)}, r"repeat is \[0, 1\]; give two numbers"),
        ({"repeat": (100, 100)}, "would have 180000 atoms, more than 100000; lower layers"),
    ],
)
def test_an_impossible_slab_gets_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        slab(CUPRITE, **({"miller": (1, 1, 1), "layers": 3} | options))
