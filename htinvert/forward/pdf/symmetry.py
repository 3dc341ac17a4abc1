"""The symmetry of a crystal and its conventional cell, as spglib finds them.

A. Togo, K. Shinohara & I. Tanaka, Sci. Technol. Adv. Mater. Methods 4, 2384822 (2024).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ase import Atoms

EXACT = 1e-3  # Å that atoms may be off a symmetry's places
LARGEST = 300  # atoms of a cell whose symmetry is looked for: larger ones are models of disorder


def conventional(atoms: Atoms) -> Atoms:
    """The crystal in its conventional cell where its own is another; other structures as they are.

    Only in that cell do lengths say what tables do, and have factors of their own.
    """
    dataset = symmetry_of(atoms)
    if dataset is None or len(dataset.std_types) == len(atoms):
        return atoms
    import spglib

    given: Any = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        found: Any = spglib.standardize_cell(given, no_idealize=True, symprec=EXACT)
    cell, places, numbers = found
    return Atoms(numbers, cell=cell, scaled_positions=places, pbc=True)


def symmetry_of(atoms: Atoms) -> Any:
    """What spglib finds of a crystal; None of a cluster, a large cell, or where it finds none."""
    if not atoms.pbc.all() or len(atoms) > LARGEST:
        return None
    import spglib

    given: Any = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        try:
            return spglib.get_symmetry_dataset(given, symprec=EXACT)
        except Exception:  # its own error types are new and still moving
            return None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the words that spglib 2 has for programmers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
