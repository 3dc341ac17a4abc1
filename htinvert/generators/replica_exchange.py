"""Replica exchange: walks at several temperatures, and weights, that trade places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from htinvert.core import Candidate, Evaluation, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators.walks import HOPS, START, Changes, Moves, Visit, Walker, accepts

OPERATOR = "replica"
LEAST = 1e-3  # of a typical change: a smaller gain is rounding


@dataclass
class ReplicaExchange:
    """Basin hopping at a ladder of temperatures, whose neighbors exchange their structures.

    Swendsen & Wang, Phys. Rev. Lett. 57, 2607 (1986), over relaxed structures as in Strodel, Lee,
    Whittleston & Wales, J. Am. Chem. Soc. 132, 13300 (2010). Replicas may also differ in what the
    objectives are worth (Fukunishi, Watanabe & Takada, J. Chem. Phys. 116, 9058 (2002)): a hot one
    that looks at the image alone hands its finds to a cold one that looks at all. Replica 0 is the
    coldest and has the campaign's own weights.

    Attributes:
        replicas: how many temperatures.
        coldest: heat of the first, in typical changes from one minimum to the next.
        hottest: heat of the last; those between are spaced geometrically.
        weights: factor on the weight of an objective at the hottest replica, by its name; those
            between are spaced geometrically. Objectives that are left out weigh the same in all.
        every: steps of a replica after which it offers an exchange to its hotter neighbor.
        step: first amplitude of a rattle, in distances between neighbors; it adapts.
        patience: steps of all replicas without a better structure after which the hottest begins
            from a random one.
        moves: relative rates of the operators; those that do nothing in this space are left out.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 57, 2607 (1986), "
        "doi:10.1103/PhysRevLett.57.2607.",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    replicas: Annotated[int, Parameter("1", 1)] = 4
    coldest: Annotated[float, Parameter("1", 0.0)] = 0.02
    hottest: Annotated[float, Parameter("1", 0.0)] = 0.5
    weights: Mapping[str, float] = field(default_factory=dict)
    every: Annotated[int, Parameter("1", 1)] = 5
    step: Annotated[float, Parameter("1", 0.0)] = 0.35
    patience: Annotated[int, Parameter("1", 1)] = 100
    moves: Mapping[str, float] = field(default_factory=lambda: dict(HOPS))

    def __post_init__(self) -> None:
        if self.replicas < 2 or not 0 < self.coldest <= self.hottest:
            raise UserError(
                f"replica_exchange has {self.replicas} replicas from heat {self.coldest:g} to "
                f"{self.hottest:g}; give at least 2, and a coldest above 0 but not above hottest"
            )
        known = [objective.name for objective in self.objectives]
        for name, factor in self.weights.items():
            if name not in known or not factor > 0:
                raise UserError(
                    f"replica_exchange.weights gives {name} the factor {factor:g}; give a positive "
                    f"one to any of {', '.join(known)}"
                )
        self._moves = Moves(self.moves, self.space, "replica_exchange")
        self._walkers = [Walker(self.step) for _ in range(self.replicas)]
        rungs = np.linspace(0.0, 1.0, self.replicas)
        self._heats = self.coldest * (self.hottest / self.coldest) ** rungs
        self._factors = [
            {name: factor**rung for name, factor in self.weights.items()} for rung in rungs
        ]
        self._told = [0] * self.replicas
        self._changes = Changes()
        self._best, self._idle = float("inf"), 0
        self.exchanges = 0
        self.blocked = self._moves.blocked

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next step of a replica per index."""
        return self._moves.propose(self._walkers, indices, operator=OPERATOR, seed=self.seed)

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Accept or reject the replicas' own steps, and let neighbors exchange."""
        for evaluation in evaluations:
            candidate = evaluation.candidate
            visit = Visit.of(evaluation, self.objectives)
            if candidate.operator == START and visit and self._walkers[0].current is None:
                self._walkers[0].begin(visit)
            if candidate.operator.startswith(f"{OPERATOR}."):
                self._settle(candidate, visit)
                self._exchange(candidate.index)
                self._refresh()

    def state(self) -> list[Any]:
        """Where the replicas are and what they know, for :meth:`restore`."""
        walkers = [walker.state() for walker in self._walkers]
        counts = [self._best, self._idle, self.exchanges]
        return [walkers, self._told, self._changes.state(), counts]

    def restore(self, state: list[Any]) -> None:
        """Go on from a :meth:`state` as if all had been told."""
        walkers, self._told, changes, (self._best, self._idle, self.exchanges) = state
        for walker, found in zip(self._walkers, walkers, strict=True):
            walker.restore(found)
        self._changes = Changes(changes)

    def _settle(self, candidate: Candidate, visit: Visit | None) -> None:
        replica = candidate.index % self.replicas
        walker = self._walkers[replica]
        self._told[replica] += 1
        self._idle += 1
        if visit is None:
            return
        if visit.value < self._best - LEAST * self._changes.typical:
            self._best, self._idle = visit.value, 0
        if walker.current is None:
            walker.begin(visit)
            return
        returned = visit.is_like(walker.current, typical=self._changes.typical)
        walker.adapt(candidate.operator, returned=returned)
        change = self._value(visit, replica) - self._value(walker.current, replica)
        if not returned:
            self._changes.add(visit.value - walker.current.value)
        rng = np.random.default_rng([self.seed, candidate.index, 1])
        if accepts(change, self._kT(replica), rng):
            walker.current = visit

    def _exchange(self, index: int) -> None:
        """Offer an exchange between a replica and its hotter neighbor, where it is its turn."""
        cold = index % self.replicas
        hot = cold + 1
        if hot == self.replicas or self._told[cold] % self.every:
            return
        ours, theirs = self._walkers[cold].current, self._walkers[hot].current
        if ours is None or theirs is None:
            return
        kT = [max(self._kT(replica), 1e-12) for replica in (cold, hot)]
        now = self._value(ours, cold) / kT[0] + self._value(theirs, hot) / kT[1]
        then = self._value(theirs, cold) / kT[0] + self._value(ours, hot) / kT[1]
        if accepts(then - now, 1.0, np.random.default_rng([self.seed, index, 2])):
            self._walkers[cold].current, self._walkers[hot].current = theirs, ours
            self.exchanges += 1

    def _refresh(self) -> None:
        """Begin the hottest replica anew where all of them have found nothing for long."""
        if self._idle >= self.patience:
            self._walkers[-1].begin(None)
            self._idle = 0

    def _kT(self, replica: int) -> float:  # noqa: N802  (the field's own symbol)
        return float(self._heats[replica] * self._changes.typical)

    def _value(self, visit: Visit, replica: int) -> float:
        """The weighted sum as a replica sees it."""
        factors = self._factors[replica]
        return float(
            sum(factors.get(o.name, 1.0) * o.worth(visit.objectives[o.name])
                for o in self.objectives)
        )  # fmt: skip
