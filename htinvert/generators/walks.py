"""What every walk over relaxed structures shares: its moves, its step and its measure of heat.

Nothing here is tied to a scale of energy or length. A temperature is a share of the typical change
of the objective from one minimum to the next, a step a share of the distance between neighbors, so
that one set of defaults does for a Lennard-Jones cluster and for an oxide.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import (
    Candidate,
    Evaluation,
    Infeasible,
    Objective,
    Space,
    UserError,
    weighted_sum,
)
from htinvert.generators.catalog import CATALOG
from htinvert.generators.each import for_each
from htinvert.generators.operators import random_structure
from htinvert.generators.operators.bonds import nearest_neighbor
from htinvert.geometry.fingerprint import LIKE, difference, fingerprint

SMALLEST_STEP, LARGEST_STEP = 0.1, 0.7  # of the distance between neighbors
RETURNS = 0.2  # share of the rattles that should fall back into the minimum they come from
PACE = 1.1  # by which a step grows after such a one
REST = 0.02  # of a typical change: what relaxations into one minimum may differ by
CHANGES = 50  # last changes of the objective whose median is the typical one
START = "start"  # the operator that the start structure of a campaign is told under
DRAWS = 3  # moves drawn before a walker gives an index up


@dataclass(frozen=True, eq=False)
class Visit:
    """A relaxed structure on a walk: its candidate's index, weighted sum and all its objectives."""

    index: int
    atoms: Atoms
    value: float
    objectives: Mapping[str, float]

    @classmethod
    def of(cls, evaluation: Evaluation, objectives: Sequence[Objective]) -> Visit | None:
        """A successful evaluation as a visit, None for a failed one."""
        if not evaluation.ok:
            return None
        value = weighted_sum(evaluation.objectives, objectives)
        index = evaluation.candidate.index
        return cls(index, evaluation.atoms, value, evaluation.objectives)

    def state(self) -> list[Any]:
        """Its fields, plain but for the atoms."""
        return [self.index, self.atoms, self.value, dict(self.objectives)]

    def is_like(self, other: Visit, *, typical: float) -> bool:
        """Whether both are one minimum: alike, and worth the same but for the relaxation's rest.

        The rest is :data:`REST` of a ``typical`` change. A fingerprint alone does not tell minima
        of a large cluster apart: one atom of 38 at another place changes it by 1e-5.
        """
        if abs(self.value - other.value) > REST * typical > 0.0:
            return False
        return difference(fingerprint(self.atoms), fingerprint(other.atoms)) < LIKE


@dataclass
class Walker:
    """Where a walker stands, its step in distances between neighbors, and its luck.

    ``best`` is the lowest value since it last began anew, ``idle`` the steps since then.
    """

    step: float
    current: Visit | None = None
    best: float = float("inf")
    idle: int = 0

    def begin(self, visit: Visit | None) -> None:
        """Go on from a visit, or from a random structure where it is None."""
        self.current, self.idle = visit, 0
        self.best = visit.value if visit else float("inf")

    def note(self, value: float, *, least: float) -> None:
        """Count the steps since the walk found something better by ``least``."""
        self.idle = 0 if value < self.best - least else self.idle + 1
        self.best = min(self.best, value)

    def state(self) -> list[Any]:
        """Where it stands, for :meth:`restore`."""
        return [self.step, self.current and self.current.state(), self.best, self.idle]

    def restore(self, state: Sequence[Any]) -> None:
        """Stand where the one stood whose :meth:`state` this is."""
        self.step, current, self.best, self.idle = state
        self.current = current and Visit(*current)

    def adapt(self, operator: str, *, returned: bool) -> None:
        """Lengthen the step of rattles that fall back into their minimum, shorten the others'."""
        if operator.endswith("rattle"):
            factor = PACE if returned else PACE ** (-RETURNS / (1.0 - RETURNS))
            self.step = float(np.clip(self.step * factor, SMALLEST_STEP, LARGEST_STEP))


class Changes:
    """The typical change of the objective from one minimum to the next, as seen lately."""

    def __init__(self, last: Iterable[float] = ()) -> None:
        self._last: deque[float] = deque(last, maxlen=CHANGES)

    def state(self) -> list[float]:
        """The last ones, of which another can be made."""
        return list(self._last)

    def add(self, change: float) -> None:
        """Learn of a change, up or down."""
        self._last.append(abs(change))

    @property
    def typical(self) -> float:
        """The median of the last ones, 0 where none is known."""
        return float(np.median(self._last)) if self._last else 0.0


class Moves:
    """The operators that a walk steps by, with their rates."""

    def __init__(self, rates: Mapping[str, float], space: Space, owner: str) -> None:
        single = [name for name, operator in CATALOG.items() if operator.parents == 1]
        unknown = sorted(set(rates) - set(single))
        if unknown:
            raise UserError(
                f"move {unknown[0]} is unknown to {owner}; choose among {', '.join(single)}"
            )
        fitting = {n: rate for n, rate in rates.items() if CATALOG[n].suits(space) and rate > 0}
        if not fitting:
            raise UserError(
                f"{owner} has no move to use in this space, given {dict(rates)}; raise a rate, "
                "and for shift_grain make a grain rigid with region.above or region.below"
            )
        self.space = space
        self.blocked: Counter[str] = Counter()
        self._names = sorted(fitting)
        total = sum(fitting.values())
        self._rates = [fitting[name] / total for name in self._names]

    def step(self, atoms: Atoms, step: float, rng: np.random.Generator) -> tuple[Atoms, str] | None:
        """A child and the name of the move that made it; None, with the reason noted, where none.

        ``step`` is the amplitude of a rattle along each axis in distances between neighbors.
        """
        for _ in range(DRAWS):
            name = self._names[int(rng.choice(len(self._names), p=self._rates))]
            options: dict[str, Any] = {}
            if name == "rattle":
                options = {"amplitude": step * (nearest_neighbor(atoms) or 2.0), "share": 1.0}
            try:
                return CATALOG[name].apply(atoms, space=self.space, rng=rng, **options), name
            except Infeasible as reason:
                self.blocked[str(reason)] += 1
        return None

    def propose(
        self, walkers: Sequence[Walker], indices: Iterable[int], *, operator: str, seed: int
    ) -> list[Candidate]:
        """The next step of a walker per index, in turn; none for an index where none can be made.

        The first step of a walk is a random structure.
        """

        def one(index: int) -> Candidate | None:
            walker = walkers[index % len(walkers)]
            return self._next(walker, index, operator=operator, seed=seed)

        return for_each(indices, one)

    def _next(self, walker: Walker, index: int, *, operator: str, seed: int) -> Candidate | None:
        rng = np.random.default_rng([seed, index])
        if walker.current is None:
            try:
                start = random_structure(self.space, rng=rng)
            except Infeasible as reason:
                self.blocked[str(reason)] += 1
                return None
            return Candidate(index, start, f"{operator}.start")
        child = self.step(walker.current.atoms, walker.step, rng)
        if child is None:
            return None
        return Candidate(index, child[0], f"{operator}.{child[1]}", (walker.current.index,))


HOPS = {name: operator.hop for name, operator in CATALOG.items() if operator.hop}


def accepts(change: float, kT: float, rng: np.random.Generator) -> bool:
    """Metropolis' rule for a change of the objective: J. Chem. Phys. 21, 1087 (1953)."""
    if change <= 0.0:
        return True
    return bool(kT > 0.0 and rng.random() < np.exp(-change / kT))
