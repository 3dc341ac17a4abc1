"""A steady-state genetic algorithm: a child is bred whenever a worker is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from htinvert.core import (
    Candidate,
    Evaluation,
    Infeasible,
    Objective,
    Space,
    UserError,
    weighted_sum,
)
from htinvert.generators import operators
from htinvert.generators.catalog import CATALOG
from htinvert.generators.population import Member, Population

SHARES = {name: operator.share for name, operator in CATALOG.items()}


@dataclass
class Genetic:
    """Breed from a population of unlike structures by tournaments on the weighted sum.

    Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014).

    Attributes:
        population: how many unlike structures are kept as parents.
        random: how many random structures come first.
        tournament: how many members are drawn for each parent; the best of them breeds.
        operators: relative rates by name, see :data:`htinvert.generators.catalog.CATALOG`; those
            that cannot do anything in this space are left out.
    """

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    population: int = 20
    random: int = 20
    tournament: int = 3
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
        self._members = Population(self.population)
        self._told = 0

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose a child per index, or random structures while too little is known."""
        candidates = (self._propose(index) for index in indices)
        return [candidate for candidate in candidates if candidate is not None]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Let the evaluated structures into the population where they are good enough."""
        for evaluation in evaluations:
            self._told += 1
            if evaluation.ok:
                value = weighted_sum(evaluation.objectives, self.objectives)
                self._members.add(Member(evaluation.candidate.index, evaluation.atoms, value))

    def _propose(self, index: int) -> Candidate | None:
        rng = np.random.default_rng([self.seed, index])
        try:
            if self._told < self.random or len(self._members) < 2:
                return Candidate(index, operators.random_structure(self.space, rng=rng), "random")
            return self._breed(index, rng)
        except Infeasible:
            return None

    def _breed(self, index: int, rng: np.random.Generator) -> Candidate:
        names = sorted(self._rates)
        rates = np.array([self._rates[name] for name in names], dtype=float)
        name = names[int(rng.choice(len(names), p=rates / rates.sum()))]
        operator = CATALOG[name]
        parents = [self._members.tournament(self.tournament, rng) for _ in range(operator.parents)]
        child = operator.apply(*(parent.atoms for parent in parents), space=self.space, rng=rng)
        return Candidate(index, child, name, tuple(parent.index for parent in parents))
