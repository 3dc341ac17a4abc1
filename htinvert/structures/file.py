"""Structures from files: POSCAR, CIF, extended XYZ and everything else that ASE reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter
from htinvert.declaration.wording import no_element, shortened
from htinvert.geometry.counts import refuse_counts
from htinvert.geometry.distances import heights, near_pairs
from htinvert.geometry.read import read_structures
from htinvert.geometry.roles import restore_roles

LARGEST_FILE = 50_000_000  # bytes; a structure for a search has thousands of atoms, not millions
COINCIDENT = 0.1  # Å
MOST_ATOMS = 1_000_000
DATA = (".npy", ".npz", ".tif", ".tiff", ".png", ".jpg", ".dm3", ".dm4", ".emd", ".ser", ".mrc")
VECTOR = (0.5, 1e4)  # Å: shortest and longest vector of a cell
THINNEST = 0.5  # Å between faces of a cell along a direction in which it repeats
FARTHEST = 1e5  # Å: of an atom from the origin


def from_file(
    path: Path,
    *,
    remove: tuple[str, ...] = (),
    repeat: tuple[int, int, int] = (1, 1, 1),
    index: Annotated[int | None, Parameter("1")] = None,
) -> Atoms:
    """Read a structure [Å]; leave out the elements in ``remove``, then repeat the cell.

    ``index`` chooses from a file that holds several, -1 being the last. Roles that htinvert wrote
    are kept (:mod:`htinvert.geometry.roles`), and so is what other programs hold. Raises
    :class:`UserError` where the file is missing, unreadable, empty or not finite, holds several
    structures and none is chosen, leaves symmetry or elements to be guessed, has sites that are
    occupied in part or by several elements, atoms that coincide, more than a million of them, or a
    cell that is flat or has vectors outside of 0.5 to 10 000 Å.
    """
    if not path.is_file():
        raise UserError(f"there is no structure file {path}; check its name and folder")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(
            f"{path} is larger than {LARGEST_FILE // 10**6} MB; give a single structure"
        )
    refuse_counts(path)
    atoms = _read(path, index)
    _refuse_sizes(atoms, path)
    atoms = restore_roles(atoms, path)
    atoms = atoms[[symbol not in remove for symbol in atoms.get_chemical_symbols()]]
    if not len(atoms):
        raise UserError(f"{path} holds no atoms after {', '.join(remove) or 'nothing'} was removed")
    _refuse_coincidence(atoms, path)
    if min(repeat) < 1 or len(atoms) * math.prod(repeat) > MOST_ATOMS:
        raise UserError(
            f"repeat {' x '.join(map(str, repeat))} makes no structure of 1 to {MOST_ATOMS} atoms "
            f"of the {len(atoms)} in {path}; give other numbers"
        )
    return atoms.repeat(repeat) if math.prod(repeat) > 1 else atoms


def _read(path: Path, index: int | None) -> Atoms:
    """The chosen structure of a file, or its only one."""
    try:
        structures = read_structures(path)
    except UserError:
        raise
    except Exception as error:  # ASE's readers raise whatever their parsers raise
        if path.suffix.lower() in DATA:
            raise UserError(
                f"{path} is an image, not a structure; give the structure here, and check whether "
                "two files were swapped"
            ) from error
        if isinstance(error, UnicodeDecodeError):
            raise UserError(
                f"{path} is text in another code than UTF-8; save it as UTF-8"
            ) from error
        if isinstance(error, KeyError) and str(error.args[0]).isalpha():
            raise UserError(f"{path}: {no_element(str(error.args[0]))}") from error
        reason = shortened(" ".join(str(error).split()), 200) or type(error).__name__
        raise UserError(
            f"{path} could not be read as a structure ({reason}); "
            "POSCAR, CIF and extxyz are safe choices"
        ) from error
    if not structures:
        raise UserError(f"{path} holds no structure; give a file with one")
    if index is None and len(structures) > 1:
        raise UserError(
            f"{path} holds {len(structures)} structures; choose one with "
            f"index, 0 to {len(structures) - 1} or -1 for the last"
        )
    try:
        return structures[index or 0]
    except IndexError as error:
        raise UserError(
            f"{path} holds {len(structures)} structures but index is {index}; "
            f"choose 0 to {len(structures) - 1}"
        ) from error


def _refuse_sizes(atoms: Atoms, path: Path) -> None:
    """Refuse what no structure in Å is like, on which neighbors are sought for ever."""
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise UserError(f"{path} has positions or cell vectors that are not finite numbers")
    if len(atoms) > MOST_ATOMS:
        raise UserError(f"{path} has {len(atoms)} atoms; a structure has at most {MOST_ATOMS}")
    lengths = np.linalg.norm(atoms.cell.array, axis=1)
    odd = atoms.pbc | (lengths > 0.0)
    odd &= (lengths < VECTOR[0]) | (lengths > VECTOR[1])
    if odd.any():
        raise UserError(
            f"{path} has a cell vector of {lengths[odd][0]:.3g} Å; one of {VECTOR[0]:g} to "
            f"{VECTOR[1]:g} Å is expected, so check its unit and scale"
        )
    flat = abs(atoms.cell.complete().volume) < 1e-9  # Å³
    if flat or (heights(atoms)[atoms.pbc] < THINNEST).any():
        raise UserError(
            f"{path} has a cell whose vectors lie in one plane, or nearly so; it has no volume, "
            "check its vectors"
        )
    farthest = float(np.abs(atoms.positions).max(initial=0.0))
    if farthest > FARTHEST:
        raise UserError(
            f"{path} has an atom {farthest:.3g} Å from the origin, more than {FARTHEST:g}; check "
            "its unit"
        )


def _refuse_coincidence(atoms: Atoms, path: Path) -> None:
    first, second, _ = near_pairs(atoms, cutoff=COINCIDENT)
    if len(first):
        i, j = int(first[0]), int(second[0])
        raise UserError(
            f"{path} has {atoms.symbols[i]} (atom {i}) and {atoms.symbols[j]} (atom {j}) less than "
            f"{COINCIDENT} Å apart; remove one of them"
        )
