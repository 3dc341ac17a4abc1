"""Structures from files and prototypes, and the region that may change."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms
from ase.io import write

from htinvert.core import Region, UserError
from htinvert.geometry.roles import (
    RigidBody,
    frozen_mask,
    region_mask,
    rigid_bodies,
    rigid_mask,
    roles,
    set_roles,
)
from htinvert.structures.file import from_file
from htinvert.structures.prototype import prototype
from htinvert.structures.region import search_space


@pytest.mark.parametrize("name", ["POSCAR", "crystal.cif", "crystal.xyz"])
def test_a_file_gives_its_structure_and_what_it_holds(tmp_path: Path, name: str) -> None:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    crystal.set_constraint(FixAtoms([0]))
    write(tmp_path / name, crystal)
    found = from_file(tmp_path / name, repeat=(1, 2, 1))
    assert found.get_chemical_formula() == "Cd8Te8"
    assert found.cell.lengths() == pytest.approx([6.48, 12.96, 6.48])
    held = [] if name == "crystal.cif" else [0, 8]  # CIF has no word for it
    assert np.flatnonzero(frozen_mask(found)).tolist() == held


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


def column(vacuum: float = 12.0) -> Atoms:
    atoms = prototype("CdTe", crystal="zincblende", a=6.48, cubic=True, repeat=(2, 2, 4))
    atoms.cell[2, 2] += vacuum
    return atoms


@pytest.mark.parametrize(("side", "other"), [("above", "below"), ("below", "above")])
def test_a_grain_beyond_the_margin_is_frozen_or_rigid(side: str, other: str) -> None:
    region = Region("z", 10.0, 14.0, 3.0, move="xy", **{side: "rigid"})
    template = search_space(column(), region=region, composition={}, min_distance={}).template
    z = template.positions[:, 2]
    far = {"below": z < 7, "above": z > 17}
    np.testing.assert_array_equal(rigid_mask(template), far[side])
    np.testing.assert_array_equal(frozen_mask(template), far[other])
    assert [body.move for body in rigid_bodies(template)] == ["xy"]


def test_a_box_counts_images_in_the_plane_of_the_boundary() -> None:
    region = Region("z", 10.0, 14.0, 1.7, box={"x": (-2.0, 2.0)})
    template = search_space(column(), region=region, composition={}, min_distance={}).template
    x, _, z = template.positions.T
    x = (x + 6.48) % 12.96 - 6.48
    inside = (abs(x) <= 2.0) & (z >= 10) & (z <= 14)
    np.testing.assert_array_equal(region_mask(template), inside)
    apart = np.hypot(np.maximum(abs(x) - 2, 0), np.maximum(np.maximum(10 - z, z - 14), 0))
    np.testing.assert_array_equal(frozen_mask(template), apart > 1.7)
    assert 0 < inside.sum() < len(template) / 8


def test_without_a_region_roles_are_those_of_the_structure() -> None:
    atoms = prototype("CdTe", crystal="zincblende", a=6.48, cubic=True)
    free = search_space(atoms, region=None, composition={}, min_distance={}).template
    assert set(roles(free)) == {"free"}
    words = ["frozen", "host", "free", "free", "free", "host", "rigid1-z", "rigid1-z"]
    set_roles(atoms, words)
    assert (
        roles(search_space(atoms, region=None, composition={}, min_distance={}).template) == words
    )


def test_tags_that_number_layers_are_no_roles() -> None:
    slab = fcc111("Cu", (1, 1, 4), vacuum=5.0)
    slab.set_constraint(FixAtoms([0]))
    template = search_space(slab, region=None, composition={}, min_distance={}).template
    assert roles(template) == ["frozen", "free", "free", "free"]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"above": "rigid", "below": "rigid"}, "both rigid, but only the shift of one grain"),
        ({"above": "rigid", "margin": 20.0}, "above is rigid but no atom lies above the region"),
        ({"above": "rigid", "lower": -1.0, "upper": 3.0}, "no atom is frozen"),
        ({"above": "fixed"}, "region.above is fixed; choose frozen or rigid"),
        ({"above": "rigid", "move": "up"}, "region.move is 'up'; choose one of xyz"),
        ({"lower": 14.0, "upper": 10.0}, "goes from 14 to 10 Å along z"),
        ({"box": {"z": (1.0, 2.0)}}, "region.box bounds z, but lower and upper bound z"),
        ({"box": {"x": (2.0, 1.0)}}, "goes from 2 to 1 Å along x"),
        ({"lower": 12.0, "upper": 12.5, "margin": 0.0}, "128 of 128 atoms are frozen"),
    ],
)
def test_a_region_that_leaves_no_choice_is_a_mistake(
    region: dict[str, object], message: str
) -> None:
    given = {"axis": "z", "lower": 10.0, "upper": 14.0, "margin": 3.0} | region
    with pytest.raises(UserError, match=message):
        search_space(column(), region=Region(**given), composition={}, min_distance={})


def test_a_rigid_grain_needs_vacuum_behind_it() -> None:
    region = Region("z", 10.0, 14.0, 3.0, above="rigid")
    with pytest.raises(UserError, match="through the cell's end along z .2.81 Å."):
        search_space(column(vacuum=0.0), region=region, composition={}, min_distance={})


def test_a_body_without_atoms_of_its_own_is_gone() -> None:
    atoms = Atoms("Cu3", positions=np.eye(3), constraint=[RigidBody([2])])
    assert not rigid_bodies(atoms[:2])
