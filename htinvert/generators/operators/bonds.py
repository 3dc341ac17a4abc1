"""A pair model read off a structure: where its bonds are, how soft its modes, how well held who.

For every pair of elements the bond length is the typical distance from an atom of one to its
nearest neighbor of the other in the structure itself, so that the model needs neither a table of
radii nor an energy. Only operators use it, to choose among moves.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.geometry.distances import distances
from htinvert.geometry.roles import region_mask

REACH = 1.35  # of a bond length: between the first and the second shell of close packing (1.41)
EXPONENT = 6  # of the attraction, as Lennard-Jones has it


def neighbor_vectors(atoms: Atoms) -> NDArray[np.float64]:
    """Vectors [Å] from atom i to an image of atom j, shape (n, n, 3), by rounded fractions.

    That is the nearest image where both are nearer than half of the cell's smallest height.
    """
    vectors = atoms.positions - atoms.positions[:, None]
    if not atoms.pbc.any():
        return np.asarray(vectors)
    fractions = atoms.cell.scaled_positions(vectors.reshape(-1, 3))
    fractions -= np.round(fractions) * atoms.pbc
    return np.asarray(fractions @ atoms.cell.array).reshape(vectors.shape)


def bond_lengths(atoms: Atoms) -> NDArray[np.float64]:
    """Length [Å] of the bond of every pair of atoms, by their elements, shape (n, n).

    The median, over the atoms of both elements, of the distance to the nearest one of the other.
    """
    apart = np.linalg.norm(neighbor_vectors(atoms), axis=-1)
    np.fill_diagonal(apart, np.inf)
    lengths = np.full_like(apart, np.inf)
    species = np.unique(atoms.numbers)
    for a in species:
        for b in species:
            pair = np.ix_(atoms.numbers == a, atoms.numbers == b)
            nearest = np.concatenate([apart[pair].min(axis=1), apart[pair].min(axis=0)])
            lengths[pair] = np.median(nearest)
    finite = lengths[np.isfinite(lengths)]
    lengths[~np.isfinite(lengths)] = finite.max() if len(finite) else 1.0
    return lengths


def nearest_neighbor(atoms: Atoms) -> float:
    """Typical distance [Å] of the region's atoms to their nearest neighbor, 0 for a lone atom."""
    chosen = np.flatnonzero(region_mask(atoms))
    if not len(chosen) or len(atoms) < 2:
        return 0.0
    apart = distances(atoms.positions[chosen], atoms, cutoff=6.0)
    apart[apart < 1e-9] = np.inf
    return float(np.median(apart.min(axis=(1, 2))))


def attraction(apart: NDArray[np.float64], bond: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lennard-Jones energy of pairs in units of a bond's; its minimum of -1 is at the bond length.

    Closer than 0.7 of a bond all pairs cost the same, so that trial places can be compared.
    """
    power = (bond / np.maximum(apart, 0.7 * bond)) ** EXPONENT
    return np.asarray(power * (power - 2.0))


def bond_energies(atoms: Atoms) -> NDArray[np.float64]:
    """How well each atom is held by the others, in bonds, low is good, shape (n,)."""
    apart = np.linalg.norm(neighbor_vectors(atoms), axis=-1)
    np.fill_diagonal(apart, np.inf)
    return np.asarray(attraction(apart, bond_lengths(atoms)).sum(axis=1))


def soft_modes(atoms: Atoms, mobile: NDArray[np.int64]) -> NDArray[np.float64]:
    """Directions in which springs along the bonds hold the mobile atoms least, softest first.

    Shape (modes, len(mobile), 3), unit length each. Springs grow softer with the length of a bond
    as bond valences do (Lyakhov, Oganov & Valle, Comput. Phys. Commun. 181, 1623 (2010)); rigid
    translations and rotations of the whole are left out by their vanishing stiffness.
    """
    vectors = neighbor_vectors(atoms)
    apart = np.linalg.norm(vectors, axis=-1)
    np.fill_diagonal(apart, np.inf)
    stretch = (apart - bond_lengths(atoms)) / bond_lengths(atoms)
    springs = np.where(apart < 6.0 * np.sqrt(3.0), np.exp(-stretch / 0.15), 0.0)
    units = vectors / apart[:, :, None]
    blocks = -springs[:, :, None, None] * units[:, :, :, None] * units[:, :, None, :]
    each = np.arange(len(atoms))
    blocks[each, each] = -blocks.sum(axis=1)
    part = blocks[np.ix_(mobile, mobile)].transpose(0, 2, 1, 3)
    values, modes = np.linalg.eigh(part.reshape(3 * len(mobile), 3 * len(mobile)))
    kept = modes[:, values > 1e-6 * values[-1]]
    return np.asarray(kept.T.reshape(-1, len(mobile), 3))
