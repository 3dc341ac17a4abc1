"""Textbook crystals: composition, space group and distances that textbooks give."""

import math

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from htinvert.core import UserError
from htinvert.structures.prototype import CRYSTALS, PROTOTYPES, prototype
from htinvert.structures.sanity import check, coordination_of, density_of
from htinvert.structures.symmetry import space_group

# formula, crystal, a, c [Å], density [g/cm³], atoms in the conventional cell; CRC Handbook,
# 97th edition (crystals of minerals; elements), Mo3B2 and Mo2FeB2 calculated from their cells.
KNOWN = [
    ("Cu", "fcc", 3.615, None, 8.96, 4),
    ("Fe", "bcc", 2.867, None, 7.87, 2),
    ("Mg", "hcp", 3.209, 5.211, 1.74, 2),
    ("Si", "diamond", 5.431, None, 2.33, 8),
    ("GaAs", "zincblende", 5.653, None, 5.32, 8),
    ("NaCl", "rocksalt", 5.640, None, 2.17, 8),
    ("CsCl", "cesiumchloride", 4.123, None, 3.99, 2),
    ("ZnO", "wurtzite", 3.250, 5.207, 5.6, 4),
    ("CaF2", "fluorite", 5.463, None, 3.18, 12),
    ("TiO2", "rutile", 4.594, 2.959, 4.23, 6),
    ("TiO2", "anatase", 3.785, 9.514, 3.9, 12),
    ("SrTiO3", "perovskite", 3.905, None, 5.1, 5),
    ("Cu2O", "cuprite", 4.270, None, 6.0, 6),
    ("Al2O3", "corundum", 4.759, 12.991, 3.99, 30),
    ("U3Si2", "M3B2", 7.330, 3.900, 12.2, 10),
    ("Mo2FeB2", "Mo2FeB2", 5.782, 3.148, 8.5, 10),
]


@pytest.mark.parametrize(("formula", "crystal", "a", "c", "density", "atoms"), KNOWN)
def test_a_prototype_has_its_handbook_density_and_its_space_group(
    formula: str, crystal: str, a: float, c: float | None, density: float, atoms: int
) -> None:
    kind = PROTOTYPES[crystal]
    found = prototype(formula, crystal=crystal, a=a, c=c, cubic=kind.cubic)
    assert len(found) == atoms
    assert density_of(found) == pytest.approx(density, rel=0.03)  # handbooks round, minerals vary
    assert space_group(found)[1] == kind.group
    assert check(found) == []


def test_every_prototype_is_among_the_known_ones() -> None:
    assert {crystal for _, crystal, *_ in KNOWN} == set(CRYSTALS)


def lengths(atoms: Atoms, first: str, second: str, count: int) -> list[float]:
    """Shortest distances [Å] from the first atom of an element to those of another."""
    i, j, d = neighbor_list("ijd", atoms, 6.0)
    own = (i == np.flatnonzero(atoms.symbols == first)[0]) & (atoms.symbols[j] == second)
    return np.sort(d[own])[:count].tolist()


def test_rutile_has_four_short_and_two_long_bonds() -> None:
    """1.949 and 1.980 Å at room temperature: Burdett et al., JACS 109, 3639 (1987)."""
    rutile = prototype("TiO2", crystal="rutile", a=4.593, c=2.959)
    assert lengths(rutile, "Ti", "O", 6) == pytest.approx([1.949] * 4 + [1.980] * 2, abs=2e-3)


def test_anatase_has_four_short_and_two_long_bonds() -> None:
    """1.934 and 1.980 Å: Burdett et al., JACS 109, 3639 (1987)."""
    anatase = prototype("TiO2", crystal="anatase", a=3.785, c=9.514)
    assert lengths(anatase, "Ti", "O", 6) == pytest.approx([1.934] * 4 + [1.980] * 2, abs=2e-3)


def test_corundum_has_three_short_and_three_long_bonds() -> None:
    """1.856 and 1.971 Å: Finger & Hazen, J. Appl. Phys. 49, 5823 (1978)."""
    corundum = prototype("Al2O3", crystal="corundum", a=4.760, c=12.993)
    assert lengths(corundum, "Al", "O", 6) == pytest.approx([1.856] * 3 + [1.971] * 3, abs=2e-3)


