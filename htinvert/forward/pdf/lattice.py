"""Lengths of a crystal's cell as a fit may change them: factors along its vectors, by symmetry.

A factor is named by the vectors that it stretches: ``ab`` and ``c`` of a tetragonal cell. Fractions
and angles stay. Symmetry by spglib: Togo, Shinohara & Tanaka, Sci. Technol. Adv. Mater. Methods 4,
2384822 (2024).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Floats, UserError

VECTORS = "abc"
ALIKE = 2e-3  # of a length, within which a symmetry's image of a vector is as long as it
EXACT = 1e-3  # Å that atoms may be off a symmetry's places
LARGEST = 300  # atoms of a cell whose symmetry is looked for: larger ones are models of disorder


def check_names(zoom: Mapping[str, float]) -> None:
    """Raise :class:`ValueError` where factors are not named by vectors, each once, or ``*``."""
    named = "".join(name for name in zoom if name != "*")
    if not set(named) <= set(VECTORS) or len(set(named)) < len(named):
        raise ValueError(
            f"zoom is given for {', '.join(zoom)} but must be for vectors of the cell, each once, "
            "such as zoom.ab and zoom.c"
        )


def stretched(atoms: Atoms, zoom: Mapping[str, float]) -> Atoms:
    """A crystal whose cell vectors are longer by these factors, fractions as they were.

    Raises:
        UserError: where the structure is no crystal.
    """
    if not atoms.pbc.all():
        raise UserError("zoom along vectors of the cell needs a crystal; give one zoom")
    moved = atoms.copy()
    moved.set_cell(factors(zoom)[:, None] * atoms.cell.array, scale_atoms=True)
    return moved


def factors(zoom: float | Mapping[str, float]) -> Floats:
    """Factor on each vector of a cell, shape (3,)."""
    if not isinstance(zoom, Mapping):
        return np.full(3, float(zoom))
    rest = zoom.get("*", 1.0)
    found = {vector: value for name, value in zoom.items() if name != "*" for vector in name}
    return np.array([found.get(vector, rest) for vector in VECTORS], dtype=float)


def usual(atoms: Atoms) -> tuple[str, ...]:
    """Names of the factors on distances that symmetry leaves free: ``zoom``, or one per length.

    Vectors that a symmetry of the crystal turns into each other have one factor. A cluster, a cell
    of many atoms, and one whose vectors mix under its symmetry, have one for all.
    """
    groups = _groups(atoms)
    return ("zoom",) if len(groups) == 1 else tuple(f"zoom.{name}" for name in groups)


def lengths(atoms: Atoms, zoom: Mapping[str, float]) -> dict[str, tuple[float, str]]:
    """Length [Å] of each cell vector that is not that of another, and the factor that it follows.

    ``zoom`` are values by the names of :func:`usual`.
    """
    if not atoms.pbc.all():
        return {}
    found: dict[str, tuple[float, str]] = {}
    for name, value in zoom.items():
        for vector in name.partition(".")[2] or VECTORS:
            length = float(atoms.cell.lengths()[VECTORS.index(vector)])
            if all(abs(value * length / other - 1.0) > 1e-6 for other, _ in found.values()):
                found[vector] = (value * length, name)
    return found


def derived(
    atoms: Atoms, parameters: Mapping[str, float], errors: Mapping[str, float]
) -> dict[str, tuple[float, float | None, str]]:
    """Cell lengths that follow from fitted parameters, their standard errors and unit."""
    zoom = {name: x for name, x in parameters.items() if name.partition(".")[0] == "zoom"}
    return {
        f"cell {vector}": (length, length * errors[name] / zoom[name], "Å")
        for vector, (length, name) in lengths(atoms, zoom).items()
    }


def conventional(atoms: Atoms) -> Atoms:
    """The crystal in its conventional cell where its own is another; other structures as they are.

    Only in that cell do lengths say what tables do, and have factors of their own.
    """
    dataset = _symmetry(atoms)
    if dataset is None or len(dataset.std_types) == len(atoms):
        return atoms
    import spglib

    given: Any = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    with _quiet():
        found: Any = spglib.standardize_cell(given, no_idealize=True, symprec=EXACT)
    cell, places, numbers = found
    return Atoms(numbers, cell=cell, scaled_positions=places, pbc=True)


def _groups(atoms: Atoms) -> list[str]:
    """Vectors of a cell in groups that share a factor, such as ``ab`` and ``c``."""
    dataset = _symmetry(atoms)
    if dataset is None:
        return [VECTORS]
    metric = atoms.cell.array @ atoms.cell.array.T
    for groups in (["a", "b", "c"], ["ab", "c"], ["ac", "b"], ["bc", "a"]):
        names = {name: 1.0 + 0.05 * place for place, name in enumerate(groups)}
        scale = factors(names)
        tried = metric * np.outer(scale, scale)
        size = np.sqrt(np.outer(np.diag(tried), np.diag(tried)))
        turned = np.einsum("nij,ik,nkl->njl", dataset.rotations, tried, dataset.rotations)
        if (np.abs(turned - tried) < ALIKE * size).all():
            return sorted(groups)
    return [VECTORS]


def _symmetry(atoms: Atoms) -> Any:
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
