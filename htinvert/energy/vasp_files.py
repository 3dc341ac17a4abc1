"""Input files of VASP, written without a license: INCAR, KPOINTS, POSCAR and POTCAR.spec.

Datasets and cutoff are those of the Materials Project's relaxations (Jain et al., APL Materials 1,
011002 (2013)); there is no +U and the smearing is one for any crystal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.io.vasp import write_vasp
from numpy.typing import NDArray

from htinvert.geometry.roles import frozen_mask

# Elements by the ending of their dataset, as pymatgen's MPRelaxSet has them (MIT license).
DATASETS: Mapping[str, str] = {
    "": (
        "Ac Ag Al Ar As Au B Bi Br C Cd Ce Cl Co Eu F Gd H He Hg I Ir Kr La N Ne Np O P "
        "Pa Pd Pt Pu S Sb Se Si Te Th U Xe Zn"
    ),
    "_2": "Yb",
    "_3": "Dy Er Ho Lu Nd Pm Pr Sm Tb Tm",
    "_d": "Ga Ge In Pb Sn Tl",
    "_pv": "Cr Cu Fe Hf Mg Mn Mo Na Nb Ni Os Re Rh Ru Ta Tc Ti V W",
    "_sv": "Ba Be Ca Cs K Li Rb Sc Sr Y Zr",
}
STATIC: Mapping[str, Any] = {
    "PREC": "Accurate",
    "ALGO": "Normal",
    "EDIFF": 1e-6,  # eV; forces follow to 1e-3 eV/Å
    "NELM": 200,
    "ISMEAR": 0,  # Gaussian: right for metals and insulators alike
    "LASPH": True,
    "LREAL": False,
    "ISYM": 0,  # what is held or rigid has not the crystal's symmetry
    "NSW": 0,
    "IBRION": -1,
    "LWAVE": False,
    "LCHARG": False,
}
FUNCTIONALS = {"PBE": {"GGA": "PE"}, "PBEsol": {"GGA": "PS"}, "LDA": {"GGA": "CA"}}


def order(atoms: Atoms) -> NDArray[np.intp]:
    """Indices that put atoms of one element together, as POSCAR wants them, shape (n,)."""
    return np.argsort(atoms.get_chemical_symbols(), kind="stable")


def elements(atoms: Atoms) -> list[str]:
    """The elements of a structure in the order of its POSCAR."""
    return sorted(set(atoms.get_chemical_symbols()))


def static(
    atoms: Atoms,
    *,
    cutoff: float,
    width: float,
    xc: str,
    moments: NDArray[np.float64],
) -> dict[str, Any]:
    """INCAR of one calculation as the structure stands.

    Args:
        atoms: the structure.
        cutoff: kinetic energy up to which plane waves are taken [eV].
        width: of the smearing [eV].
        xc: a key of :data:`FUNCTIONALS`.
        moments: initial magnetic moments [Bohr magnetons], shape (n,), in the atoms' own order.
    """
    incar = {**STATIC, **FUNCTIONALS[xc], "ENCUT": cutoff, "SIGMA": width, "ISPIN": 1}
    if moments.any():
        listed = " ".join(f"{moment:g}" for moment in moments[order(atoms)])
        incar |= {"ISPIN": 2, "MAGMOM": listed}
    return incar


def relaxation(*, fmax: float, steps: int) -> dict[str, Any]:
    """What VASP's own relaxation adds: conjugate gradients in a fixed cell, to ``fmax`` [eV/Å]."""
    return {"IBRION": 2, "ISIF": 2, "NSW": steps, "EDIFFG": -fmax, "POTIM": 0.2}


def local_density(window: tuple[float, float]) -> dict[str, Any]:
    """What the second run adds that writes PARCHG: the density of states in an energy window [eV].

    Energies count from the Fermi level; the WAVECAR of the first run must be there.
    """
    low, high = sorted(window)
    return {"ISTART": 1, "LPARD": True, "NBMOD": -3, "EINT": f"{low:g} {high:g}", "LWAVE": False}


def write_inputs(
    atoms: Atoms,
    folder: Path,
    *,
    incar: Mapping[str, Any],
    mesh: Iterable[int],
    datasets: Mapping[str, str],
) -> None:
    """Write the four files into a folder, which is made.

    Atoms held by ``FixAtoms`` get selective dynamics; other constraints are not VASP's. POTCAR.spec
    names the datasets in the order in which their POTCARs are put together.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held, sorting = frozen_mask(atoms), order(atoms)
    ordered = atoms[sorting]
    ordered.set_constraint(FixAtoms(mask=held[sorting]) if held.any() else None)
    write_vasp(folder / "POSCAR", ordered, direct=True)
    lines = [f"{key} = {_worded(incar[key])}\n" for key in sorted(incar)]
    (folder / "INCAR").write_text("".join(lines))
    points = " ".join(map(str, mesh))
    (folder / "KPOINTS").write_text(f"mesh with Gamma\n0\nGamma\n{points}\n0 0 0\n")
    names = [datasets[symbol] for symbol in elements(atoms)]
    (folder / "POTCAR.spec").write_text("\n".join(names) + "\n")


def _worded(value: Any) -> str:
    """A value as INCAR has it."""
    if isinstance(value, bool):
        return ".TRUE." if value else ".FALSE."
    return f"{value:g}" if isinstance(value, float) else str(value)


def recommended_datasets() -> dict[str, str]:
    """The dataset that the Materials Project takes for each element, such as Cu_pv for Cu."""
    return {name: f"{name}{end}" for end, names in DATASETS.items() for name in names.split()}