def test_cuprite_copper_is_linear_and_its_oxygen_tetrahedral() -> None:
    cuprite = prototype("Cu2O", crystal="cuprite", a=4.27)
    counts = coordination_of(cuprite)
    assert set(counts[cuprite.symbols == "Cu"]) == {2}
    assert set(counts[cuprite.symbols == "O"]) == {4}
    assert lengths(cuprite, "Cu", "O", 2) == pytest.approx([4.27 * math.sqrt(3) / 4] * 2)


def test_wurtzite_with_ideal_ratio_has_regular_tetrahedra() -> None:
    crystal = prototype("ZnS", crystal="wurtzite", a=3.82)
    assert lengths(crystal, "Zn", "S", 4) == pytest.approx([3.82 * math.sqrt(3 / 8)] * 4)


def test_boron_pairs_of_m3b2_are_as_long_as_in_the_published_boundary() -> None:
    """1.922 Å, from the unstrained Mo3B2 grain of the peer's Ni/M3B2 structure (a 6.065 Å)."""
    m3b2 = prototype("Mo3B2", crystal="M3B2", a=6.065, c=3.144)
    assert lengths(m3b2, "B", "B", 1) == pytest.approx([1.922], abs=5e-3)


def test_an_internal_parameter_moves_its_atoms() -> None:
    rutile = prototype("TiO2", crystal="rutile", a=4.6, c=2.96, u=0.31)
    assert lengths(rutile, "Ti", "O", 6)[-1] == pytest.approx(0.31 * 4.6 * math.sqrt(2))
    with pytest.raises(UserError, match="rutile has no parameter x; it has u"):
        prototype("TiO2", crystal="rutile", a=4.6, c=2.96, x=0.31)


@pytest.mark.parametrize("formula", ["Mo3B2", "B2Mo3", "Mo6B4"])
def test_elements_take_their_sites_by_count(formula: str) -> None:
    found = prototype(formula, crystal="M3B2", a=6.07, c=3.14)
    assert found.symbols.formula.count() == {"Mo": 6, "B": 4}


def test_elements_of_equal_count_take_their_sites_by_order() -> None:
    """Strontium is in the cage of twelve oxygen atoms, titanium in the octahedron."""
    counts = coordination_of(crystal := prototype("SrTiO3", crystal="perovskite", a=3.905))
    assert counts[crystal.symbols == "Sr"] == 12
    assert counts[crystal.symbols == "Ti"] == 6


@pytest.mark.parametrize("crystal", ["fcc", "bcc", "diamond", "zincblende", "rocksalt", "fluorite"])
def test_the_primitive_cell_is_the_usual_one(crystal: str) -> None:
    formula = {"zincblende": "CdTe", "rocksalt": "MgO", "fluorite": "CaF2"}.get(crystal, "Fe")
    ours = prototype(formula, crystal=crystal, a=4.0)
    usual = bulk(formula, crystal, a=4.0)
    np.testing.assert_allclose(ours.cell, usual.cell, atol=1e-12)
    assert sorted(ours.symbols) == sorted(usual.symbols)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"formula": "SiO2", "crystal": "diamond"}, "has the composition A; change the formula"),
        ({"formula": "Mo2B3", "crystal": "Cu2O"}, "crystal Cu2O is unknown; choose one of"),
        ({"formula": "Ti3O2", "crystal": "rutile"}, "which has the composition AB2; change"),
        ({"formula": "Qq", "crystal": "fcc"}, "Qq names Qq, which is no element"),
        ({"formula": "x(", "crystal": "fcc"}, "is no chemical formula; write it like CdTe"),
        ({"formula": "TiO2", "crystal": "rutile"}, "needs its second lattice constant; give c"),
        ({"formula": "Cu", "crystal": "fcc", "c": 3.0}, "fcc is cubic but c is 3.0 Å"),
        ({"formula": "Cu", "crystal": "fcc", "a": -1.0}, "lattice constant a is -1.0 but must be"),
        ({"formula": "Cu", "crystal": "fcc", "a": math.nan}, "must be from 1.5 to 200 Å"),
        ({"formula": "Cu", "crystal": "fcc", "a": 0.361}, "; 0.361 nm are 3.61 Å"),
        ({"formula": "Mg", "crystal": "hcp", "cubic": True}, "hcp is not cubic; leave cubic out"),
        ({"formula": "Cu", "crystal": "fcc", "repeat": (1, 0, 1)}, r"repeat is \[1, 0, 1\]; give"),
    ],
)
def test_what_cannot_be_built_gets_a_sentence(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        prototype(**({"a": 4.0} | options))
