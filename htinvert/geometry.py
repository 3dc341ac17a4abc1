"""Distances in periodic cells, and a fingerprint that tells like structures from unlike ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from htinvert.core import frozen_mask

FINGERPRINT_CUTOFF = 6.0  # Å
FINGERPRINT_STEP = 0.05  # Å
FINGERPRINT_WIDTH = 0.15  # Å, standard deviation of the smearing


def covalent_distances(
    symbols: Iterable[str], *, ratio: float = 0.7
) -> dict[frozenset[str], float]:
    """Shortest sensible distance [Å] of every pair of elements: ``ratio`` times the covalent sum.

    Radii of Cordero et al., Dalton Trans. 2832 (2008); 0.7 is the customary ratio in genetic
    algorithms (Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014)).
    """
    names = sorted(set(symbols))
    radius = {name: float(covalent_radii[atomic_numbers[name]]) for name in names}
    return {frozenset((a, b)): ratio * (radius[a] + radius[b]) for a in names for b in names}


def limits(
    first: Iterable[str], second: Iterable[str], min_distance: Mapping[frozenset[str], float]
) -> NDArray[np.float64]:
    """Shortest allowed distances [Å], shape (len(first), len(second))."""
    second = list(second)
    return np.array([[min_distance.get(frozenset((a, b)), 0.0) for b in second] for a in first])


def clearance(
    points: NDArray[np.float64],
    symbol: str,
    atoms: Atoms,
    min_distance: Mapping[frozenset[str], float],
) -> NDArray[np.bool_]:
    """At which of ``points``, shape (m, 3) [Å], an atom is far enough from all others."""
    if not len(atoms):
        return np.ones(len(points), dtype=bool)
    _, distances = get_distances(points, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    allowed = limits([symbol], atoms.get_chemical_symbols(), min_distance)
    return np.asarray((distances >= allowed).all(axis=1))


def clashes(
    atoms: Atoms, mask: NDArray[np.bool_], min_distance: Mapping[frozenset[str], float]
) -> bool:
    """True where an atom of ``mask``, shape (n,), is closer to another than allowed."""
    if not mask.any():
        return False
    chosen = np.flatnonzero(mask)
    _, distances = get_distances(
        atoms.positions[chosen], atoms.positions, cell=atoms.cell, pbc=atoms.pbc
    )
    distances[np.arange(len(chosen)), chosen] = np.inf
    symbols = np.array(atoms.get_chemical_symbols())
    return bool((distances < limits(symbols[chosen], symbols, min_distance)).any())


def shortest_ratio(atoms: Atoms) -> float:
    """Smallest ratio of a distance to the sum of covalent radii, infinite where nothing is near."""
    first, second, distances = neighbor_list("ijd", atoms, 3.0)
    if not len(distances):
        return float("inf")
    radii = np.asarray(covalent_radii)[atoms.numbers]
    ratios: NDArray[np.float64] = distances / (radii[first] + radii[second])
    return float(ratios.min())


def fingerprint(atoms: Atoms) -> NDArray[np.float64]:
    """Smeared distances of the atoms that may move, by pair of elements; flat, unit length.

    The radial form of Oganov & Valle, J. Chem. Phys. 130, 104504 (2009), restricted to pairs with
    at least one atom that is not frozen and weighted by 1/r so that near neighbors count most.
    Unchanged by translation, rotation, mirroring and the order of atoms.
    """
    free = ~frozen_mask(atoms)
    first, second, distances = neighbor_list("ijd", atoms, FINGERPRINT_CUTOFF)
    used = free[first]
    first, second, distances = first[used], second[used], distances[used]
    species = np.unique(atoms.numbers)
    grid = np.arange(0.0, FINGERPRINT_CUTOFF, FINGERPRINT_STEP)
    blocks = []
    for i, a in enumerate(species):
        for b in species[i:]:
            ends = atoms.numbers[first], atoms.numbers[second]
            pair = ((ends[0] == a) & (ends[1] == b)) | ((ends[0] == b) & (ends[1] == a))
            r = distances[pair]
            fade = 0.5 * (1.0 + np.cos(np.pi * r / FINGERPRINT_CUTOFF)) / np.maximum(r, 0.5)
            peaks = np.exp(-0.5 * ((grid[:, None] - r) / FINGERPRINT_WIDTH) ** 2)
            blocks.append(peaks @ fade)
    vector = np.concatenate(blocks)
    return vector / (np.linalg.norm(vector) or 1.0)


def difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Cosine distance of two fingerprints, 0 for alike ones to 1; 1 where their elements differ."""
    if first.shape != second.shape:
        return 1.0
    return max(0.0, 1.0 - float(first @ second))
