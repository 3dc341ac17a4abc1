"""Who breeds, over any number of objectives: weighted sum, NSGA-II, epsilon-MOEA.

With several objectives the sum alone breeds from one corner of the front, and the demo's planted
boundary is first met after half again as many evaluations as with an archive
(benchmarks/results.md).
All work on the terms of the weighted sum, so objectives are in one unit, and keep one member per
family of like structures. Sorting and crowding are pymoo's (Blank & Deb, IEEE Access 8, 89497
(2020)), imported when first used.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.generators.population import Member, Population, by_sum, kin

Selection = Literal["auto", "weighted_sum", "nsga2", "epsilon_moea"]
FEWEST = 3  # points on a front below which crowding tells nothing


class Breeders(Protocol):
    """Structures to breed from, and how the next parents are drawn among them."""

    def __len__(self) -> int: ...

    def add(self, member: Member) -> bool:
        """Let a member in if it is good enough; returns whether it is in."""
        ...

    def kin(self, member: Member) -> list[Member]:
        """The known ones of a member's family."""
        ...

    def standing(self, index: int) -> float:
        """How good the place of a candidate is: 1 the best, 0 where it is not a member."""
        ...

    def parents(self, count: int, rounds: int, rng: np.random.Generator) -> list[Member]:
        """Draw ``count`` different members, each the best of ``rounds`` or so."""
        ...

    def state(self) -> Any:
        """What :meth:`restore` needs, of plain values and atoms."""
        ...

    def restore(self, state: Any) -> None:
        """Be as the one was whose state this is."""
        ...


def make_selection(name: str, size: int, *, objectives: int, epsilon: float, seed: int) -> Breeders:
    """The selection of a name for ``size`` members; ``epsilon`` is in units of the weighted sum.

    ``auto`` is epsilon-MOEA where there are several objectives, and the sum where there is one.
    """
    if name not in get_args(Selection):
        raise UserError(f"selection is {name}; choose one of {', '.join(get_args(Selection))}")
    if name == "epsilon_moea" or (name == "auto" and objectives > 1):
        return EpsilonMoea(size, epsilon=epsilon, seed=seed)
    return Population(size, by_front if name == "nsga2" else by_sum)


def dominates(first: Collection[float], second: Collection[float]) -> bool:
    """Whether ``first`` is nowhere larger than ``second`` and somewhere smaller."""
    a, b = np.asarray(first), np.asarray(second)
    return bool((a <= b).all() and (a < b).any())


