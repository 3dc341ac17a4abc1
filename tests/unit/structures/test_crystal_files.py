"""Known crystals from CIF in every way that files write their symmetry."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from htinvert.core import Space, UserError
from htinvert.generators.library import Library
from htinvert.structures.file import from_file
from htinvert.structures.symmetry import space_group
from htinvert.structures.write import read_structure

NAMES = ("a", "b", "c", "alpha", "beta", "gamma")
SPINEL2 = ["Mg .125 .125 .125", "Al .5 .5 .5", "O .2624 .2624 .2624"]
SPINEL1 = ["Mg 0 0 0", "Al .625 .625 .625", "O .3874 .3874 .3874"]
CORUNDUM_H = ["Al 0 0 .35216", "O .30624 0 .25"]
CORUNDUM_R = ["Al .35216 .35216 .35216", "O .55624 .94376 .25"]
CUBE = (8.08, 8.08, 8.08, 90, 90, 90)
HEXAGON = (4.7602, 4.7602, 12.9933, 90, 90, 120)
RHOMB = (5.1284, 5.1284, 5.1284, 55.28, 55.28, 55.28)


def cif(
    folder: Path, cell: tuple[float, ...], sites: list[str], *items: str, name: str = "crystal.cif"
) -> Path:
    """A CIF of these cell lengths and angles, sites (element, fractions) and other items."""
    lines = ["data_x"]
    for kind, value in zip(NAMES, cell, strict=True):
        lines.append(f"_cell_{'length' if len(kind) == 1 else 'angle'}_{kind} {value}")
    lines += [*items, "loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    lines += [f"{site.split()[0]}{n} {site}" for n, site in enumerate(sites, 1)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def named(symbol: str) -> str:
    return f"_symmetry_space_group_name_H-M '{symbol}'"


def hall(symbol: str) -> str:
    return f"_space_group_name_Hall '{symbol}'"


def neighbors(atoms: Atoms, first: str, second: str, within: float) -> tuple[set[int], float]:
    """How many of another element each atom has within a distance [Å], and the shortest one."""
    i, j, apart = neighbor_list("ijd", atoms, within)
    pair = (atoms.symbols[i] == first) & (atoms.symbols[j] == second)
    counts = np.bincount(i[pair], minlength=len(atoms))[atoms.symbols == first]
    return set(counts.tolist()), float(apart[pair].min())


def require_spinel(atoms: Atoms) -> None:
    """MgAl2O4, R. J. Hill et al., Phys. Chem. Miner. 4, 317 (1979): Mg has 4 O at 1.92, Al 6."""
    assert atoms.get_chemical_formula() == "Al16Mg8O32"
    assert space_group(atoms)[1] == 227
    assert neighbors(atoms, "Mg", "O", 2.3) == ({4}, pytest.approx(1.923, abs=2e-3))
    assert neighbors(atoms, "Al", "O", 2.3) == ({6}, pytest.approx(1.927, abs=2e-3))


def require_corundum(atoms: Atoms, count: int) -> None:
    """Al2O3, R. E. Newnham & Y. M. de Haan, Z. Kristallogr. 117, 235 (1962): 1.857, 1.969 Å."""
    assert atoms.symbols.formula.count() == {"Al": count * 2 // 5, "O": count * 3 // 5}
    assert space_group(atoms)[1] == 167
    assert neighbors(atoms, "Al", "O", 2.3) == ({6}, pytest.approx(1.857, abs=5e-3))
    assert neighbors(atoms, "O", "Al", 2.3)[0] == {4}


@pytest.mark.parametrize(
    "items",
    [
        ["F d -3 m :2"],
        ["F d -3 m Z"],
        ["Fd-3m:2"],
        ["F d 3 m Z"],
        ["F d -3 m (origin choice 2)"],
        ["F 41/d -3 2/m :2"],
    ],
)
def test_spinel_from_its_second_origin(tmp_path: Path, items: list[str]) -> None:
    require_spinel(from_file(cif(tmp_path, CUBE, SPINEL2, *map(named, items))))


@pytest.mark.parametrize("symbol", ["F d -3 m :1", "F d -3 m S", "Fd-3mS", "F d 3 m :1"])
def test_spinel_from_its_first_origin(tmp_path: Path, symbol: str) -> None:
    require_spinel(from_file(cif(tmp_path, CUBE, SPINEL1, named(symbol))))


@pytest.mark.parametrize(
    ("sites", "items"),
    [
        (SPINEL2, [hall("-F 4vw 2vw 3")]),
        (SPINEL1, [hall("F 4d 2 3 -1d")]),
        (SPINEL2, [hall("F 4d 2 3 -1d (x-1/8,y-1/8,z-1/8)")]),
        (SPINEL2, [hall("-F 4vw 2vw 3"), named("F d -3 m")]),
        (SPINEL1, [hall("F 4d 2 3 -1d"), named("F d -3 m"), "_space_group_IT_number 227"]),
        (SPINEL2, [named("F d -3 m"), "_space_group_IT_coordinate_system_code 2"]),
        (SPINEL1, [named("F d -3 m"), "_space_group_IT_coordinate_system_code 1"]),
    ],
)
def test_spinel_by_hall_symbol_or_code(tmp_path: Path, sites: list[str], items: list[str]) -> None:
    require_spinel(from_file(cif(tmp_path, CUBE, sites, *items)))


@pytest.mark.parametrize("sites", [SPINEL1, SPINEL2])
@pytest.mark.parametrize("item", [named("F d -3 m"), "_symmetry_Int_Tables_number 227"])
def test_the_formula_decides_where_the_origin_is_not_told(
    tmp_path: Path, sites: list[str], item: str
) -> None:
    formula = ["_chemical_formula_sum 'Al2 Mg O4'", "_cell_formula_units_Z 8"]
    require_spinel(from_file(cif(tmp_path, CUBE, sites, item, *formula)))


@pytest.mark.parametrize(
    ("sites", "cell", "items", "count"),
    [
        (CORUNDUM_R, RHOMB, [named("R -3 c :R")], 10),
        (CORUNDUM_R, RHOMB, [named("R -3 c R")], 10),
        (CORUNDUM_R, RHOMB, [named("R -3 c")], 10),
        (CORUNDUM_R, RHOMB, ["_symmetry_Int_Tables_number 167"], 10),
        (CORUNDUM_R, RHOMB, [hall("-P 3* 2n")], 10),
        (CORUNDUM_R, RHOMB, [hall('-R 3 2"c (-y+z,x+z,-x+y+z)')], 10),
        (CORUNDUM_H, HEXAGON, [named("R -3 c :H")], 30),
        (CORUNDUM_H, HEXAGON, [named("R -3 c H")], 30),
        (CORUNDUM_H, HEXAGON, [named("R-3c")], 30),
        (CORUNDUM_H, HEXAGON, ["_space_group_IT_number 167"], 30),
        (CORUNDUM_H, HEXAGON, [hall('-R 3 2"c')], 30),
        (CORUNDUM_H, HEXAGON, [named("R -3 c"), "_symmetry_cell_setting trigonal"], 30),
        (CORUNDUM_H, HEXAGON, [named("R -3 c"), "_symmetry_cell_setting rhombohedral"], 30),
        (CORUNDUM_H, HEXAGON, [named("R -3 c"), "_symmetry_cell_setting hexagonal"], 30),
    ],
)
def test_corundum_on_hexagonal_and_rhombohedral_axes(
    tmp_path: Path, sites: list[str], cell: tuple[float, ...], items: list[str], count: int
) -> None:
    require_corundum(from_file(cif(tmp_path, cell, sites, *items)), count)


@pytest.mark.parametrize(
    ("place", "symbol"),
    [(".125", "F d -3 m :2"), ("0", "F d -3 m :1"), (".125", "F d -3 m Z"), ("0", "F d -3 m S")],
)
def test_silicon_has_eight_atoms_at_235_pm(tmp_path: Path, place: str, symbol: str) -> None:
    cell = (5.431, 5.431, 5.431, 90, 90, 90)
    atoms = from_file(cif(tmp_path, cell, [f"Si {place} {place} {place}"], named(symbol)))
    assert atoms.get_chemical_formula() == "Si8"
    assert neighbors(atoms, "Si", "Si", 2.6) == ({4}, pytest.approx(2.3517, abs=1e-4))


@pytest.mark.parametrize(("multiplicity", "count"), [(8, 8), (16, 16)])
def test_the_multiplicity_of_a_site_tells_its_origin(
    tmp_path: Path, multiplicity: int, count: int
) -> None:
    cell = (5.431, 5.431, 5.431, 90, 90, 90)
    path = cif(tmp_path, cell, [f"Si .125 .125 .125 {multiplicity}"], named("F d -3 m"))
    text = path.read_text().replace("fract_z\n", "fract_z\n_atom_site_symmetry_multiplicity\n")
    path.write_text(text)
    assert len(from_file(path)) == count


def test_an_origin_that_nothing_tells_is_not_guessed(tmp_path: Path) -> None:
    cell = (5.431, 5.431, 5.431, 90, 90, 90)
    path = cif(tmp_path, cell, ["Si .125 .125 .125"], named("F d -3 m"))
    with pytest.raises(UserError, match="can be read in several ways, Si16 by F d -3 m :1 or Si8"):
        from_file(path)


@pytest.mark.parametrize(
    ("symbol", "sites"),
    [
        ("I 41/a m d :1", ["Ti 0 0 0", "O 0 0 .2081"]),
        ("I 41/a m d :2", ["Ti 0 .25 .375", "O 0 .25 .1669"]),
        ("I41/amdZ", ["Ti 0 .25 .375", "O 0 .25 .1669"]),
    ],
)
def test_anatase_from_both_origins(tmp_path: Path, symbol: str, sites: list[str]) -> None:
    # M. Horn et al., Z. Kristallogr. 136, 273 (1972): four O at 1.934 Å, two at 1.980 Å.
    atoms = from_file(cif(tmp_path, (3.7842, 3.7842, 9.5146, 90, 90, 90), sites, named(symbol)))
    assert atoms.get_chemical_formula() == "O8Ti4"
    assert neighbors(atoms, "Ti", "O", 2.2) == ({6}, pytest.approx(1.934, abs=3e-3))


@pytest.mark.parametrize(
    "third",
    [("1/3", "2/3"), (".33", ".67"), (".333", ".667"), (".3333", ".6667"), ("0.33333", "0.66667")],
)
def test_graphite_whose_thirds_are_rounded(tmp_path: Path, third: tuple[str, str]) -> None:
    # J. D. Bernal, Proc. R. Soc. A 106, 749 (1924): three neighbors at 1.42 Å.
    sites = ["C 0 0 .25", f"C {third[0]} {third[1]} .25"]
    cell = (2.46, 2.46, 6.7, 90, 90, 120)
    for symbol in ("P 63/m m c", "P6_3/mmc", "P 6(3)/m m c"):
        atoms = from_file(cif(tmp_path, cell, sites, named(symbol)))
        assert atoms.get_chemical_formula() == "C4"
        assert neighbors(atoms, "C", "C", 1.6) == ({3}, pytest.approx(1.4203, abs=1e-4))
        assert space_group(atoms, tolerance=1e-5)[1] == 194


@pytest.mark.parametrize("digits", [2, 3, 4])
@pytest.mark.parametrize(
    ("symbol", "cell", "sites", "formula"),
    [
        ("P 63 m c", (3.25, 3.25, 5.2, 90, 90, 120), [("Zn", 1 / 3, 2 / 3, 0),
         ("O", 1 / 3, 2 / 3, 0.38)], "O2Zn2"),
        ("P 63/m m c", (2.95, 2.95, 4.68, 90, 90, 120), [("Ti", 1 / 3, 2 / 3, 0.25)], "Ti2"),
        ("P -3 m 1", (4.24, 4.24, 6.84, 90, 90, 120), [("Cd", 0, 0, 0),
         ("I", 1 / 3, 2 / 3, 0.25)], "CdI2"),
        ("P 62 2 2", (5.0, 5.0, 5.46, 90, 90, 120), [("Si", 0.5, 0, 0),
         ("O", 0.2077, 0.4154, 0.5)], "O6Si3"),
        ("P 6/m m m", (3.08, 3.08, 3.52, 90, 90, 120), [("Mg", 0, 0, 0),
         ("B", 1 / 3, 2 / 3, 0.5)], "B2Mg"),
        ("R -3 m :H", (3.95, 3.95, 20.0, 90, 90, 120), [("Bi", 0, 0, 0.4), ("Te", 0, 0, 0),
         ("Te", 2 / 3, 1 / 3, 1 / 3 - 0.2097)], "Bi6Te9"),
    ],
)  # fmt: skip
def test_hexagonal_crystals_of_few_digits_have_all_their_atoms(
    tmp_path: Path, symbol: str, cell: tuple[float, ...], sites: list[tuple[str, ...]],
    formula: str, digits: int,
) -> None:  # fmt: skip
    lines = [f"{site[0]} " + " ".join(f"{x:.{digits}f}" for x in site[1:]) for site in sites]
    atoms = from_file(cif(tmp_path, cell, lines, named(symbol)))
    assert atoms.get_chemical_formula() == formula


OPERATIONS = ["_symmetry_equiv_pos_as_xyz", "x,y,z", "-x,-y,-z"]


def test_listed_operations_count_before_names(tmp_path: Path) -> None:
    item = "\n".join(["loop_", *OPERATIONS])
    path = cif(tmp_path, (4, 5, 6, 80, 95, 100), ["Cu .1 .2 .3"], item, named("P -1"))
    assert from_file(path).get_chemical_formula() == "Cu2"
    path = cif(tmp_path, (4, 5, 6, 80, 95, 100), ["Cu .1 .2 .3"], item, named("T 1 u"))
    assert from_file(path).get_chemical_formula() == "Cu2"


def test_operations_that_leave_the_centering_out_are_completed_where_the_formula_says(
    tmp_path: Path,
) -> None:
    item = "\n".join(["loop_", *OPERATIONS])
    cell = (5.64, 5.64, 5.64, 90, 90, 90)
    formula = ["_chemical_formula_sum 'Cl Na'", "_cell_formula_units_Z 4"]
    path = cif(tmp_path, cell, ["Na 0 0 0", "Cl .5 .5 .5"], item, named("F m -3 m"), *formula)
    assert from_file(path).get_chemical_formula() == "Cl4Na4"
    path = cif(tmp_path, cell, ["Na 0 0 0", "Cl .5 .5 .5"], item, named("F m -3 m"))
    with pytest.raises(UserError, match="can be read in several ways"):
        from_file(path)


def test_all_atoms_and_all_operations_give_each_atom_once(tmp_path: Path) -> None:
    first = from_file(cif(tmp_path, HEXAGON, CORUNDUM_H, named("R -3 c :H")))
    fractions = first.get_scaled_positions()
    every = [
        f"{atom.symbol} {' '.join(f'{x:.4f}' for x in place)}"
        for atom, place in zip(first, fractions, strict=True)
    ]
    require_corundum(from_file(cif(tmp_path, HEXAGON, every, named("R -3 c :H"))), 30)
    item = "loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z"
    require_corundum(from_file(cif(tmp_path, HEXAGON, every, named("R -3 c :H"), item)), 30)


@pytest.mark.parametrize(
    ("cell", "sites", "items", "message"),
    [
        (CUBE, SPINEL2, [named("F d -3 m :1")], "lies 0.17 Å from its images by F d -3 m :1"),
        (CUBE, SPINEL1[:2], [named("F d -3 m :2"), "_chemical_formula_sum 'Mg Al2 O4'"],
         "by F d -3 m :2 it holds Al8Mg16, but its formula is Mg1 Al2 O4"),
        (CUBE, ["Mg .1 .1 .1", "Al .1 .1 .2"], [named("P 1")], "has atoms at 0.31 of the sum"),
        (CUBE, SPINEL2, [named("F d -3 m :2"), "_chemical_formula_sum 'Al2 Mg O4'",
                         "_cell_formula_units_Z 4"], "holds 56 atoms in the cell, but 4 units"),
        (HEXAGON, CORUNDUM_H, [named("R -3 c :R")], "has not the shape that R -3 c :R asks for"),
        (RHOMB, CORUNDUM_R, [named("R -3 c :H")], "has not the shape that R -3 c :H asks for"),
        (HEXAGON, CORUNDUM_H, [named("F d -3 m :1")], "has not the shape that F d -3 m"),
        (CUBE, SPINEL2, [named("F d -3 m :2"), "_symmetry_Int_Tables_number 225"],
         "contradict each other .F d -3 m :2, 225."),
        (CUBE, SPINEL2, [named("F d -3 m :1"), hall("-F 4vw 2vw 3")], "contradict each other"),
        (CUBE, SPINEL2, [named("F d -3 q")], "space group F d -3 q is not known"),
        (CUBE, SPINEL2, [hall("F 7 2 3")], "Hall symbol F 7 2 3 is not known"),
        (CUBE, SPINEL2, ["_space_group_IT_number 300"], "no space group 300"),
        (CUBE, ["Mg .125 .125 .16"], [named("F d -3 m :2")], "neither on a special position"),
        (CUBE, ["Mg ? ? ?"], [named("P 1")], "has the coordinate ., which is no number"),
        (CUBE, ["Xx 0 0 0"], [named("P 1")], "the element of site Xx1 is not known"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_is_refused_in_one_sentence(
    tmp_path: Path, cell: tuple[float, ...], sites: list[str], items: list[str], message: str
) -> None:
    path = cif(tmp_path, cell, sites, *items)
    with pytest.raises(UserError, match=message) as caught:
        from_file(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_the_formula_of_the_whole_cell_is_no_contradiction(tmp_path: Path) -> None:
    # pymatgen writes the cell's content as formula sum, and the number of its units beside it.
    formula = ["_chemical_formula_sum 'Mg8 Al16 O32'", "_cell_formula_units_Z 8"]
    require_spinel(from_file(cif(tmp_path, CUBE, SPINEL2, named("F d -3 m :2"), *formula)))


@pytest.mark.parametrize(
    ("kind", "label", "element"),
    [
        ("FE", "x", "Fe"),
        ("SI", "x", "Si"),
        ("Fe3+", "x", "Fe"),
        ("O2-", "x", "O"),
        ("D", "x", "H"),
        ("Siva", "x", "Si"),
        ("?", "Si1", "Si"),
        ("?", "O_1", "O"),
        ("?", "AL2", "Al"),
        ("?", "OW1", "O"),
        ("?", "Ow1", "O"),
        ("?", "CA1", None),
        ("?", "M1", None),
    ],
)
def test_elements_of_types_and_labels(
    tmp_path: Path, kind: str, label: str, element: str | None
) -> None:
    path = cif(tmp_path, CUBE, ["Mg .1 .2 .3"], named("P 1"))
    path.write_text(path.read_text().replace("Mg1 Mg", f"{label} {kind}"))
    if element is None:
        with pytest.raises(UserError, match=f"the element of site {label} is not known"):
            from_file(path)
    else:
        assert from_file(path).get_chemical_formula() == element


def test_a_formula_tells_calcium_from_alpha_carbon(tmp_path: Path) -> None:
    for formula, element in (("Ca", "Ca"), ("C", "C")):
        path = cif(tmp_path, CUBE, ["Mg 0 0 0"], f"_chemical_formula_sum '{formula}'")
        path.write_text(path.read_text().replace("Mg1 Mg", "CA1 ?"))
        assert from_file(path).get_chemical_formula() == element


def test_every_reader_of_structures_knows_settings(tmp_path: Path) -> None:
    path = cif(tmp_path, CUBE, SPINEL2, named("F d -3 m Z"))
    require_spinel(read_structure(path))
    space = Space(Atoms(), None, {}, {})
    require_spinel(Library(space, (), path).ask([0])[0].atoms)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.res", "TITL a\nCELL 0.7 5 5 5 90 90 90\nLATT 1\nSFAC Si\nSi 1 .1 .2 .3 1\nEND\n",
         "has symmetry .LATT, SYMM. that makes more atoms"),
        ("a.pdb", "CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 21 21 21  4\n"
         "ATOM      1  C   ALA A   1       1.000   2.000   3.000  1.00  0.00           C\nEND\n",
         "has the space group P 21 21 21, whose copies"),
        ("a.pdb", "ATOM      1  CA  ALA A   1       1.000   2.000   3.000  1.00  0.00\nEND\n",
         "has an atom CA without an element"),
        ("a.dump", "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\nITEM: BOX BOUNDS pp pp pp\n0 5\n"
         "0 5\n0 5\nITEM: ATOMS id type x y z\n1 1 0 0 0\n", "does not say their elements"),
    ],
)  # fmt: skip
def test_what_other_formats_leave_out_is_not_guessed(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        from_file(tmp_path / name)


def test_files_of_windows_and_zipped_ones_are_read(tmp_path: Path) -> None:
    import gzip

    path = cif(tmp_path, CUBE, SPINEL2, named("F d -3 m :2"))
    data = path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + data)
    require_spinel(from_file(path))
    (tmp_path / "zipped.cif.gz").write_bytes(gzip.compress(data))
    require_spinel(from_file(tmp_path / "zipped.cif.gz"))
