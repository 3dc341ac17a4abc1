"""VASP's inputs, what it says that it lacks, and how a run is read back.

VASP itself needs a license: a program that answers with EMT's energies stands in for it, so what
is tested of a run is ours: the order of the atoms, the POTCAR, the constraints, the scratch folder.
"""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.io import read

from htinvert.core import EvaluationFailed, UserError
from htinvert.energy.vasp import Vasp
from htinvert.energy.vasp_files import recommended_datasets
from htinvert.geometry.roles import RigidBody

from . import stand_in_for_vasp

vasp_files = pytest.importorskip("pymatgen.io.vasp", reason="the extra mp is missing")
Incar, Kpoints, Poscar = vasp_files.Incar, vasp_files.Kpoints, vasp_files.Poscar


def test_datasets_are_those_of_the_materials_project() -> None:
    sets = pytest.importorskip("pymatgen.io.vasp.sets")
    assert recommended_datasets() == sets.MPRelaxSet.CONFIG["POTCAR"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real process that hands its folder to this one, where all that it needs is imported."""
    asked, answered = (tmp_path_factory.mktemp("vasp") / name for name in ("asked", "answered"))
    os.mkfifo(asked)
    os.mkfifo(answered)

    def serve() -> None:
        while folder := asked.read_text().strip():
            status = 1
            try:
                status = stand_in_for_vasp.run(Path(folder))
            finally:
                answered.write_text(f"{status}\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield shlex.join(["sh", "-c", f"pwd > {asked}; read status < {answered}; exit $status"])
    asked.write_text("\n")
    thread.join()


@pytest.fixture
def vasp(tmp_path: Path, command: str) -> Vasp:
    for name in ("Au", "Cu_pv"):
        (tmp_path / "potcars" / name).mkdir(parents=True)
        (tmp_path / "potcars" / name / "POTCAR").write_text(f"POTCAR of {name}\n")
    return Vasp(potcars=tmp_path / "potcars", command=command, kpoint_density=1.0)


def alloy() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.symbols = "CuAuCuAu"
    atoms.rattle(0.08, seed=1)
    return atoms


def test_inputs_are_those_of_a_relaxation_in_a_fixed_cell(tmp_path: Path) -> None:
    """Read back by pymatgen, a second implementation of the formats."""
    atoms = Atoms("TeCdTe", [[1, 1, 1], [3, 3, 3.5], [1, 3, 6]], cell=[4.6, 4.6, 8.0], pbc=True)
    atoms.set_constraint(FixAtoms([0]))
    Vasp(fmax=0.02, steps=40, settings={"IVDW": 12}).write_inputs(atoms, tmp_path / "new")
    incar = Incar.from_file(tmp_path / "new" / "INCAR")
    assert {key: incar[key] for key in ("ENCUT", "NSW", "IBRION", "ISIF", "EDIFFG", "IVDW")} == {
        "ENCUT": 520, "NSW": 40, "IBRION": 2, "ISIF": 2, "EDIFFG": -0.02, "IVDW": 12,
    }  # fmt: skip
    assert incar["ISPIN"] == 1 and "MAGMOM" not in incar and incar["LREAL"] is False
    # 2 pi / 4.6 * 3.5 = 4.8, 2 pi / 8 * 3.5 = 2.7
    kpoints = Kpoints.from_file(tmp_path / "new" / "KPOINTS")
    assert kpoints.style.name == "Gamma" and kpoints.kpts == [(5, 5, 3)]
    poscar = Poscar.from_file(tmp_path / "new" / "POSCAR")
    assert poscar.site_symbols == ["Cd", "Te"] and poscar.natoms == [1, 2]
    held = np.array(poscar.selective_dynamics)
    assert held.all(axis=1).tolist() == [True, False, True], "the first Te is held"
    np.testing.assert_allclose(poscar.structure.cart_coords, atoms.positions[[1, 0, 2]], atol=1e-9)
    assert (tmp_path / "new" / "POTCAR.spec").read_text() == "Cd\nTe\n"


def test_spin_comes_by_element_or_by_atom_and_in_the_order_of_poscar(tmp_path: Path) -> None:
    atoms = Atoms("ONiO", [[0, 0, 0], [0, 0, 2], [0, 0, 4]], cell=[4, 4, 6], pbc=True)
    Vasp(magnetic_moments={"Ni": 2.0}).write_inputs(atoms, tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    assert incar["ISPIN"] == 2 and incar["MAGMOM"] == [2.0, 0.0, 0.0]
    atoms.set_initial_magnetic_moments([0.5, -1.0, 0.25])
    Vasp().write_inputs(atoms, tmp_path)
    assert Incar.from_file(tmp_path / "INCAR")["MAGMOM"] == [-1.0, 0.5, 0.25]


def test_a_surface_gets_vacuum_and_one_point_across_it(tmp_path: Path) -> None:
    slab = fcc111("Cu", (1, 1, 3), a=3.6)
    slab.pbc = (True, True, False)
    Vasp().write_inputs(slab, tmp_path)
    assert read(tmp_path / "POSCAR").cell[2, 2] == pytest.approx(2 * 3.6 / 3**0.5 + 12.0)
    assert Kpoints.from_file(tmp_path / "KPOINTS").kpts[0][2] == 1


def test_a_rigid_grain_is_refused_with_the_way_out(tmp_path: Path) -> None:
    atoms = alloy()
    atoms.set_constraint([FixAtoms([0]), RigidBody([1, 2])])
    with pytest.raises(UserError, match="cannot move a rigid grain .* set `optimizer: lbfgs`"):
        Vasp().write_inputs(atoms, tmp_path)
    Vasp(optimizer="lbfgs").write_inputs(atoms, tmp_path)
    assert Incar.from_file(tmp_path / "INCAR")["NSW"] == 0


def test_the_local_density_takes_two_runs(tmp_path: Path) -> None:
    Vasp().write_local_density(alloy(), tmp_path, (0.0, -1.5))
    first = Incar.from_file(tmp_path / "1_wavefunctions" / "INCAR")
    second = Incar.from_file(tmp_path / "2_partial_charge" / "INCAR")
    assert first["LWAVE"] is True and first["NSW"] == 0 and "LPARD" not in first
    assert second["LPARD"] is True and second["NBMOD"] == -3 and second["EINT"] == [-1.5, 0.0]
    assert second["ISTART"] == 1 and second["LWAVE"] is False
    for name in ("POSCAR", "KPOINTS", "POTCAR.spec"):
        texts = [path.read_text() for path in sorted(tmp_path.glob(f"*/{name}"))]
        assert len(texts) == 2 and texts[0] == texts[1], name


def test_it_says_all_that_it_lacks(vasp: Vasp, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no program vasp_std\S+ .*no folder of POTCARs.* license"):
        Vasp(command="vasp_std_that_is_not_here").check_elements({"Cu"})
    with pytest.raises(UserError, match=r"cannot run: there is no \S+/Te/POTCAR\. VASP"):
        vasp.check_elements({"Cu", "Te"})
    with pytest.raises(UserError, match="VASP does not know Og"):
        vasp.check_elements({"Og"})
    with pytest.raises(UserError, match="choose lbfgs or fire"):
        Vasp(optimizer="magic")
    replace(vasp, datasets={"Te": "Au"}).check_elements({"Te"})
    with pytest.raises(UserError, match="VASP cannot run"):
        replace(vasp, potcars=None)(alloy())


def test_results_come_back_in_the_order_of_the_atoms(vasp: Vasp) -> None:
    atoms = alloy()
    found = vasp.single_point(atoms)
    atoms.calc = EMT()
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6), "the free energy"
    np.testing.assert_allclose(found.forces, atoms.get_forces(), atol=1e-6)  # eV/Å


@pytest.mark.parametrize("optimizer", ["vasp", "lbfgs"])
def test_a_relaxation_honors_what_is_held(vasp: Vasp, optimizer: str) -> None:
    atoms = alloy()
    atoms.positions -= [0.4, 0.4, 0.4]  # some are outside of the cell, and VASP wraps them
    atoms.set_constraint(FixAtoms([0]))
    relaxation = replace(vasp, optimizer=optimizer, fmax=0.8)(atoms)
    moved = relaxation.atoms.positions - atoms.positions
    assert relaxation.converged and relaxation.force < 0.8
    np.testing.assert_allclose(moved[0], 0.0, atol=1e-8)
    assert 0.02 < np.abs(moved[1:]).max() < 0.3  # Å
    assert relaxation.energy < vasp.single_point(atoms).energy - 1e-3
    assert relaxation.atoms.get_chemical_symbols() == atoms.get_chemical_symbols()


def test_a_rigid_grain_moves_as_a_whole_through_ase(vasp: Vasp) -> None:
    atoms = alloy()
    atoms.set_constraint([FixAtoms([0]), RigidBody([2, 3])])
    moved = replace(vasp, optimizer="lbfgs", steps=1)(atoms).atoms.positions - atoms.positions
    np.testing.assert_allclose(moved[2], moved[3], atol=1e-10)
    assert np.linalg.norm(moved[2]) > 0.005  # Å


def test_a_run_that_ends_early_is_a_failure(vasp: Vasp) -> None:
    with pytest.raises(EvaluationFailed, match="VASP: it ended with status 3"):
        replace(vasp, settings={"STOP": 3})(alloy())


def test_electrons_that_did_not_converge_are_a_failure(vasp: Vasp) -> None:
    with pytest.raises(EvaluationFailed, match="electrons did not converge within 3 steps"):
        replace(vasp, settings={"NELM": 3})(alloy())
