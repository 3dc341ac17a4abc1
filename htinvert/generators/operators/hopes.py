"""Cuts that may fit the data, told apart and ordered by fit and by bonds."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from ase import Atoms
from scipy.spatial.distance import pdist

from htinvert.core import Floats
from htinvert.generators.operators.motifs import Cut

HOPES, FIRM = 60, 4  # cuts that fit best, and those of the most bonds of each motif, that go on
ALIKE = 0.02  # of a bond, rms of sorted distances: closer cuts are the same
CLOSE = 1.2  # of the best misfit, up to which bonds decide: the data hardly tell
LOOSE = 2.5  # of the best misfit, up to which bonds have a say


@dataclass(frozen=True, eq=False)
class Hope:
    """A cluster to propose: cut, scale [Å], misfit, structure.

    And whether it is contracted as a metal's, and the experiments' parameters where it was fitted.
    """

    cut: Cut
    scale: float
    cost: float
    atoms: Atoms
    relaxed: bool = False
    parameters: Any = None


@dataclass
class Hopes:
    """Cuts that may be proposed, and the experiments' parameters that fit the best of them."""

    hopes: list[Hope] = field(default_factory=list)
    parameters: dict[str, dict[str, float]] = field(default_factory=dict)

    def add(self, ranked: dict[str, list[Hope]]) -> None:
        """Keep those of the most bonds of each motif, and those of all that fit best."""
        for some in ranked.values():
            self.hopes += sorted(some, key=bonds_of)[:FIRM]
        self.hopes += sorted(chain.from_iterable(ranked.values()), key=cost_of)[:HOPES]


def told_apart(some: list[Hope]) -> list[Hope]:
    """Unlike ones, by fit and by bonds in turn, for a quick simulation may favor the wrong ones.

    By fit; by bonds of those that fit about as well as the best; and by bonds of those that fit
    well enough for that the simulation leaves things out, such as multiple scattering.
    """
    found = unlike(some)
    close, loose = (
        sorted((one for one in found if one.cost <= most * found[0].cost), key=bonds_of)
        for most in (CLOSE, LOOSE)
    )
    in_turn = chain.from_iterable(zip_longest(found, close, loose))
    return list(dict.fromkeys(one for one in in_turn if one is not None))


def unlike(some: list[Hope]) -> list[Hope]:
    """Those of unlike distances, each the best of its like, the best fit first."""
    found: list[Hope] = []
    known: list[tuple[str, Floats]] = []
    for one in sorted(some, key=cost_of):
        formula, distances = str(one.atoms.symbols), _distances(one)
        if not any(
            formula == name and len(other) == len(distances)
            and np.sqrt(np.mean((other - distances) ** 2)) < ALIKE
            for name, other in known
        ):  # fmt: skip
            known.append((formula, distances))
            found.append(one)
    return found


def cost_of(one: Hope) -> float:
    """Its misfit."""
    return one.cost


def bonds_of(one: Hope) -> float:
    """Its energy by atom [bonds]."""
    return one.cut.energy / len(one.cut.taken)


def lowest(tried: list[Hope]) -> Floats:
    """The scale [Å] where a parabola through the lowest squared misfit and those beside it is."""
    costs = np.array([one.cost for one in tried]) ** 2
    at = int(np.argmin(costs))
    if not 0 < at < len(tried) - 1 or not np.isfinite(costs[at - 1 : at + 2]).all():
        return np.zeros(0)
    a, b, _ = np.polyfit([one.scale for one in tried[at - 1 : at + 2]], costs[at - 1 : at + 2], 2)
    return np.array([-b / (2.0 * a)]) if a > 0.0 else np.zeros(0)


def _distances(one: Hope) -> Floats:
    """Sorted distances in units of the bond, before any contraction."""
    return np.asarray(np.sort(pdist(one.cut.positions)))
