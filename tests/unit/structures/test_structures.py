"""Structures from files and prototypes, and the region that may change."""

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms
from ase.io import write

from htinvert.core import Region, UserError, frozen_mask, region_mask
from htinvert.structures.file import from_file
from htinvert.structures.prototype import prototype
from htinvert.structures.region import search_space


@pytest.mark.parametrize("name", ["POSCAR", "crystal.cif", "crystal.xyz"])
def test_a_file_gives_its_structure_without_constraints(tmp_path: Path, name: str) -> None:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    crystal.set_constraint(FixAtoms([0]))
    write(tmp_path / name, crystal)
    found = from_file(tmp_path / name, repeat=(1, 2, 1))
    assert found.get_chemical_formula() == "Cd8Te8"
    assert found.cell.lengths() == pytest.approx([6.48, 12.96, 6.48])
    assert not found.constraints


def test_elements_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path / "POSCAR", bulk("CdTe", "zincblende", a=6.48, cubic=True))
    assert from_file(tmp_path / "POSCAR", remove=("Te",)).get_chemical_formula() == "Cd4"
    with pytest.raises(UserError, match="holds no atoms after Cd, Te was removed"):
        from_file(tmp_path / "POSCAR", remove=("Cd", "Te"))


def test_a_file_that_is_none_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no structure file"):
        from_file(tmp_path / "none.cif")
    (tmp_path / "bad.cif").write_text("not a crystal")
    with pytest.raises(UserError, match="could not be read as a structure"):
        from_file(tmp_path / "bad.cif")


def test_silicon_is_diamond_with_four_neighbors_at_235_pm() -> None:
    crystal = prototype("Si", crystal="diamond", a=5.431, cubic=True, repeat=(2, 2, 2))
    distances = crystal.get_all_distances(mic=True)[0]
    assert np.sort(distances)[1:5] == pytest.approx(2.3517, abs=1e-4)  # a sqrt(3) / 4
    assert np.sort(distances)[5] > 3.8


def test_a_prototype_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UserError, match="crystal quartz is unknown; choose one of fcc"):
        prototype("SiO2", crystal="quartz", a=4.9)


def test_a_region_tags_the_inside_and_freezes_what_is_far() -> None:
    column = prototype("CdTe", crystal="zincblende", a=6.48, cubic=True, repeat=(1, 1, 4))
    space = search_space(
        column, region=Region("z", 10.0, 14.0, 3.0), composition={"Te": (1, 9)}, min_distance={}
    )
    z = space.template.positions[:, 2]
    np.testing.assert_array_equal(region_mask(space.template), (z >= 10) & (z <= 14))
    np.testing.assert_array_equal(frozen_mask(space.template), (z < 7) | (z > 17))
    cadmium = int((space.template.symbols[region_mask(space.template)] == "Cd").sum())
    assert space.composition == {"Cd": (cadmium, cadmium), "Te": (1, 9)}


def test_a_region_beside_the_structure_is_a_mistake() -> None:
    with pytest.raises(UserError, match="lies outside of the structure"):
        search_space(
            bulk("Cu"), region=Region("z", 50, 60, 1), composition={"Cu": (1, 2)}, min_distance={}
        )


def test_an_empty_region_without_composition_is_a_mistake() -> None:
    crystal = bulk("Cu", cubic=True).repeat((1, 1, 4))
    with pytest.raises(UserError, match="the region holds no atoms"):
        search_space(crystal, region=Region("z", 2.0, 3.0, 1), composition={}, min_distance={})
