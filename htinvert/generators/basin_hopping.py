"""Basin hopping: several walkers that step from one relaxed structure to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from htinvert.core import Candidate, Evaluation, Objective, Space
from htinvert.declaration.declared import Parameter
from htinvert.generators.population import Member, Population
from htinvert.generators.walks import HOPS, START, Changes, Moves, Visit, Walker, accepts

OPERATOR = "hop"
ELITE = 10  # structures of other generators that a walker may go on from
LEAST = 1e-3  # of a typical change: a smaller gain is rounding


@dataclass
class BasinHopping:
    """Metropolis walks over relaxed structures, each of which begins anew when it is exhausted.

    Wales & Doye, J. Phys. Chem. A 101, 5111 (1997), with walks that end when they bring nothing
    more, as in Leary, J. Global Optim. 18, 367 (2000). The step grows where too many rattles fall
    back into the minimum they come from. An exhausted walker jumps to the best structure that
    another generator of the campaign has found and no walker has begun from; where there is none
    it begins from a random structure. The first walk of a campaign begins from the start structure.

    Attributes:
        walkers: how many walks go on side by side.
        kT: temperature, in units of the weighted sum (eV where the weight of energy is 1); where
            it is left out, ``heat`` times the typical change from one minimum to the next.
        heat: see ``kT``.
        step: first amplitude of a rattle along each axis, in distances between neighbors; it
            adapts.
        patience: steps without a better structure after which a walk is exhausted.
        moves: relative rates of the operators; those that do nothing in this space are left out.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "D. J. Wales and J. P. K. Doye, J. Phys. Chem. A 101, 5111 (1997), doi:10.1021/jp970984n.",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    walkers: Annotated[int, Parameter("1", 1)] = 1
    kT: Annotated[float | None, Parameter("eV", 0.0)] = None  # noqa: N815  (the field's own symbol)
    heat: Annotated[float, Parameter("1", 0.0)] = 0.05
    step: Annotated[float, Parameter("1", 0.0)] = 0.35
    patience: Annotated[int, Parameter("1", 1)] = 25
    moves: Mapping[str, float] = field(default_factory=lambda: dict(HOPS))

    def __post_init__(self) -> None:
        self._moves = Moves(self.moves, self.space, "basin_hopping")
        self._walkers = [Walker(self.step) for _ in range(self.walkers)]
        self._others = Population(ELITE)
        self._used: set[int] = set()
        self._changes = Changes()
        self.blocked = self._moves.blocked

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next step of a walker per index."""
        return self._moves.propose(self._walkers, indices, operator=OPERATOR, seed=self.seed)

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Accept or reject the steps of one's own walkers; remember the best of the others."""
        for evaluation in evaluations:
            visit = Visit.of(evaluation, self.objectives)
            if evaluation.candidate.operator.startswith(f"{OPERATOR}."):
                self._settle(evaluation.candidate, visit)
            elif visit and self._is_start(evaluation.candidate):
                self._walkers[0].begin(visit)
                self._used.add(visit.index)
            elif visit:
                self._others.add(Member(visit.index, visit.atoms, visit.value))

    def state(self) -> list[Any]:
        """Where the walkers are and what they know, for :meth:`restore`."""
        walkers = [walker.state() for walker in self._walkers]
        return [walkers, self._others.state(), sorted(self._used), self._changes.state()]

    def restore(self, state: list[Any]) -> None:
        """Go on from a :meth:`state` as if all had been told."""
        walkers, others, used, changes = state
        for walker, found in zip(self._walkers, walkers, strict=True):
            walker.restore(found)
        self._others.restore(others)
        self._used, self._changes = set(used), Changes(changes)

    @property
    def temperature(self) -> float:
        """KT of the next decision, in units of the weighted sum."""
        return self.heat * self._changes.typical if self.kT is None else self.kT

    def _is_start(self, candidate: Candidate) -> bool:
        """Whether a candidate is the start structure and the first walker stands nowhere yet."""
        return candidate.operator == START and self._walkers[0].current is None

    def _settle(self, candidate: Candidate, visit: Visit | None) -> None:
        walker = self._walkers[candidate.index % len(self._walkers)]
        here = walker.current
        if here is None:
            if visit:
                walker.begin(visit)
            return
        walker.note(visit.value if visit else np.inf, least=LEAST * self._changes.typical)
        if visit:
            returned = visit.is_like(here, typical=self._changes.typical)
            walker.adapt(candidate.operator, returned=returned)
            if not returned:
                self._changes.add(visit.value - here.value)
            rng = np.random.default_rng([self.seed, candidate.index, 1])
            if accepts(visit.value - here.value, self.temperature, rng):
                walker.current = visit
        if walker.idle >= self.patience:
            walker.begin(self._discovery())

    def _discovery(self) -> Visit | None:
        """The best structure of another generator that no walker has begun from, if any."""
        for known in self._others.members:
            if known.index not in self._used:
                self._used.add(known.index)
                return Visit(known.index, known.atoms, known.value, {})
        return None
