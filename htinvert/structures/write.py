"""Structures and tables out.

The role of every atom (:mod:`htinvert.geometry.roles`) goes into the same file, as extended XYZ's
column ``role``, as CIF's loop item ``_atom_site_htinvert_role``, and after the flags of a POSCAR's
lines, where other programs read past it. A sidecar would be left behind, and a list in the comment
would be wrong as soon as somebody removes a line. What other programs see: frozen atoms do not move
in extended XYZ (``move_mask``) and in a POSCAR (selective dynamics), rigid grains move like any
atom.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.io import write

from htinvert.core import UserError
from htinvert.geometry.read import read_structures
from htinvert.geometry.roles import (
    CIF_ITEM,
    COLUMN,
    HELD,
    frozen_mask,
    has_roles,
    restore_roles,
    rigid_bodies,
    roles,
)


def write_structures(path: Path, structures: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, or as numbered files where the format holds only one.

    Raises :class:`UserError` as :func:`write_structure` does.
    """
    structures = list(structures)
    if path.suffix in (".xyz", ".extxyz"):
        write(path, [_with_column(atoms) for atoms in structures], format="extxyz")
        return
    for number, atoms in enumerate(structures, 1):
        write_structure(path.with_stem(f"{path.stem}-{number:02d}"), atoms)


def write_structure(path: Path, atoms: Atoms) -> None:
    """Write one structure with the roles of its atoms: ``.xyz`` or ``.extxyz``, ``.cif``, POSCAR.

    A POSCAR ends in ``.vasp``, or has ``POSCAR`` or ``CONTCAR`` in its name. Positions are written
    to 1e-8 Å in extended XYZ and in full otherwise. POSCAR and CIF are periodic along all cell
    vectors; from a CIF, atoms come back inside of the cell, in its standard orientation. Raises
    :class:`UserError` for another ending, and for a CIF whose grains could no longer tell in which
    directions they may move.
    """
    if path.suffix in (".xyz", ".extxyz"):
        write(path, _with_column(atoms), format="extxyz")
    elif path.suffix == ".cif":
        _require_orientation(path, atoms)
        keys = {CIF_ITEM.removeprefix("_"): [roles(atoms)]} if has_roles(atoms) else {}
        write(path, atoms, format="cif", loop_keys=keys)
    elif path.suffix == ".vasp" or "POSCAR" in path.name or "CONTCAR" in path.name:
        path.write_text(_poscar(atoms), encoding="utf-8")
    else:
        raise UserError(f"{path.name} has no known ending; choose .xyz, .cif or .vasp")


def read_structure(path: Path) -> Atoms:
    """Read a structure and the roles of its atoms from a file that htinvert wrote.

    Raises :class:`UserError` where the roles do not fit the atoms.
    """
    return restore_roles(read_structures(path)[-1], path)


def write_table(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Write rows, all with the same columns, as comma-separated values with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _with_column(atoms: Atoms) -> Atoms:
    labeled: Atoms = atoms.copy()
    labeled.info.pop(HELD, None)
    if has_roles(atoms):
        labeled.set_array(COLUMN, np.array(roles(atoms)))
    return labeled


def _poscar(atoms: Atoms) -> str:
    """A POSCAR with selective dynamics and a role at the end of each atom's line."""
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    bare.set_constraint([FixAtoms(mask=frozen_mask(atoms))] if has_roles(atoms) else None)
    text = io.StringIO()
    write(text, bare, format="vasp")
    lines = text.getvalue().rstrip("\n").split("\n")
    if has_roles(atoms):
        head, body = lines[: -len(atoms)], lines[-len(atoms) :]
        lines = head + [f"{line}  {word}" for line, word in zip(body, roles(atoms), strict=True)]
    return "\n".join(lines) + "\n"


def _require_orientation(path: Path, atoms: Atoms) -> None:
    if all(body.allowed.all() for body in rigid_bodies(atoms)):
        return
    standard = Cell.fromcellpar(atoms.cell.cellpar())
    if not np.allclose(standard.array, atoms.cell.array, atol=1e-6):
        raise UserError(
            f"{path.name} cannot keep along which of x, y and z a rigid grain moves, because CIF "
            "turns the cell to its standard orientation; write .xyz or .vasp"
        )
