"""Vacancies, substitutions, adatoms and nudges: each inequivalent one, once."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc111
from ase.neighborlist import neighbor_list

from htinvert.core import REGION_TAG, UserError
from htinvert.geometry.roles import frozen_mask
from htinvert.structures.prototype import prototype
from htinvert.structures.sanity import coordination_of
from htinvert.structures.slab import slab
from htinvert.structures.symmetry import permutations
from htinvert.structures.variants import adatoms, nudges, substitutions, vacancies

COPPER = prototype("Cu", crystal="fcc", a=3.61)
SILICON = prototype("Si", crystal="diamond", a=5.431, cubic=True, repeat=(2, 2, 2))
CUPRITE = slab(prototype("Cu2O", crystal="cuprite", a=4.27), miller=(1, 1, 1), layers=3)


def neighbors_below(atoms: Atoms, reach: float = 3.0) -> int:
    """How many atoms lie within ``reach`` [Å] of the last one."""
    first, _ = neighbor_list("ij", atoms, reach)
    return int((first == len(atoms) - 1).sum())


@pytest.mark.parametrize("repeat", [(1, 1), (3, 3)])
def test_fcc_111_has_top_bridge_and_two_hollows(repeat: tuple[int, int]) -> None:
    """The four sites of every textbook; of the hollows one has an atom in the second layer."""
    surface = slab(COPPER, miller=(1, 1, 1), layers=4, fixed=2, repeat=repeat)
    found = adatoms(surface, element="O", height=1.2)
    assert [name for name, _ in found] == ["O_top_1", "O_bridge_1", "O_hollow_1", "O_hollow_2"]
    offset = found[2][1].positions[-1] - surface.positions
    lateral = offset - np.round(offset @ np.linalg.inv(surface.cell)) @ surface.cell
    below = np.linalg.norm(lateral[:, :2], axis=1) < 0.01
    depths = np.sort(found[2][1].positions[-1, 2] - surface.positions[below, 2])
    assert depths[0] == pytest.approx(1.2 + 3.61 / np.sqrt(3))  # hcp first: the nearer second layer


def test_fcc_111_hollow_is_where_ase_puts_it() -> None:
    theirs = fcc111("Cu", (1, 1, 4), a=3.61, vacuum=8.0)
    theirs.pbc = True
    distance = 3.61 / np.sqrt(6)  # from the axis of a triangle to its corners
    for name, found in adatoms(theirs, element="O", height=1.0):
        count = {"top": 1, "bridge": 2, "hollow": 3}[name.split("_")[1]]
        reach = {1: 0.0, 2: 3.61 / np.sqrt(8), 3: distance}[count]
        assert neighbors_below(found, np.hypot(reach, 1.0) + 1e-3) == count


def test_fcc_100_has_a_fourfold_hollow_and_no_bridge_across_it() -> None:
    surface = slab(COPPER, miller=(1, 0, 0), layers=4, repeat=(2, 2))
    found = dict(adatoms(surface, element="O", height=0.9))
    assert sorted(found) == ["O_bridge_1", "O_hollow_1", "O_top_1"]
    assert neighbors_below(found["O_hollow_1"], np.hypot(3.61 / 2, 0.9) + 0.01) == 4


def test_fcc_110_has_a_short_and_a_long_bridge() -> None:
    surface = slab(COPPER, miller=(1, 1, 0), layers=5, repeat=(2, 1))
    names = [name for name, _ in adatoms(surface, element="O", height=1.2)]
    assert names == ["O_top_1", "O_bridge_1", "O_bridge_2", "O_hollow_1"]


def test_an_adatom_may_be_exchanged_and_lies_at_its_height() -> None:
    surface = slab(COPPER, miller=(1, 1, 1), layers=4, fixed=2)
    ((_, found),) = adatoms(surface, element="Se", height=2.1, sites=("top",))
    assert found.get_tags()[-1] == REGION_TAG
    assert found.positions[-1, 2] - surface.positions[:, 2].max() == pytest.approx(2.1)
    np.testing.assert_array_equal(frozen_mask(found)[:-1], frozen_mask(surface))


def test_a_crystal_with_one_kind_of_atom_has_one_vacancy() -> None:
    ((name, found),) = vacancies(SILICON)
    assert (name, len(found)) == ("vacancy_Si_1", 63)


def test_pairs_of_vacancies_are_as_many_as_inequivalent_pairs() -> None:
    """Counted by Burnside's lemma over the operations of the cell (Burnside 1897)."""
    images = permutations(SILICON)
    pairs = np.array([(i, j) for i in range(64) for j in range(i)])
    moved = np.sort(images[:, pairs], axis=2)
    fixed = (moved == np.sort(pairs, axis=1)).all(axis=2).sum()
    assert len(vacancies(SILICON, count=2)) == fixed / len(images)


