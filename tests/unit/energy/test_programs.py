"""ABINIT and Quantum ESPRESSO: pseudopotentials, inputs, failures; and real runs on silicon."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixAtoms

from htinvert.core import EvaluationFailed, UserError
from htinvert.energy import pseudopotentials
from htinvert.energy.abinit import DEBIAN, Abinit
from htinvert.energy.espresso import Espresso
from htinvert.energy.isolation import Isolated, Limits, end_children
from htinvert.energy.program import complaint, k_points, program_version
from htinvert.geometry.roles import RigidBody

SILICON_UPF = DEBIAN.parent / "14-Si.nlcc.UPF"  # LDA; Debian's abinit-data has this one
needs_abinit = pytest.mark.skipif(
    not (shutil.which("abinit") and DEBIAN.is_dir()), reason="no abinit and abinit-data here"
)
needs_espresso = pytest.mark.skipif(
    not (shutil.which("pw.x") and SILICON_UPF.is_file()), reason="no pw.x with a pseudopotential"
)

PSP = "a title\n14.0 4.0 171102 zatom,zion,pspd\n8 {pspxc} 2 4 600 0 pspcod,pspxc\n"
UPF_1 = "<PP_INFO>\n</PP_INFO>\n<PP_HEADER>\n {} Exchange-Correlation functional\n</PP_HEADER>\n"
UPF_2 = '<UPF version="2.0.1">\n<PP_HEADER element="Si" functional="{}" z_valence="4"/>\n'
PAW = '<?xml version="1.0"?>\n<paw_dataset>\n<xc_functional type="GGA" name="{}"/>\n'


def rattled_silicon() -> Atoms:
    atoms = bulk("Si", "diamond", a=5.431)
    atoms.rattle(0.03, seed=1)
    return atoms


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Si.psp8", "14si.4.hgh", "29cu.1.hgh", "29cu.11.hgh", "README.md", "Qq.hgh"):
        (tmp_path / name).write_text(PSP.format(pspxc=1))
    (tmp_path / "08-O_pbe.UPF").write_text(UPF_2.format("PBE"))
    (tmp_path / "C.corewf.xml").write_text(PAW.format("PBE"))
    return tmp_path


def test_files_are_found_by_the_element_that_their_names_begin_with(folder: Path) -> None:
    found = pseudopotentials.by_element(folder, (".hgh", ".upf", ".xml"))
    names = {symbol: [path.name for path in paths] for symbol, paths in found.items()}
    assert names == {
        "Si": ["14si.4.hgh"],
        "Cu": ["29cu.1.hgh", "29cu.11.hgh"],
        "O": ["08-O_pbe.UPF"],
    }


@pytest.mark.parametrize(
    ("text", "functional"),
    [
        (PSP.format(pspxc=1), "LDA"),
        (PSP.format(pspxc=-1012), "LDA"),
        (PSP.format(pspxc=11), "PBE"),
        (PSP.format(pspxc=-101130), "PBE"),
        (PSP.format(pspxc=99), None),
        (UPF_1.format("SLA  PW  NOGX NOGC"), "LDA"),
        (UPF_1.format("SLA  PW   PBE  PBE"), "PBE"),
        (UPF_2.format("SLA-PW-PBX-PBC".replace("-", " ")), "PBE"),
        (UPF_2.format("PZ"), "LDA"),
        (PAW.format("PBE"), "PBE"),
        ("", None),
    ],
)
def test_the_functional_is_read_from_the_header(
    text: str, functional: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    pseudopotentials.functional_of.cache_clear()
    assert pseudopotentials.functional_of(path) == functional


@pytest.mark.parametrize(
    ("symbol", "named", "xc", "message"),
    [
        ("Cu", {}, "LDA", r"several pseudopotentials of Cu \(29cu.1.hgh, 29cu.11.hgh\); name one"),
        ("Cu", {"Cu": "29cu.12.hgh"}, "LDA", "does not know Cu: 29cu.12.hgh in .*put the pseudo"),
        ("Te", {}, "LDA", "does not know Te: no .hgh or .upf file of Te in"),
        ("O", {}, "LDA", "08-O_pbe.UPF was made for PBE, not for LDA; say `xc: PBE`"),
    ],
)
def test_a_file_that_is_missing_ambiguous_or_of_another_functional_is_named(
    folder: Path, symbol: str, named: dict[str, str], xc: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pseudopotentials.choose(
            "X", {symbol}, folder=folder, endings=(".hgh", ".upf"), named=named, xc=xc
        )


def test_the_identity_follows_the_files_that_are_taken(folder: Path) -> None:
    named = {"Cu": "29cu.11.hgh"}
    before = pseudopotentials.digest(folder, (".hgh",), named)
    (folder / "29cu.1.hgh").write_text("not taken")
    assert pseudopotentials.digest(folder, (".hgh",), named) == before
    (folder / "29cu.11.hgh").write_text("taken")
    assert pseudopotentials.digest(folder, (".hgh",), named) != before


def test_the_mesh_has_the_density_and_one_point_where_nothing_repeats() -> None:
    atoms = Atoms("H", cell=[4.0, 8.0, 20.0], pbc=(True, True, False))
    assert k_points(atoms, 3.0) == (5, 3, 1)  # 3 * 2 pi / 4 = 4.7


@pytest.mark.parametrize(
    ("engine", "package"), [(Abinit, "abinit abinit-data"), (Espresso, "quantum-espresso")]
)
def test_a_program_that_is_not_there_is_named_with_its_package(
    engine: type, package: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"no nosuch.x; `apt-get install {package}`, or set"):
        engine(pseudopotentials=tmp_path, command="nosuch.x -n 4")


def test_espresso_without_pseudopotentials_says_that_it_has_none() -> None:
    with pytest.raises(UserError, match="no folder nowhere; it comes without pseudopotentials"):
        Espresso(Path("nowhere"))


def test_a_program_without_a_word_about_its_version_has_none() -> None:
    assert program_version("false", "", r"(\d+)") == "unknown version"
    assert program_version(sys.executable, "--version", r"Python (\S+)").startswith("3.")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("abinit.log", "x\n--- !ERROR\nsrc_file: a\nmessage: |\n    Too few\n    waves\n...\n"),
        ("espresso.pwo", f"x\n {'%' * 40}\n  Too few\n waves\n {'%' * 40}\n"),
        ("abinit.err", "Too few waves\n"),
    ],
)
def test_the_complaint_of_a_program_is_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert complaint(tmp_path) == "Too few waves"


def test_the_input_of_espresso_is_as_agreed(folder: Path) -> None:
    """Every unit in it: Ry for cutoffs and smearing, Å for the rest."""
    atoms = Atoms("OO", [[0, 0, 0], [0, 0, 1.2]], cell=[3.0, 4.0, 6.0], pbc=(True, True, False))
    engine = Espresso(folder, command=sys.executable, cutoff=500, kpoint_density=2.0)
    text = engine.write_inputs(atoms, folder).read_text()
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    for line in (
        "calculation = 'scf'",
        "tprnfor = .true.",
        "disk_io = 'none'",
        f"pseudo_dir = '{folder.resolve()}'",
        "ecutwfc = 36.7493",  # 500 / 13.6057 (CODATA)
        "ecutrho = 146.9973",
        "degauss = 0.003675",
        "smearing = 'fermi-dirac'",
        "O 15.999 08-O_pbe.UPF",
        "5 4 1 0 0 0",
        "0.00000000000000 0.00000000000000 13.20000000000000",  # 12 Å between images
        "O 0.0000000000 0.0000000000 6.0000000000",
        "O 0.0000000000 0.0000000000 7.2000000000",
    ):
        assert line in lines, f"{line} is not in\n{text}"


def real(program: str) -> Abinit | Espresso:
    if program == "abinit":
        return Abinit(cutoff=250, kpoint_density=1.0)
    files = {"Si": SILICON_UPF.name}
    return Espresso(SILICON_UPF.parent, files=files, xc="LDA", cutoff=250, kpoint_density=1.0)


each_program = pytest.mark.parametrize(
    "program",
    [
        pytest.param("abinit", marks=needs_abinit),
        pytest.param("espresso", marks=needs_espresso),
    ],
)


@each_program
def test_forces_of_silicon_are_slopes_of_the_energy(program: str) -> None:
    engine, atoms, energies = real(program), rattled_silicon(), []
    assert engine.offer.elements is not None and "Si" in engine.offer.elements
    assert any(digit in engine.offer.model for digit in "0123456789")
    force = engine.single_point(atoms).forces[0, 0]
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0, 0] += sign * 0.01
        energies.append(engine.single_point(moved).energy)
    assert force == pytest.approx(-(energies[0] - energies[1]) / 0.02, abs=5e-3)  # eV/Å


@each_program
def test_a_relaxation_honors_what_is_held_and_leaves_no_folder(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    atoms = rattled_silicon()
    for constraint in (FixAtoms([0]), RigidBody([1])):
        atoms.set_constraint([constraint])
        relaxation = replace(real(program), steps=2)(atoms)
        moved = np.linalg.norm(relaxation.atoms.positions - atoms.positions, axis=1)
        assert (moved[0] < 1e-12) == isinstance(constraint, FixAtoms)
        assert moved[1] > 0.01  # Å
    assert list(tmp_path.iterdir()) == []


@each_program
def test_a_failure_says_what_the_program_said(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EvaluationFailed, match=r"(ABINIT|ESPRESSO): .* it says: .*bands"):
        replace(real(program), cutoff=1.0).single_point(rattled_silicon())
    assert list(tmp_path.iterdir()) == []


@needs_abinit
def test_a_program_that_takes_too_long_ends_with_its_folder() -> None:
    """Also the program is in the process group, and works in the folder of the child."""
    engine = Abinit(cutoff=900, kpoint_density=6.0)
    isolated = Isolated(engine, Limits(seconds=2.0))
    before, others = set(Path(tempfile.gettempdir()).glob("htinvert-dft-*")), abinits()
    with pytest.raises(EvaluationFailed, match="timed out: no answer within 2 s"):
        isolated(rattled_silicon())
    assert not abinits() - others
    assert not set(Path(tempfile.gettempdir()).glob("htinvert-dft-*")) - before
    end_children()


def abinits() -> set[str]:
    """Numbers of the processes that run ABINIT."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended while we looked
            if b"abinit.in" in path.read_bytes():
                found.add(path.parent.name)
    return found
