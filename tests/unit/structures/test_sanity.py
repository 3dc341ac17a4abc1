"""What looks wrong about a crystal is said, what is right passes without a word."""

import pytest
from ase.build import bulk
from ase.data import chemical_symbols

from htinvert.core import UserError
from htinvert.structures.prototype import prototype
from htinvert.structures.sanity import bonds, check, coordination_of, density_of

DIAMOND = prototype("Si", crystal="diamond", a=5.431)
FCC = prototype("Si", crystal="fcc", a=3.862)  # what a query for Si in Fm-3m once returned


def test_fcc_silicon_is_told_from_silicon() -> None:
    """14.4 Å³ per atom and 12 neighbors at 2.73 Å, where diamond has 20.0 and 4 at 2.35."""
    sentences = check(FCC)
    assert sentences == [
        "Si is given as fcc (Fm-3m, 12 neighbors at 2.73 Å); the reference structure of silicon is "
        "diamond (Fd-3m) with 4 at 2.35 Å; did you mean that?",
        "Si has 14.4 Å³ per atom where its element at rest has 20.0; check the lattice constants "
        "and the phase",
    ]


def test_a_wrong_claim_is_named() -> None:
    sentences = check(FCC, space_group="Fd-3m", density=2.33, coordination=4)
    assert "Si is given as space group Fd-3m, but its atoms have Fm-3m (225)" in sentences[0]
    assert "has a density of 3.24 g/cm³, not the 2.33 g/cm³ that is claimed" in sentences[3]
    assert "should have 4 neighbors, but of its atoms there are 1 with 12" in sentences[4]


@pytest.mark.parametrize("claim", ["Fd-3m", "F d -3 m", 227, "227"])
def test_a_right_claim_passes_in_any_spelling(claim: str | int) -> None:
    assert check(DIAMOND, space_group=claim, density=2.33, coordination={"Si": 4}) == []


def test_elements_at_rest_raise_no_doubt() -> None:
    """All that ASE can build of the elements' reference structures, 72 of them."""
    doubts = {}
    for symbol in chemical_symbols[1:97]:
        try:
            crystal = bulk(symbol)
        except (ValueError, RuntimeError, NotImplementedError):
            continue  # ASE knows no cell for it
        doubts[symbol] = check(crystal)
    assert len(doubts) > 60
    assert {symbol: said for symbol, said in doubts.items() if said} == {}


def test_a_wrong_unit_is_noticed() -> None:
    with pytest.raises(UserError, match=r"0\.5431 nm are 5\.431 Å"):
        prototype("Si", crystal="diamond", a=0.5431)
    bohr = prototype("Si", crystal="diamond", a=10.26)
    assert any("check the lattice constants" in said for said in check(bohr))


def test_a_compound_of_impossible_density_is_noticed() -> None:
    assert any(
        "of the sum of their covalent radii" in said
        for said in check(prototype("MgO", crystal="rocksalt", a=2.6))
    )


def test_a_strained_crystal_keeps_its_claimed_group_within_a_tenth() -> None:
    strained = DIAMOND.copy()
    strained.positions[1, 2] += 0.03
    assert check(strained, space_group="Fd-3m") == []


def test_a_phase_far_above_the_hull_is_doubtful() -> None:
    """Nine of ten known compounds lie within 67 meV/atom: Sun et al., Sci. Adv. 2, e1600225."""
    assert check(DIAMOND, energy_above_hull=0.02) == []
    (said,) = check(DIAMOND, energy_above_hull=0.5)
    assert "0.500 eV/atom above the convex hull" in said


def test_coordination_is_that_of_the_textbook() -> None:
    for crystal, count in (("fcc", 12), ("bcc", 8), ("hcp", 12), ("diamond", 4)):
        assert set(coordination_of(prototype("Fe", crystal=crystal, a=3.0))) == {count}
    fluorite = prototype("CaF2", crystal="fluorite", a=5.463)
    assert coordination_of(fluorite).tolist() == [8, 4, 4]


def test_bonds_come_in_both_directions() -> None:
    first, second, vectors = bonds(DIAMOND)
    assert len(first) == len(second) == 8
    assert vectors.sum(axis=0) == pytest.approx([0, 0, 0])


def test_the_density_of_copper() -> None:
    """8.93 g/cm³ from a = 3.615 Å and 63.546 u."""
    assert density_of(prototype("Cu", crystal="fcc", a=3.615)) == pytest.approx(8.934, abs=2e-3)


def test_a_lonely_atom_and_an_unknown_element_get_a_sentence() -> None:
    with pytest.raises(UserError, match="has no neighbor within 20 Å"):
        check(prototype("Cu", crystal="fcc", a=90.0))
    with pytest.raises(UserError, match="coordination names Xx, which is no element"):
        check(DIAMOND, coordination={"Xx": 4})
