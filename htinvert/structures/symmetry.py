"""Which operations map a structure onto itself, and which atoms they exchange, by spglib."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import UserError
from htinvert.geometry.roles import motion

TOLERANCE = 0.01  # Å; published coordinates have three or four digits


def space_group(atoms: Atoms, *, tolerance: float = TOLERANCE) -> tuple[str, int]:
    """Hermann-Mauguin symbol and number of the space group, within ``tolerance`` [Å].

    Raises :class:`UserError` where the cell has no volume or atoms coincide. Source: Togo,
    Shinohara & Tanaka, Sci. Technol. Adv. Mater. Methods 4, 2384822 (2024).
    """
    found = symmetry_dataset(atoms, atoms.numbers, tolerance=tolerance)
    return str(found.international), int(found.number)


def operations(
    atoms: Atoms, *, tolerance: float = TOLERANCE
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Operations that map the structure onto itself: ``fraction -> rotation @ fraction + shift``.

    Returns rotations, shape (m, 3, 3), and shifts, shape (m, 3), both in fractions of the cell.
    Atoms that differ in element or role are told apart. Raises like `space_group`.
    """
    table = np.stack([atoms.numbers, atoms.get_tags(), motion(atoms)], axis=1)
    kinds = np.unique(table, axis=0, return_inverse=True)[1].ravel() + 1
    found = symmetry_dataset(atoms, kinds, tolerance=tolerance)
    return np.asarray(found.rotations, dtype=np.int64), np.asarray(found.translations)


def permutations(atoms: Atoms, *, tolerance: float = TOLERANCE) -> NDArray[np.int64]:
    """Where the operations take the atoms, shape (m, n): one of them takes i to ``[m, i]``.

    Raises like `space_group`.
    """
    rotations, shifts = operations(atoms, tolerance=tolerance)
    fractions = atoms.cell.scaled_positions(atoms.positions)
    images = np.einsum("mij,nj->mni", rotations, fractions) + shifts[:, None]
    # Twice the remainder: a tiny negative number's is 1.0, which the tree refuses.
    tree = cKDTree(fractions % 1.0 % 1.0, boxsize=1.0)
    _, index = tree.query(images % 1.0 % 1.0)
    return np.unique(np.asarray(index, dtype=np.int64), axis=0)


def symmetry_dataset(
    atoms: Atoms, kinds: NDArray[np.int64], *, tolerance: float = TOLERANCE
) -> Any:
    """What spglib knows of a structure whose atoms are told apart by ``kinds``, shape (n,).

    Raises like `space_group`. The library is loaded here; a start of the program does not need it.
    """
    import spglib

    if not len(atoms) or abs(atoms.cell.volume) < 1e-6:
        raise UserError(
            f"{atoms.get_chemical_formula() or 'the structure'} has no atoms or no cell with a "
            "volume, so it has no crystal symmetry; give a periodic structure"
        )
    fractions = atoms.cell.scaled_positions(atoms.positions)
    cell: Any = (atoms.cell.array, fractions, kinds)  # its annotations know lists only
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib 2 and 3 fail differently
        try:
            found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
        except Exception:  # its own error types are new and still moving
            found = None
    if found is None:
        raise UserError(
            f"the symmetry of {atoms.get_chemical_formula()} could not be found, most often "
            "because atoms coincide; check the positions and the cell"
        )
    return found
