"""What a substance may look like by its formula alone, for an engine to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import atomic_numbers, covalent_radii
from ase.formula import Formula
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal

from htinvert.core import UserError
from htinvert.structures.prototype import PROTOTYPES, prototype

BOX = 12.0  # Å: of a molecule
GASES = ("H", "N", "O", "F", "Cl")
CHAINS = {  # a, c [Å], x: R. W. G. Wyckoff, Crystal Structures 1, 36 (1963), P3(1)21
    "Se": (4.3662, 4.9536, 0.2254),
    "Te": (4.4572, 5.9290, 0.2633),
}
RATIOS = {  # c/a to begin from where a prototype has none: TiO2, TiO2, Al2O3, U3Si2
    "rutile": 0.644,
    "anatase": 2.514,
    "corundum": 2.730,
    "M3B2": 0.532,
    "Mo2FeB2": 0.532,
}


def phases_of(formula: str) -> list[Atoms]:
    """Likely structures of an element or a compound, roughly at their size.

    An element in its own crystal, or as a molecule where it is a gas; a compound in every prototype
    of its composition, atoms at the sum of their covalent radii. Raises :class:`UserError` where
    nothing is known, so that a structure must be given.
    """
    try:
        counts = dict(Formula(formula).reduce()[0].count())
    except (ValueError, TypeError) as error:
        raise UserError(f"{formula} is no chemical formula; write it like CdTe") from error
    if unknown := [symbol for symbol in counts if not atomic_numbers.get(symbol)]:
        raise UserError(f"{formula} names {unknown[0]}, which is no element; write it like CdTe")
    found = [_element(next(iter(counts)))] if len(counts) == 1 else list(_compounds(counts))
    known = [atoms for atoms in found if atoms is not None]
    if not known:
        raise UserError(
            f"no crystal of {formula} is known by its name; give a file, such as "
            "{use: file, path: FILE}, or {use: prototype, ...}"
        )
    return known


def _element(symbol: str) -> Atoms | None:
    if symbol in GASES:
        return molecule(f"{symbol}2", cell=[BOX] * 3, pbc=True)
    if symbol in CHAINS:
        a, c, x = CHAINS[symbol]
        made = crystal(symbol, [(x, 0.0, 1 / 3)], spacegroup=152, cellpar=[a, a, c, 90, 90, 120])
        return Atoms(made.numbers, made.positions, cell=made.cell, pbc=True)
    try:
        return bulk(symbol)
    except (ValueError, KeyError, RuntimeError):
        return None


def _compounds(counts: dict[str, int]) -> Iterator[Atoms]:
    divisor = math.gcd(*counts.values())
    amounts = sorted(count // divisor for count in counts.values())
    formula = "".join(f"{symbol}{count}" for symbol, count in counts.items())
    for name, kind in PROTOTYPES.items():
        if sorted(kind.roles.values()) != amounts:
            continue
        ratio = RATIOS.get(name)
        for turned in {formula, "".join(f"{s}{n}" for s, n in reversed(counts.items()))}:
            made = prototype(turned, crystal=name, a=5.0, c=5.0 * ratio if ratio else None)
            yield _sized(made)


def _sized(atoms: Atoms) -> Atoms:
    """The same with its closest unlike atoms at the sum of their covalent radii."""
    i, j, apart = neighbor_list("ijd", atoms, 5.0)
    radii = np.asarray(covalent_radii)[atoms.numbers]
    unlike = atoms.numbers[i] != atoms.numbers[j]
    scale = float(((radii[i] + radii[j]) / apart)[unlike].max())
    atoms.set_cell(scale * atoms.cell.array, scale_atoms=True)
    return atoms
