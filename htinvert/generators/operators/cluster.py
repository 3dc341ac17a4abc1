"""Moves of free clusters: atoms from poor places to the best vacant ones, and a twisted half."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from htinvert.core import REGION_TAG, Infeasible, Space
from htinvert.generators.operators.bonds import (
    attraction,
    bond_energies,
    bond_lengths,
    nearest_neighbor,
)
from htinvert.generators.operators.legal import attempt, free_indices, is_free_cluster, without

SITES = 150  # trial places on the surface
DESCENT = 8  # steps that each takes toward its neighbors
KEPT = 6  # best vacant places among which one is drawn


def relocate_surface(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, share: float = 0.1
) -> Atoms:
    """Move the worst-held atoms of a cluster, one after the other, to the best vacant places.

    One atom at least, more with a chance that falls off by ``share`` of the cluster. Places are
    judged by a pair model with the cluster's own bond lengths. The surface moves of Wales & Doye,
    J. Phys. Chem. A 101, 5111 (1997), aimed as in dynamic lattice searching (Shao, Cheng & Cai, J.
    Comput. Chem. 25, 1693 (2004)).
    """
    if not is_free_cluster(space):
        raise Infeasible("only a free cluster has its surface all around")
    if len(free_indices(atoms)) < 5:
        raise Infeasible("a cluster of fewer than five atoms is all surface")

    def make() -> Atoms:
        number = min(1 + int(rng.exponential(share * len(atoms))), len(atoms) // 3)
        child, moved = atoms, []
        for _ in range(number):
            energies = bond_energies(child)
            worst = np.argsort(-energies)
            taken = int(worst[min(int(rng.exponential(1.0)), len(worst) - 1)])
            moved.append(str(child[taken].symbol))
            child = without(child, taken)
        for symbol in moved:
            child = child + Atoms(symbol, [vacant_place(child, symbol, rng)], tags=[REGION_TAG])
        return child

    return attempt(make, space, what="relocate_surface", tries=10)


def vacant_place(atoms: Atoms, symbol: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """One of the best places [Å] for one more atom of an element at the surface, shape (3,).

    Trial places on a sphere around the cluster go down the pair model; the best unlike ones are
    drawn from with chances that fall off by their rank.
    """
    same = np.flatnonzero(atoms.symbols == symbol)
    bonds = bond_lengths(atoms)[same[0]] if len(same) else _own_bonds(atoms)
    places = _descended(_sphere(atoms, rng, float(bonds.max())), atoms.positions, bonds)
    apart = np.sqrt(_squares(places, atoms.positions))
    energies = attraction(apart, bonds).sum(axis=1)
    best: list[NDArray[np.float64]] = []
    for index in np.argsort(energies):
        place = places[index]
        if all(((place - other) ** 2).sum() > (0.3 * bonds.min()) ** 2 for other in best):
            best.append(place)
        if len(best) == KEPT:
            break
    return best[min(int(rng.exponential(1.0)), len(best) - 1)]


def twist(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Turn one half of a cluster against the other about an axis through the center.

    Froltsov & Reuter, Chem. Phys. Lett. 473, 363 (2009); Rossi & Ferrando, J. Phys.: Condens.
    Matter 21, 084208 (2009).
    """
    if not is_free_cluster(space):
        raise Infeasible("only a free cluster can be twisted")
    free_indices(atoms)

    def make() -> Atoms:
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        offsets = atoms.positions - atoms.positions.mean(axis=0)
        upper = offsets @ axis > 0.0
        turn = Rotation.from_rotvec(axis * rng.uniform(0.1 * np.pi, 1.9 * np.pi))
        child = atoms.copy()
        child.positions[upper] += turn.apply(offsets[upper]) - offsets[upper]
        return child

    return attempt(make, space, what="twist")


def _own_bonds(atoms: Atoms) -> NDArray[np.float64]:
    """Bond lengths [Å] to the atoms for an element that the cluster does not hold, shape (n,)."""
    return np.full(len(atoms), nearest_neighbor(atoms) or 2.0)


def _sphere(atoms: Atoms, rng: np.random.Generator, bond: float) -> NDArray[np.float64]:
    """Random places half a bond outside of the cluster's outermost atoms, shape (SITES, 3) [Å]."""
    middle = atoms.positions.mean(axis=0)
    directions = rng.normal(size=(SITES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    heights = (atoms.positions - middle) @ directions.T
    sideways = ((atoms.positions - middle) ** 2).sum(axis=1)[:, None] - heights**2
    near = sideways < bond**2
    tops = np.where(near, heights + np.sqrt(np.maximum(bond**2 - sideways, 0.0)), 0.0).max(axis=0)
    return np.asarray(middle + tops[:, None] * directions)


def _descended(
    places: NDArray[np.float64], positions: NDArray[np.float64], bonds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Places after some short steps down the pair model, shape (SITES, 3) [Å]."""
    step = 0.15 * float(bonds.min())
    for _ in range(DESCENT):
        square = _squares(places, positions)
        power = (bonds**2 / np.maximum(square, 0.5 * bonds**2)) ** 3
        slope = (power - power**2) / square  # along the vector, in units of 12 bonds
        force = slope @ positions - slope.sum(axis=1)[:, None] * places
        places = places + step * force / np.maximum(np.linalg.norm(force, axis=1), 1e-9)[:, None]
        step *= 0.8
    return places


def _squares(places: NDArray[np.float64], positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances [Å²], shape (places, atoms), from a product of matrices."""
    ours, theirs = (places**2).sum(axis=1), (positions**2).sum(axis=1)
    return np.maximum(ours[:, None] + theirs - 2.0 * places @ positions.T, 1e-6)
