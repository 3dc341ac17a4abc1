"""Structures from files: POSCAR, CIF, extended XYZ and everything else that ASE reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from htinvert.core import UserError

LARGEST_FILE = 50_000_000  # bytes; a structure for a search has thousands of atoms, not millions


def from_file(
    path: Path, *, remove: tuple[str, ...] = (), repeat: tuple[int, int, int] = (1, 1, 1)
) -> Atoms:
    """Read a structure [Å]; leave out the elements in ``remove``, then repeat the cell.

    Constraints in the file are dropped: what may move is said by the region. Raises
    :class:`UserError` where the file is missing, unreadable, empty or not finite.
    """
    if not path.is_file():
        raise UserError(f"there is no structure file {path}; check structure.path")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(
            f"{path} is larger than {LARGEST_FILE // 10**6} MB; give a single structure"
        )
    try:
        atoms = read(path)
    except Exception as error:  # ASE's readers raise whatever their parsers raise
        raise UserError(
            f"{path} could not be read as a structure ({error}); "
            "POSCAR, CIF and extxyz are safe choices"
        ) from error
    assert isinstance(atoms, Atoms)  # noqa: S101  (read returns a list only when asked for one)
    atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    atoms = atoms[[symbol not in remove for symbol in atoms.get_chemical_symbols()]]
    if not len(atoms):
        raise UserError(f"{path} holds no atoms after {', '.join(remove) or 'nothing'} was removed")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise UserError(f"{path} has positions or cell vectors that are not finite numbers")
    return atoms.repeat(repeat)
