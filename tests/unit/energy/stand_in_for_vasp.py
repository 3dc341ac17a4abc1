"""Reads and writes files as VASP does, but its energies are those of EMT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io.vasp import read_vasp
from ase.optimize import BFGS


def block(name: str, rows: object) -> str:
    lines = ["<v> " + " ".join(f"{x:.10f}" for x in row) + " </v>" for row in np.array(rows)]
    return f'<varray name="{name}">{"".join(lines)}</varray>'


def structure(atoms: Atoms, name: str = "") -> str:
    crystal = block("basis", atoms.cell.array)
    wrapped = block("positions", atoms.get_scaled_positions(wrap=True))
    return f"<structure{name}><crystal>{crystal}</crystal>{wrapped}</structure>"


def calculation(atoms: Atoms) -> str:
    e = atoms.get_potential_energy()
    energies = {"e_fr_energy": e, "e_0_energy": e + 1}
    lines = "".join(f'<i name="{name}">{value:.10f}</i>' for name, value in energies.items())
    energy = f"<energy>{lines}</energy>"
    forces = block("forces", atoms.get_forces(apply_constraint=False))
    results = structure(atoms) + forces + block("stress", np.zeros((3, 3)))
    return f"<calculation>{f'<scstep>{energy}</scstep>' * 3}{results}{energy}</calculation>"


def run(folder: Path) -> int:
    """Do in a folder what VASP does there; returns the exit status."""
    assert (folder / "POTCAR").read_text() == "POTCAR of Au\nPOTCAR of Cu_pv\n"
    settings = dict(line.split(" = ") for line in (folder / "INCAR").read_text().splitlines())
    atoms = read_vasp(folder / "POSCAR")
    atoms.calc = EMT()
    points = block("kpointlist", [[0, 0, 0]]) + block("weights", [[1]])
    rows = "".join(f"<rc><c>{atom.symbol}</c></rc>" for atom in atoms)
    text = (
        f"<modeling><kpoints>{points}</kpoints><atominfo><array name='atoms'><set>{rows}</set>"
        f"</array></atominfo>{structure(atoms, ' name=' + repr('initialpos'))}{calculation(atoms)}"
    )
    if settings["NSW"] != "0":
        descent = BFGS(atoms, logfile=None)
        for _ in descent.irun(fmax=-float(settings["EDIFFG"]), steps=int(settings["NSW"])):
            text += calculation(atoms)
    (folder / "vasprun.xml").write_text(text + "</modeling>")
    return int(settings.get("STOP", 0))
