"""Moves guided by the experiment, from the best structures that any generator has found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from htinvert.generators.operators.guided import OPERATORS
from htinvert.generators.population import Member, Population
from htinvert.geometry.roles import rigid_bodies

FILL, SHIFT = "guided_fill", "guided_shift"


@dataclass
class Guided:
    """Fill the region, then mend the best structures, where the experiment says so.

    The first ``fills`` candidates, and a share of the later ones, fill an empty region; the others
    move, add, remove or exchange atoms of a parent, or shift its rigid
    grain. See :mod:`htinvert.generators.operators.guided`.

    Attributes:
        residuals: what compares a structure with the experiments; the campaign gives it.
        population: how many unlike structures are kept as parents.
        fills: evaluations, of whatever generator, before the first parent is mended.
        tournament: how many parents are drawn each time; the best of them is mended.
        operators: relative rates by name, see
            :data:`htinvert.generators.operators.guided.OPERATORS`.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "M. Yu et al., ACS Nano 10, 4031 (2016); J. J. Maldonis et al., Comput. Mater. Sci. "
        "160, 1 (2019).",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    residuals: Any
    population: Annotated[int, Parameter("1", 1)] = 10
    fills: Annotated[int, Parameter("1", 0)] = 6
    tournament: Annotated[int, Parameter("1", 1)] = 2
    operators: Mapping[str, float] = field(
        default_factory=lambda: {name: share for name, (_, share) in OPERATORS.items()}
    )

    def __post_init__(self) -> None:
        if not self.residuals:
            raise UserError(
                "guided follows images but the campaign has no experiment whose forward model "
                "shows where a position appears; add one, such as stem_convolution, or leave "
                "guided out of search.generators"
            )
        unknown = sorted(set(self.operators) - set(OPERATORS))
        if unknown:
            raise UserError(
                f"operator {unknown[0]} is unknown to guided; choose among {', '.join(OPERATORS)}"
            )
        useful = {SHIFT} if rigid_bodies(self.space.template) else set()
        if self.space.puts_atoms:
            useful |= set(OPERATORS) - {SHIFT}
        self._rates = {name: rate for name, rate in self.operators.items() if name in useful}
        if not sum(self._rates.values()) > 0:
            raise UserError(
                f"guided has no operator to use, given {dict(self.operators)}; raise a rate, and "
                "for guided_shift make a grain rigid with region.above or region.below"
            )
        self._members = Population(self.population)
        self._parameters: dict[int, Mapping[str, Mapping[str, float]]] = {}
        self._told = 0

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one structure per index that the experiment asks for."""
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
        names = sorted(self._rates)
        rates = np.array([self._rates[name] for name in names], dtype=float)
        name = names[int(rng.choice(len(names), p=rates / rates.sum()))]
        if FILL in self._rates and (self._told < self.fills or not len(self._members)):
            name = FILL
        apply, _ = OPERATORS[name]
        parents: tuple[int, ...] = ()
        atoms, known = self.space.template, {}
        if len(self._members):
            parent = self._members.tournament(self.tournament, rng)
            atoms, known = parent.atoms, dict(self._parameters[parent.index])
            parents = (parent.index,)
        try:
            child = apply(atoms, self.residuals(known), space=self.space, rng=rng)
        except Infeasible:
            return None
        return Candidate(index, child, name, parents)
