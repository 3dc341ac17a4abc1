"""Structures and tables out."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import find_mic
from ase.io import read, write

from htinvert.core import UserError
from htinvert.geometry.roles import frozen_mask, roles, set_roles
from htinvert.structures.write import read_structure, write_structure, write_structures, write_table

FILES = ["best.xyz", "best.extxyz", "best.cif", "best.vasp", "POSCAR"]


@pytest.fixture
def grains() -> Atoms:
    """Atoms of every role, elements in turn, some outside of the cell."""
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 2))
    atoms.rattle(0.3, seed=1)
    atoms.positions[3] -= atoms.cell[0]
    words = ["frozen"] * 4 + ["host"] * 3 + ["free"] * 3 + ["rigid1-xy"] * 4 + ["rigid2-z"] * 2
    set_roles(atoms, words)
    return atoms


def test_structures_come_back_as_they_went_out(tmp_path: Path) -> None:
    crystals = [bulk("Cu"), bulk("CdTe", "zincblende", a=6.48)]
    write_structures(tmp_path / "best.xyz", crystals)
    back = read(tmp_path / "best.xyz", ":")
    assert [a.get_chemical_formula() for a in back] == ["Cu", "CdTe"]
    write_structures(tmp_path / "best.cif", crystals)
    assert len(read(tmp_path / "best-02.cif")) == 2


def test_a_table_has_one_row_per_record(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [{"rank": 1, "energy": -2.5}, {"rank": 2, "energy": -2.0}])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["energy"] for row in rows] == ["-2.5", "-2.0"]


@pytest.mark.parametrize("name", FILES)
def test_every_format_keeps_every_role(tmp_path: Path, grains: Atoms, name: str) -> None:
    write_structure(tmp_path / name, grains)
    back = read_structure(tmp_path / name)
    assert roles(back) == roles(grains)
    np.testing.assert_array_equal(back.get_tags(), grains.get_tags())
    np.testing.assert_array_equal(back.numbers, grains.numbers)
    moved = back.positions - grains.positions
    _, moved = find_mic(moved, grains.cell) if name == "best.cif" else (0, moved)
    np.testing.assert_allclose(moved, 0.0, atol=1e-8)  # Å


@pytest.mark.parametrize("name", FILES)
def test_a_structure_without_roles_is_written_without(tmp_path: Path, name: str) -> None:
    write_structure(tmp_path / name, bulk("CdTe", "zincblende", a=6.48))
    assert set(roles(read_structure(tmp_path / name))) == {"host"}
    assert "role" not in (tmp_path / name).read_text()


@pytest.mark.parametrize("name", ["best.xyz", "best.vasp"])
def test_other_programs_see_the_frozen_atoms(tmp_path: Path, grains: Atoms, name: str) -> None:
    write_structure(tmp_path / name, grains)
    plain = read(tmp_path / name)
    np.testing.assert_array_equal(frozen_mask(plain), frozen_mask(grains))


def test_several_structures_keep_their_own_roles(tmp_path: Path, grains: Atoms) -> None:
    other = grains[::-1]
    write_structures(tmp_path / "best.xyz", [grains, other])
    frames = read(tmp_path / "best.xyz", ":")
    assert list(frames[0].arrays["role"]) == roles(grains)
    assert list(frames[1].arrays["role"]) == roles(other)
    write_structures(tmp_path / "best.cif", [grains, other])
    assert roles(read_structure(tmp_path / "best-02.cif")) == roles(other)


def test_names_of_other_programs_are_no_roles(tmp_path: Path, grains: Atoms) -> None:
    write_structure(tmp_path / "POSCAR", grains)
    text = (tmp_path / "POSCAR").read_text()
    for word in ("frozen", "host", "free", "rigid1-xy", "rigid2-z"):
        text = text.replace(f"  {word}", "  Cd")
    (tmp_path / "POSCAR").write_text(text)
    assert roles(read_structure(tmp_path / "POSCAR")) == ["frozen"] * 4 + ["host"] * 12  # flags


@pytest.mark.parametrize(
    "column",
    [[1, 2, 3], [0.5, 1.5, 2.5], [True, False, True], ["core", "shell", "rigid"], np.eye(3)],
    ids=["ints", "floats", "bools", "words", "vectors"],
)
def test_a_column_of_another_program_is_no_role(tmp_path: Path, column: Any) -> None:
    """One of integers once ended in a traceback, and one of words as a mistake."""
    atoms = Atoms("CdTeCd", positions=3.0 * np.eye(3), cell=[9.0] * 3, pbc=True)
    atoms.set_array("role", np.array(column))
    write(tmp_path / "theirs.xyz", atoms, format="extxyz")
    assert set(roles(read_structure(tmp_path / "theirs.xyz"))) == {"host"}


def test_a_role_among_words_that_are_none_is_a_mistake(tmp_path: Path) -> None:
    atoms = Atoms("CdTeCd", positions=3.0 * np.eye(3), cell=[9.0] * 3, pbc=True)
    atoms.set_array("role", np.array(["free", "frozn", "host"]))
    write(tmp_path / "ours.xyz", atoms, format="extxyz")
    with pytest.raises(UserError, match=r"ours.xyz: role frozn is unknown; write free"):
        read_structure(tmp_path / "ours.xyz")


def test_a_file_in_which_only_some_atoms_have_a_role_is_a_mistake(
    tmp_path: Path, grains: Atoms
) -> None:
    write_structure(tmp_path / "POSCAR", grains)
    text = (tmp_path / "POSCAR").read_text().replace("  host", "")
    (tmp_path / "POSCAR").write_text(text)
    with pytest.raises(UserError, match="13 roles are given for 16 atoms"):
        read_structure(tmp_path / "POSCAR")


def test_a_cif_that_would_turn_a_grains_directions_is_refused(
    tmp_path: Path, grains: Atoms
) -> None:
    grains.rotate(30, "z", rotate_cell=True)
    with pytest.raises(UserError, match="CIF turns the cell to its standard orientation"):
        write_structure(tmp_path / "best.cif", grains)
    write_structure(tmp_path / "best.vasp", grains)
    assert roles(read_structure(tmp_path / "best.vasp")) == roles(grains)


def test_an_unknown_ending_is_a_mistake(tmp_path: Path, grains: Atoms) -> None:
    with pytest.raises(
        UserError, match=r"best.pdb has no known ending; choose .xyz, .cif or .vasp"
    ):
        write_structure(tmp_path / "best.pdb", grains)
