"""Clusters grown by their pair data, from the best structures that any generator has found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

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
from htinvert.declaration.declared import Parameter
from htinvert.generators.each import for_each
from htinvert.generators.operators import is_free_cluster, random_structure
from htinvert.generators.operators.pairs import mend_pairs
from htinvert.generators.population import Member, Population

OPERATOR = "mend_pairs"


@dataclass
class Pairs:
    """Take atoms that pair data do not want off a good cluster, and grow it again by the data.

    The first ``fills`` candidates, of whatever generator, are awaited before the first parent is
    mended; until then its own begin from random clusters. See
    :func:`htinvert.generators.operators.pairs.mend_pairs`.

    Attributes:
        costs: what compares a structure with the pair data; the campaign gives it.
        population: how many unlike structures are kept as parents.
        fills: evaluations, of whatever generator, before a parent is mended.
        tournament: how many parents are drawn each time; the best of them is mended.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "P. Juhás et al., Nature 440, 655 (2006), doi:10.1038/nature04556.",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    costs: Any
    population: Annotated[int, Parameter("1", 1)] = 10
    fills: Annotated[int, Parameter("1", 0)] = 6
    tournament: Annotated[int, Parameter("1", 1)] = 2

    def __post_init__(self) -> None:
        if not self.costs:
            raise UserError(
                "pairs follows a G(r) but the campaign has no experiment with forward: {use: pdf} "
                "and a metric; add one, or leave pairs out of search.generators"
            )
        if not is_free_cluster(self.space):
            raise UserError(
                "pairs grows free clusters only; leave it out of search.generators, or begin from "
                "a box with a composition"
            )
        self._members = Population(self.population)
        self._parameters: dict[int, Mapping[str, Mapping[str, float]]] = {}
        self._told = 0

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one structure per index."""
        return for_each(indices, self._propose)

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember the best structures, and the forward parameters that were fitted for each."""
        for evaluation in evaluations:
            self._told += 1
            if not evaluation.ok:
                continue
            index = evaluation.candidate.index
            value = weighted_sum(evaluation.objectives, self.objectives)
            if self._members.add(Member(index, evaluation.atoms, value)):
                self._parameters[index] = evaluation.parameters
        kept = {member.index for member in self._members.members}
        self._parameters = {i: known for i, known in self._parameters.items() if i in kept}

    def state(self) -> list[Any]:
        """What was learned, for :meth:`restore`."""
        parameters = [[index, dict(known)] for index, known in self._parameters.items()]
        return [self._told, self._members.state(), parameters]

    def restore(self, state: list[Any]) -> None:
        """Go on from a :meth:`state` as if all had been told."""
        self._told, members, parameters = state
        self._members.restore(members)
        self._parameters = dict(parameters)

    def _propose(self, index: int) -> Candidate | None:
        rng = np.random.default_rng([self.seed, index])
        parents: tuple[int, ...] = ()
        known: Mapping[str, Mapping[str, float]] = {}
        try:
            if self._told < self.fills or not len(self._members):
                atoms = random_structure(self.space, rng=rng)
            else:
                parent = self._members.tournament(self.tournament, rng)
                atoms, known = parent.atoms, self._parameters[parent.index]
                parents = (parent.index,)
            child = mend_pairs(atoms, self.costs(known), space=self.space, rng=rng)
        except Infeasible:
            return None
        return Candidate(index, child, OPERATOR, parents)