def by_front(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order of rows of ``values``, shape (n, objectives), by front and, inside one, by crowding.

    NSGA-II: Deb, Pratap, Agarwal & Meyarivan, IEEE Trans. Evol. Comput. 6, 182 (2002). Where the
    first front has fewer than three rows, all of its crowding distances are infinite: rows are then
    ordered inside their fronts by the distance to the ideal point, each objective over its range.
    """
    from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function
    from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

    fronts, rank = NonDominatedSorting().do(values, return_rank=True)
    if len(fronts[0]) < FEWEST:
        worth = distance_to_ideal(values)
    else:
        worth = np.zeros(len(values))
        for front in fronts:
            worth[front] = -get_crowding_function("cd").do(values[front])
    return np.lexsort((values.sum(axis=1), worth, rank))


def distance_to_ideal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of rows, shape (n, objectives), to the best of each objective, ranges set to 1."""
    low, high = values.min(axis=0), values.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    return np.asarray(np.linalg.norm((values - low) / span, axis=1))


class EpsilonMoea:
    """A population, and an archive that holds at most a few members per box of objectives.

    Deb, Mohan & Mishra, Evol. Comput. 13, 501 (2005), steady state: one parent comes from the
    population, the other from the archive. ``epsilon`` is the edge of a box in the unit of the
    weighted sum, so of ``epsilon / weight`` in an objective's own. Inside a box of the archive the
    one nearer to the best corner stays of like structures only; unlike ones of which neither
    dominates share it, which the paper does not ask for.
    """

    def __init__(self, size: int, *, epsilon: float, seed: int) -> None:
        self.size, self.epsilon, self.seed = size, epsilon, seed
        self.members: list[Member] = []
        self.archive: list[Member] = []

    def __len__(self) -> int:
        return len(self.members)

    def add(self, member: Member) -> bool:
        """Offer a member to the population and to the archive; returns whether either took it."""
        rng = np.random.default_rng([self.seed, member.index, 5])
        return self._join(member, rng) | self._file(member)

    def kin(self, member: Member) -> list[Member]:
        """The known ones of a member's family, in the population or the archive."""
        return [*kin(member, self.members), *kin(member, self.archive)]

    def standing(self, index: int) -> float:
        """1 in the archive, one half in the population alone, else 0."""
        if any(known.index == index for known in self.archive):
            return 1.0
        return 0.5 if any(known.index == index for known in self.members) else 0.0

    def parents(self, count: int, rounds: int, rng: np.random.Generator) -> list[Member]:
        """Different members: one of the archive, drawn flatly, and winners of tournaments.

        A single parent comes from either with even chances.
        """
        chosen: list[Member] = []
        if self.archive and (count > 1 or rng.random() < 0.5):
            chosen.append(self.archive[int(rng.integers(len(self.archive)))])
        while len(chosen) < count:
            chosen.append(self._tournament(rounds, rng, [known.index for known in chosen]))
        return [chosen[i] for i in rng.permutation(count)]

    def state(self) -> list[list[Any]]:
        """Population and archive, for :meth:`restore`."""
        return [[known.state() for known in some] for some in (self.members, self.archive)]

    def restore(self, state: list[list[Any]]) -> None:
        """Have the population and archive of a :meth:`state`."""
        self.members, self.archive = ([Member.restored(one) for one in some] for some in state)

    def _tournament(self, rounds: int, rng: np.random.Generator, barred: Collection[int]) -> Member:
        """Draw different members one after the other; a later one wins where it dominates."""
        free = [known for known in self.members if known.index not in barred]
        drawn = rng.choice(len(free), size=min(rounds, len(free)), replace=False)
        best = free[int(drawn[0])]
        for i in drawn[1:]:
            if dominates(free[int(i)].values, best.values):
                best = free[int(i)]
        return best

    def _join(self, member: Member, rng: np.random.Generator) -> bool:
        """Take the place of one that is dominated, or of any where nobody dominates."""
        alike = kin(member, self.members)
        if any(known.value <= member.value for known in alike):
            return False
        others = [known for known in self.members if all(known is not k for k in alike)]
        if len(others) >= self.size:
            if any(dominates(known.values, member.values) for known in others):
                return False
            worse = [i for i, k in enumerate(others) if dominates(member.values, k.values)]
            del others[int(rng.choice(worse or len(others)))]
        self.members = [*others, member]
        return True

    def _file(self, member: Member) -> bool:
        """Put a member into the archive unless a box or a member there is better."""
        box = self.box(member)
        if any(dominates(self.box(known), box) for known in self.archive):
            return False
        kept = [known for known in self.archive if not dominates(box, self.box(known))]
        alike = kin(member, kept)
        if not all(self._gives_way(known, member) for known in alike):
            return False
        kept = [known for known in kept if all(known is not other for other in alike)]
        inside = [known for known in kept if self.box(known) == box]
        if any(dominates(known.values, member.values) for known in inside):
            return False
        worse = [known for known in inside if dominates(member.values, known.values)]
        self.archive = [known for known in kept if all(known is not other for other in worse)]
        self.archive.append(member)
        return True

    def _gives_way(self, known: Member, member: Member) -> bool:
        """Whether a member takes the place of a known one of its family."""
        if dominates(member.values, known.values):
            return True
        if dominates(known.values, member.values):
            return False
        if self.box(known) == self.box(member):
            return self.corner_distance(member) < self.corner_distance(known)
        return member.value < known.value

    def box(self, member: Member) -> tuple[int, ...]:
        """Which box of edge epsilon a member's values lie in."""
        return tuple(int(i) for i in np.floor(np.asarray(member.values) / self.epsilon))

    def corner_distance(self, member: Member) -> float:
        """Distance of a member to the best corner of its box, in edges of the box."""
        scaled = np.asarray(member.values) / self.epsilon
        return float(np.linalg.norm(scaled - np.floor(scaled)))
