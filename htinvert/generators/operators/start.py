"""Structures from nothing: the region filled at random."""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.grain import GRAIN_SHIFT, shifted
from htinvert.generators.operators.legal import (
    attempt,
    bare_host,
    insert,
    is_free_cluster,
)
from htinvert.generators.operators.symmetry import symmetric_cluster
from htinvert.geometry.roles import rigid_bodies

SYMMETRIC = 0.5  # share of random clusters that have a point group


def random_structure(space: Space, *, rng: np.random.Generator) -> Atoms:
    """Fill the region at random within its composition, no two atoms closer than allowed.

    Random search with distance constraints: Pickard & Needs, J. Phys.: Condens. Matter 23, 053201
    (2011). In every second structure a rigid grain, where there is one, is shifted first. A free
    cluster fills a ball that would hold it in close packing, with a little room to spare; every
    second one has a point group, see :mod:`htinvert.generators.operators.symmetry`.
    """

    def make() -> Atoms:
        symbols = [
            symbol
            for symbol, (low, high) in space.composition.items()
            for _ in range(int(rng.integers(low, high + 1)))
        ]
        if is_free_cluster(space) and rng.random() < SYMMETRIC:
            return symmetric_cluster(Counter(symbols), space=space, rng=rng)
        rng.shuffle(symbols)
        host = bare_host(space)
        if rigid_bodies(host) and rng.random() < 0.5:
            host = shifted(host, GRAIN_SHIFT, space=space, rng=rng)
        return insert(host, symbols, space=space, rng=rng)

    try:
        return attempt(make, space, what="the random structure")
    except Infeasible as reason:
        raise Infeasible(f"the region has no room for its atoms: {reason}") from reason
