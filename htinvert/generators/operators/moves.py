"""Moves of the region's atoms that keep how many there are of each element."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.legal import (
    attempt,
    free_indices,
    insert,
    is_free_cluster,
    without,
)
from htinvert.geometry.roles import region_mask


def rattle(
    atoms: Atoms,
    *,
    space: Space,
    rng: np.random.Generator,
    amplitude: float = 0.8,
    share: float = 0.4,
) -> Atoms:
    """Shake a share of the region's atoms by up to ``amplitude`` [Å] along each axis.

    The step of basin hopping (Wales & Doye, J. Phys. Chem. A 101, 5111 (1997)); as a mutation
    Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014).
    """
    chosen = free_indices(atoms)

    def make() -> Atoms:
        child = atoms.copy()
        picked = chosen[rng.random(len(chosen)) < share]
        if not len(picked):
            picked = rng.choice(chosen, size=1)
        child.positions[picked] += rng.uniform(-amplitude, amplitude, size=(len(picked), 3))
        return child

    return attempt(make, space, what="rattle")


def slide(atoms: Atoms, *, space: Space, rng: np.random.Generator, amplitude: float = 2.0) -> Atoms:
    """Move all of the region's atoms together by up to ``amplitude`` [Å] along each axis.

    A layer at a boundary often has the right atoms in the wrong place along it (the rigid shifts of
    Chen et al., Nat. Commun. 15, 7049 (2024), of the region instead of a grain).
    """
    chosen = free_indices(atoms)
    scale = np.full(3, amplitude)
    if space.region is not None:
        scale[space.region.dimension] *= 0.1  # along the boundary rather than across

    def make() -> Atoms:
        child = atoms.copy()
        child.positions[chosen] += scale * rng.uniform(-1.0, 1.0, size=3)
        return child

    return attempt(make, space, what="slide", push=False)


def permute(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Exchange two atoms of different elements inside the region.

    Johnston, Dalton Trans. 4193 (2003), for clusters of two metals.
    """
    chosen = np.flatnonzero(region_mask(atoms))
    numbers = atoms.numbers
    pairs = [(i, j) for i in chosen for j in chosen if i < j and numbers[i] != numbers[j]]
    if not pairs:
        raise Infeasible("the region holds one element only")

    def make() -> Atoms:
        i, j = pairs[int(rng.integers(len(pairs)))]
        child = atoms.copy()
        child.positions[[i, j]] = child.positions[[j, i]]
        return child

    return attempt(make, space, what="permute", push=False)


def relocate(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take one atom of the region away and put it elsewhere in the region, at random.

    The move of AGOX's rattle with large amplitude: Christiansen, Rønne & Hammer, J. Chem. Phys.
    157, 054701 (2022).
    """

    def make() -> Atoms:
        taken = int(rng.choice(free_indices(atoms)))
        rest = without(atoms, taken)
        return insert(rest, [str(atoms[taken].symbol)], space=space, rng=rng)

    return attempt(make, space, what="relocate", tries=3)


def mirror(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Replace one half of the region by the mirror image of the other half.

    The plane holds the region's normal where there is one, and goes through the center of its
    atoms; those that the image has too many of each element are dropped and missing ones are kept
    from the old half (MirrorMutation of Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014)).
    """
    chosen = free_indices(atoms)
    if len(chosen) < 3:
        raise Infeasible("the region holds too few atoms for a mirror")

    def make() -> Atoms:
        normal = rng.normal(size=3)
        if space.region is not None:
            normal[space.region.dimension] = 0.0
        normal /= np.linalg.norm(normal)
        middle = atoms.positions[chosen].mean(axis=0)
        height = (atoms.positions[chosen] - middle) @ normal
        child = atoms.copy()
        for number in np.unique(atoms.numbers[chosen]):
            same = atoms.numbers[chosen] == number
            order = np.argsort(-height[same])  # the kept half first
            ordered = chosen[same][order]
            half = len(ordered) // 2
            kept, replaced = ordered[:half], ordered[len(ordered) - half :][::-1]
            away = 2.0 * ((atoms.positions[kept] - middle) @ normal)[:, None] * normal
            child.positions[replaced] = atoms.positions[kept] - away
        return child

    return attempt(make, space, what="mirror")


def strain(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, amplitude: float = 0.15
) -> Atoms:
    """Strain a free cluster about its center, by normal deviates of ``amplitude`` per component.

    The lattice mutation of Glass, Oganov & Hansen, Comput. Phys. Commun. 175, 713 (2006), at
    constant volume. The cell never changes here, so this is for free clusters only.
    """
    if not is_free_cluster(space):
        raise Infeasible("the cell is fixed, and only a free cluster can be strained")
    free_indices(atoms)

    def make() -> Atoms:
        tensor = rng.normal(scale=amplitude, size=(3, 3))
        matrix = np.eye(3) + 0.5 * (tensor + tensor.T)
        matrix /= np.cbrt(abs(np.linalg.det(matrix)))
        child = atoms.copy()
        middle = atoms.positions.mean(axis=0)
        child.positions = middle + (atoms.positions - middle) @ matrix
        return child

    return attempt(make, space, what="strain")
