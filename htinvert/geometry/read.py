"""Structures from files as they mean them: ASE's readers, and what these take for granted."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.io.formats import filetype, ioformats

from htinvert.core import UserError
from htinvert.geometry.cif import read_cif
from htinvert.geometry.poscar import read_poscar


def read_structures(path: Path) -> list[Atoms]:
    """All structures of a file, constrained as it says.

    Raises :class:`UserError` where what it says of symmetry, elements or occupancy is contradictory
    or would have to be guessed, and whatever ASE's readers raise.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keys that are none of our business
        kind = filetype(str(path))
        if kind not in ioformats and path.suffix.lower() in (".poscar", ".contcar"):
            kind = "vasp"  # an ending that filetype passes on as a format
        if kind == "cif":
            return [_ordered(atoms, path) for atoms in read_cif(path)]
        if kind == "vasp":
            return [_known(read_poscar(path), path)]
        if (refuse := _GUESSES.get(kind)) is not None:
            refuse(path)
        found = read(path, index=":", format=kind)
    structures = found if isinstance(found, list) else [found]
    return [_ordered(_known(atoms, path), path) for atoms in structures]


def _known(atoms: Atoms, path: Path) -> Atoms:
    """The structure itself; refused where the element of an atom is not known."""
    unknown = np.flatnonzero(atoms.numbers < 1)
    if len(unknown):
        raise UserError(
            f"{path} has an atom {unknown[0]} whose element is not known (X); name it, or remove "
            "the atom"
        )
    return atoms


def _refuse_types(path: Path) -> None:
    """A dump of LAMMPS without elements: ASE takes its types 1, 2 for H and He."""
    with path.open(encoding="utf-8", errors="replace") as file:
        heads = (line.split()[2:] for line in file if line.startswith("ITEM: ATOMS"))
        head = next(heads, [])
    if "type" in head and not {"element", "mass"} & set(head):
        raise UserError(
            f"{path} numbers its atoms' types but does not say their elements; let LAMMPS write "
            "the column element (dump_modify element)"
        )


def _refuse_group_of_pdb(path: Path) -> None:
    """A PDB whose space group is not applied, or whose atoms are known by their names only."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            group = "".join(line[55:66].split()) if line.startswith("CRYST1") else ""
            if group not in ("", "P1"):
                raise UserError(
                    f"{path} has the space group {line[55:66].strip()}, whose copies of the atoms "
                    "it leaves out; give the crystal as CIF"
                )
            if line.startswith(("ATOM", "HETATM")) and not line[76:78].strip():
                raise UserError(
                    f"{path} has an atom {line[12:16].strip()} without an element (columns 77 and "
                    "78), which could be one or another; add it, or give extxyz or CIF"
                )


def _refuse_symmetry_of_shelx(path: Path) -> None:
    """A SHELX file whose symmetry is not applied: ASE reads what is listed."""
    lines = path.read_text(encoding="utf-8", errors="replace").upper().splitlines()
    words = [line.split() for line in lines if line.startswith(("LATT", "SYMM"))]
    if any(line[0] == "SYMM" or line[1:2] not in ([], ["-1"]) for line in words):
        raise UserError(
            f"{path} has symmetry (LATT, SYMM) that makes more atoms than it lists; give the "
            "crystal as CIF"
        )


_GUESSES = {
    "lammps-dump-text": _refuse_types,
    "proteindatabank": _refuse_group_of_pdb,
    "res": _refuse_symmetry_of_shelx,
}


def _ordered(atoms: Atoms, path: Path) -> Atoms:
    """The structure itself; refused where sites are occupied in part or by several elements."""
    occupancy = atoms.info.get("occupancy", {})
    kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms)))
    fractions = atoms.get_scaled_positions() if occupancy else np.zeros((len(atoms), 3))
    disordered = []
    for kind in dict.fromkeys(kinds.tolist()):
        site = occupancy.get(str(kind), {})
        if len(site) > 1 or any(not abs(float(share) - 1.0) <= 1e-3 for share in site.values()):
            place = " ".join(f"{x:.4g}" for x in fractions[kinds == kind][0])
            parts = " + ".join(f"{symbol} {share:g}" for symbol, share in site.items())
            disordered.append(f"{parts} at {place}")
    if disordered:
        more = f" and {len(disordered) - 4} more" if len(disordered) > 4 else ""
        raise UserError(
            f"{path} is disordered, with sites occupied in part or by several elements "
            f"({'; '.join(disordered[:4])}{more}); give an ordered structure"
        )
    return atoms
