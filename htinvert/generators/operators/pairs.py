"""A move that asks pair data: which atoms make distances too many, and where a place mends them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import REGION_TAG, Infeasible, Space
from htinvert.generators.operators.cluster import vacant_places
from htinvert.generators.operators.legal import attempt, free_indices, is_free_cluster, without

Cost = Callable[[Atoms], float]
"""Of a structure by its pair data, low is good."""
PLACES = 12  # vacant places that are compared for each atom
JUDGED = 60  # atoms at most that are left out in turn to see which is least wanted
DRAWS = 2  # of a whole move, where a child is not legal
LARGEST = 0.6  # of a cluster, that is taken off on one side and grown again
SIDES = 0.3  # share of the moves that do so
FEW = 1.0  # atoms more than one that others take off, on average
CHILDREN = 3  # of which the best is proposed


def mend_pairs(atoms: Atoms, cost: Cost, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take atoms off a cluster and grow it again where the pair data are matched best.

    Most moves take off one or a few of the atoms without which the data are matched best, the
    others all atoms on one side of a plane. Each then goes to one of the best-held vacant places,
    to that which leaves the lowest cost, or at times the next. Of several children the one that
    the data like best is proposed. Growing clusters by their distances: P. Juhás et al., Nature
    440, 655 (2006).

    Raises:
        Infeasible: where the space is no free cluster, or nothing legal comes of it.
    """
    if not is_free_cluster(space):
        raise Infeasible("pairs grows free clusters only")
    if len(free_indices(atoms)) < 6:
        raise Infeasible("a cluster of fewer than six atoms is all surface")

    def make() -> Atoms:
        taken = _side if rng.random() < SIDES else _unwanted
        child, symbols = taken(atoms, cost, rng)
        for symbol in rng.permutation(symbols):
            child = _grown(child, str(symbol), cost, rng)
        return child

    children = []
    for _ in range(CHILDREN):
        with suppress(Infeasible):
            children.append(attempt(make, space, what="mend_pairs", tries=DRAWS))
    if not children:
        raise Infeasible("mend_pairs found nothing legal")
    return min(children, key=cost)


def _unwanted(atoms: Atoms, cost: Cost, rng: np.random.Generator) -> tuple[Atoms, list[str]]:
    """The cluster without some of its least wanted atoms, and their elements."""
    judged = free_indices(atoms)
    if len(judged) > JUDGED:
        judged = rng.choice(judged, JUDGED, replace=False)
    order = np.argsort([cost(without(atoms, int(i))) for i in judged])
    number = min(1 + int(rng.exponential(FEW)), len(atoms) // 4 + 1)
    ranks = np.minimum(rng.exponential(number, number).astype(int), len(order) - 1)
    return _off(atoms, {int(judged[order[rank]]) for rank in ranks})


def _side(
    atoms: Atoms,
    cost: Cost,  # noqa: ARG001  (as _unwanted takes it)
    rng: np.random.Generator,
) -> tuple[Atoms, list[str]]:
    """The cluster without the atoms farthest along a direction, and their elements."""
    number = round(float(np.exp(rng.uniform(0.0, np.log(LARGEST * len(atoms))))))
    heights = atoms.positions @ rng.normal(size=3)
    free: NDArray[np.intp] = np.asarray(free_indices(atoms))
    return _off(atoms, set(free[np.argsort(-heights[free])[:number]].tolist()))


def _off(atoms: Atoms, taken: set[int]) -> tuple[Atoms, list[str]]:
    """The cluster without these atoms, and their elements."""
    symbols = [str(atoms[i].symbol) for i in sorted(taken)]
    return atoms[[i for i in range(len(atoms)) if i not in taken]], symbols


def _grown(atoms: Atoms, symbol: str, cost: Cost, rng: np.random.Generator) -> Atoms:
    """The cluster with one atom more, at a place that the pair data like."""
    places = vacant_places(atoms, symbol, rng, most=PLACES)
    grown = [atoms + Atoms(symbol, [place], tags=[REGION_TAG]) for place in places]
    order = np.argsort([cost(one) for one in grown])
    return grown[order[min(int(rng.exponential(0.4)), len(order) - 1)]]
