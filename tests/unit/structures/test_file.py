"""Structure files that must not pass in silence: disorder, several structures, doubled atoms."""

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from htinvert.core import UserError
from htinvert.structures.file import from_file

CIF = """data_mixed
_cell_length_a 4
_cell_length_b 4
_cell_length_c 4
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""


def cif(folder: Path, *sites: str) -> Path:
    path = folder / "crystal.cif"
    path.write_text(CIF + "\n".join(sites) + "\n")
    return path


def test_a_shared_site_is_refused_by_name(tmp_path: Path) -> None:
    path = cif(tmp_path, "Fe1 Fe 0 0 0 0.5", "Co1 Co 0 0 0 0.5", "O1 O 0.5 0.5 0.5 1.0")
    with pytest.raises(UserError, match=r"is disordered.*\(Fe 0\.5 \+ Co 0\.5 at 0 0 0\); give an"):
        from_file(path)


def test_a_half_empty_site_is_refused_by_name(tmp_path: Path) -> None:
    path = cif(tmp_path, "Fe1 Fe 0 0 0 1", "O1 O 0.5 0.5 0.25 0.8(1)")
    with pytest.raises(UserError, match=r"\(O 0\.8 at 0\.5 0\.5 0\.25\)"):
        from_file(path)


@pytest.mark.parametrize("occupancy", ["1", "1.0", ".", "?", "1.00(2)"])
def test_a_full_site_is_no_disorder_however_it_is_written(tmp_path: Path, occupancy: str) -> None:
    found = from_file(cif(tmp_path, f"Fe1 Fe 0 0 0 {occupancy}", "O1 O 0.5 0.5 0.5 1"))
    assert found.get_chemical_formula() == "FeO"


def test_of_several_structures_one_must_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "run.xyz"
    write(path, [bulk("Cu", a=a, cubic=True) for a in (3.5, 3.6, 3.7)])
    with pytest.raises(UserError, match="holds 3 structures; choose one with index, 0 to 2 or -1"):
        from_file(path)
    assert from_file(path, index=-1).cell.lengths() == pytest.approx([3.7] * 3)
    assert from_file(path, index=0).cell.lengths() == pytest.approx([3.5] * 3)
    with pytest.raises(UserError, match="holds 3 structures but index is 7; choose 0 to 2"):
        from_file(path, index=7)


def test_an_atom_that_is_there_twice_is_a_mistake(tmp_path: Path) -> None:
    doubled = Atoms("CuCuO", [[0, 0, 0], [3.999, 0, 0], [2, 2, 2]], cell=[4, 4, 4], pbc=True)
    write(tmp_path / "POSCAR", doubled)
    with pytest.raises(UserError, match=r"has Cu \(atom 0\) and Cu \(atom 1\) less than 0\.1 Å"):
        from_file(tmp_path / "POSCAR")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("POSCAR", b""),
        ("a.cif", b"\x00\xff\xfe"),
        ("a.xyz", b"3\n\nH 0 0\n"),
        ("a.cif", b"data_x\n"),
    ],
)
def test_an_unreadable_file_gets_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        from_file(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_positions_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    broken = bulk("Cu", cubic=True)
    broken.positions[1, 2] = np.nan
    write(tmp_path / "a.xyz", broken)
    with pytest.raises(UserError, match="not finite numbers"):
        from_file(tmp_path / "a.xyz")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xyz", "999999999\n\nCu 0 0 0\n", "says that it holds 1e+09 atoms"),
        ("POSCAR", "a\n1\n5 0 0\n0 5 0\n0 0 5\nCu\n999999999\nDirect\n0 0 0\n", "1e+09 atoms"),
        ("POSCAR", "a\n1\n1e5 0 0\n0 1e9 0\n0 0 5\nCu\n1\nDirect\n0 0 0\n", "vector of 1e+05 Å"),
        ("POSCAR", "a\n1\n1e-7 0 0\n0 5 0\n0 0 5\nCu\n1\nDirect\n0 0 0\n", "vector of 1e-07 Å"),
        ("POSCAR", "a\n1\n5 0 0\n5 0 0\n0 0 5\nCu\n1\nDirect\n0 0 0\n", "in one plane"),
    ],
)
def test_sizes_that_no_structure_has_are_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        from_file(path)


def test_a_supercell_of_millions_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "cu.xyz", bulk("Cu"), format="extxyz")
    with pytest.raises(UserError, match="makes no structure of 1 to 1000000 atoms"):
        from_file(tmp_path / "cu.xyz", repeat=(500, 500, 500))
