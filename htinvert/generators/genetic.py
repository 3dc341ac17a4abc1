"""A steady-state genetic algorithm: a child is bred whenever a worker is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from htinvert.core import Candidate, Evaluation, Infeasible, Objective, Space, UserError
from htinvert.declaration.declared import Parameter
from htinvert.generators import operators
from htinvert.generators.catalog import CATALOG
from htinvert.generators.credit import Cost, Credit
from htinvert.generators.each import for_each
from htinvert.generators.population import member
from htinvert.generators.selection import Selection, make_selection

SHARES = {name: operator.share for name, operator in CATALOG.items()}


@dataclass
class Genetic:
    """Breed from a population of unlike structures, parents drawn by tournaments.

    Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014).

    Attributes:
        population: how many unlike structures are kept as parents.
        random: how many random structures come first.
        tournament: how many members are drawn for each parent; the best of them breeds.
        selection: who is best, see :mod:`htinvert.generators.selection`.
        epsilon: edge of a box of ``epsilon_moea``, in the unit of the weighted sum.
        credit: by what cost operators are paid for their gains, see
            :class:`htinvert.generators.credit.Credit`; ``none`` keeps their rates fixed.
        operators: relative rates by name, see :data:`htinvert.generators.catalog.CATALOG`; those
            that cannot do anything in this space are left out.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "D. M. Deaven and K. M. Ho, Phys. Rev. Lett. 75, 288 (1995), "
        "doi:10.1103/PhysRevLett.75.288; L. B. Vilhelmsen and B. Hammer, J. Chem. Phys. 141, "
        "044711 (2014), doi:10.1063/1.4886337.",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    population: Annotated[int, Parameter("1", 1)] = 20
    random: Annotated[int, Parameter("1", 0)] = 20
    tournament: Annotated[int, Parameter("1", 1)] = 3
    selection: Selection = "auto"
    epsilon: Annotated[float, Parameter("1", 0.0)] = 0.1
    credit: Cost = "steps"
    operators: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))

    def __post_init__(self) -> None:
        unknown = sorted(set(self.operators) - set(CATALOG))
        if unknown:
            raise UserError(
                f"operator {unknown[0]} is unknown to genetic; choose among {', '.join(CATALOG)}"
            )
        self._rates = {
            name: rate for name, rate in self.operators.items() if CATALOG[name].suits(self.space)
        }
        if not sum(self._rates.values()) > 0:
            raise UserError(
                f"genetic has no operator to use, given {dict(self.operators)}; raise a rate, "
                "and for shift_grain make a grain rigid with region.above or region.below"
            )
        if not self.epsilon > 0 or self.tournament < 1 or self.population < 2:
            raise UserError(
                f"genetic has epsilon {self.epsilon:g}, tournament {self.tournament} and "
                f"population {self.population}; give more than 0, at least 1 and at least 2"
            )
        self._credit = Credit(self._rates, cost=self.credit)
        self._members = make_selection(
            self.selection,
            self.population,
            objectives=sum(objective.weight != 0 for objective in self.objectives),
            epsilon=self.epsilon,
            seed=self.seed,
        )
        self._told = 0

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose a child per index, or random structures while too little is known."""
        return for_each(indices, self._propose)

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Let the evaluated structures into the population where they are good enough."""
        for evaluation in evaluations:
            self._told += 1
            self._credit.learn(evaluation, self._gain(evaluation) if evaluation.ok else 0.0)

    def state(self) -> list[Any]:
        """What was learned, for :meth:`restore`."""
        return [self._told, self._credit.state(), self._members.state()]

    def restore(self, state: list[Any]) -> None:
        """Go on from a :meth:`state` as if all had been told."""
        self._told = state[0]
        self._credit.restore(state[1])
        self._members.restore(state[2])

    def _gain(self, evaluation: Evaluation) -> float:
        """Offer a structure to the population; how far its family has climbed there, 0 to 1.

        Another hit of a family that leaves it in its place gains nothing.
        """
        found, members = member(evaluation, self.objectives), self._members
        before = max((members.standing(known.index) for known in members.kin(found)), default=0.0)
        return max(0.0, members.standing(found.index) - before) if members.add(found) else 0.0

    def _propose(self, index: int) -> Candidate | None:
        rng = np.random.default_rng([self.seed, index])
        try:
            if self._told < self.random or len(self._members) < 2:
                return Candidate(index, operators.random_structure(self.space, rng=rng), "random")
            return self._breed(index, rng)
        except Infeasible:
            return None

    def _breed(self, index: int, rng: np.random.Generator) -> Candidate:
        rates = self._credit.rates()
        name = list(rates)[int(rng.choice(len(rates), p=list(rates.values())))]
        operator = CATALOG[name]
        parents = self._members.parents(operator.parents, self.tournament, rng)
        child = operator.apply(*(parent.atoms for parent in parents), space=self.space, rng=rng)
        return Candidate(index, child, name, tuple(parent.index for parent in parents))
