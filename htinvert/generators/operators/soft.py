"""Moves along the directions in which a structure is softest."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.bonds import nearest_neighbor, soft_modes
from htinvert.generators.operators.legal import attempt, free_indices

SOFTEST = 10  # modes among which one is drawn


def soft_mutation(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, reach: float = 0.5
) -> Atoms:
    """Move the region's atoms along one of the softest modes of a pair model.

    The atom that moves furthest moves by 0.4 to 1 times ``reach`` of the distance to its nearest
    neighbor, which is on the way to a next basin over a low barrier (Lyakhov, Oganov & Valle,
    Comput. Phys. Commun. 181, 1623 (2010)). Springs are read off the structure itself.
    """
    chosen = free_indices(atoms)
    modes = soft_modes(atoms, chosen)
    if not len(modes):
        raise Infeasible("the region has no soft mode: it holds a single atom")
    length = reach * nearest_neighbor(atoms)

    def make() -> Atoms:
        mode = modes[min(int(rng.exponential(SOFTEST / 3)), len(modes) - 1)]
        size = length * rng.uniform(0.4, 1.0) * rng.choice([-1.0, 1.0])
        child = atoms.copy()
        child.positions[chosen] += size * mode / np.linalg.norm(mode, axis=1).max()
        return child

    return attempt(make, space, what="soft_mutation")