def test_no_two_substitutions_are_equivalent_and_none_is_missing() -> None:
    found = substitutions(CUPRITE, element="Cu", new="Ag", count=2)
    images = permutations(CUPRITE)
    silver = {tuple(np.flatnonzero(atoms.symbols == "Ag").tolist()) for _, atoms in found}
    orbits = [{tuple(sorted(row)) for row in images[:, list(chosen)].tolist()} for chosen in silver]
    assert sum(map(len, orbits)) == len(set().union(*orbits)) == 66  # 12 over 2
    assert found[0][0] == "Ag_on_Cu_1"


def test_what_is_frozen_or_host_is_not_exchanged() -> None:
    surface = slab(COPPER, miller=(1, 1, 1), layers=4, fixed=2)
    assert [name for name, _ in vacancies(surface)] == ["vacancy_Cu_1", "vacancy_Cu_2"]
    for _, found in substitutions(surface, element="Cu", new="Ni"):
        assert not frozen_mask(found)[found.symbols == "Ni"].any()


def test_the_order_of_atoms_does_not_matter() -> None:
    shuffled = CUPRITE[np.random.default_rng(3).permutation(len(CUPRITE))]
    for make in (vacancies, nudges):
        for (name, found), (other, same) in zip(make(CUPRITE), make(shuffled), strict=True):
            assert name == other
            assert np.sort(found.get_all_distances(mic=True), axis=None) == pytest.approx(
                np.sort(same.get_all_distances(mic=True), axis=None)
            )


def test_the_unsaturated_copper_of_cu2o_is_nudged_off_its_axis_on_both_faces() -> None:
    """Without it a relaxation keeps the threefold axis and misses 0.1 eV."""
    found = dict(nudges(CUPRITE, distance=0.35))
    moves = np.linalg.norm(found["nudged_Cu_1"].positions - CUPRITE.positions, axis=1)
    moved = moves > 1e-9
    assert moves[moved] == pytest.approx([0.35, 0.35])
    assert set(coordination_of(CUPRITE)[moved]) == {1}
    assert len(permutations(found["nudged_Cu_1"])) == 2  # of twelve: inversion is left
    assert len(permutations(CUPRITE)) == 12


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: vacancies(CUPRITE, elements=("Zn",)), "has no Zn to exchange"),
        (lambda: vacancies(SILICON, count=0), "count is 0 of 64 atoms"),
        (lambda: vacancies(SILICON, count=9), "can be chosen in 27540584512 ways, more than"),
        (lambda: vacancies(CUPRITE, count=2, limit=3), "inequivalent variants, more than limit 3"),
        (lambda: substitutions(CUPRITE, element="Cu", new="Qq"), "Qq is no element"),
        (lambda: adatoms(CUPRITE, element="Q", height=1.0), "Q is no element"),
        (lambda: adatoms(CUPRITE, element="O", height=0.0), "height is 0.0 Å"),
        (
            lambda: adatoms(CUPRITE, element="O", height=1.0, sites=("edge",)),
            "site edge is unknown",
        ),
        (lambda: adatoms(COPPER, element="O", height=1.0), "first two cell vectors lie in the xy"),
    ],
)
def test_what_cannot_be_varied_gets_a_sentence(call, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        call()
