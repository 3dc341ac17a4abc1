"""The best unlike structures known so far, which several generators breed from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Evaluation, Objective
from htinvert.geometry.fingerprint import LIKE, difference, fingerprint

Order = Callable[[NDArray[np.float64]], NDArray[np.intp]]


@dataclass(frozen=True, eq=False)
class Member:
    """An evaluated structure: its candidate's index, relaxed atoms, weighted sum (low is good).

    ``values`` are the terms of the sum: weight times objective, for those that have a weight.
    """

    index: int
    atoms: Atoms
    value: float
    values: tuple[float, ...] = ()

    def state(self) -> list[Any]:
        """Its fields, plain but for the atoms, of which :meth:`restored` makes it again."""
        return [self.index, self.atoms, self.value, list(self.values)]

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Member:
        """The member of a :meth:`state`."""
        index, atoms, value, values = state
        return cls(index, atoms, value, tuple(values))

    @cached_property
    def fingerprint(self) -> NDArray[np.float64]:
        """Of the relaxed atoms, see :func:`htinvert.geometry.fingerprint`."""
        return fingerprint(self.atoms)


def member(evaluation: Evaluation, objectives: Sequence[Objective]) -> Member:
    """A successful evaluation as a member of a population."""
    found = evaluation.objectives
    values = tuple(float(o.worth(found[o.name])) for o in objectives if o.weight)
    return Member(evaluation.candidate.index, evaluation.atoms, float(sum(values)), values)


def by_sum(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order of rows of ``values``, shape (n, objectives), by their sum, lowest first."""
    return np.argsort(values.sum(axis=1), kind="stable")


class Population:
    """At most ``size`` members, the best first, no two of them alike.

    ``order`` says who is best: it takes values, shape (n, objectives), and returns n places.
    """

    def __init__(self, size: int, order: Order = by_sum) -> None:
        self.size = size
        self.members: list[Member] = []
        self._order = order

    def __len__(self) -> int:
        return len(self.members)

    def add(self, member: Member) -> bool:
        """Let a member in; of alike ones that of lower value stays. Returns whether it is."""
        full = len(self.members) >= self.size
        if full and self._order is by_sum and member.value >= self.members[-1].value:
            return False
        alike = self.kin(member)
        if any(known.value <= member.value for known in alike):
            return False
        crowd = [known for known in self.members if not any(known is other for other in alike)]
        crowd.append(member)
        table = np.array([known.values or (known.value,) for known in crowd])
        self.members = [crowd[i] for i in self._order(table)[: self.size]]
        return any(known is member for known in self.members)

    def state(self) -> list[Any]:
        """Its members, for :meth:`restore`."""
        return [known.state() for known in self.members]

    def restore(self, state: Sequence[Any]) -> None:
        """Have the members of a :meth:`state`."""
        self.members = [Member.restored(known) for known in state]

    def kin(self, member: Member) -> list[Member]:
        """The known ones of a member's family."""
        return kin(member, self.members)

    def standing(self, index: int) -> float:
        """How good the place of a candidate is: 1 the best, 0 where it is not a member."""
        places = [i for i, known in enumerate(self.members) if known.index == index]
        return 1.0 - places[0] / self.size if places else 0.0

    def tournament(
        self, rounds: int, rng: np.random.Generator, *, barred: Collection[int] = ()
    ) -> Member:
        """Draw ``rounds`` different members at random and return the best of them.

        Those whose candidate is ``barred`` do not take part.
        """
        free = [i for i, known in enumerate(self.members) if known.index not in barred]
        drawn = rng.choice(len(free), size=min(rounds, len(free)), replace=False)
        return self.members[free[int(drawn.min())]]

    def parents(self, count: int, rounds: int, rng: np.random.Generator) -> list[Member]:
        """Winners of ``count`` tournaments, all of them different."""
        chosen: list[Member] = []
        for _ in range(count):
            barred = [known.index for known in chosen]
            chosen.append(self.tournament(rounds, rng, barred=barred))
        return chosen


def kin(member: Member, others: Sequence[Member]) -> list[Member]:
    """Those of the same family as a member, by their fingerprints."""
    vector = member.fingerprint
    return [known for known in others if difference(known.fingerprint, vector) < LIKE]
