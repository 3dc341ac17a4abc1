"""Basin hopping: several walkers that step from one relaxed structure to the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Infeasible, Objective, Space, weighted_sum
from htinvert.generators import operators
from htinvert.generators.population import Member, Population
from htinvert.roles import rigid_bodies

OPERATOR = "hop"
TARGET_ACCEPTANCE = 0.5
SMALLEST_STEP, LARGEST_STEP = 0.1, 2.0  # Å


@dataclass
class Walker:
    """Where a walker stands, the length of its steps [Å], and its rejections in a row."""

    step: float
    current: Member | None = None
    rejected: int = 0


@dataclass
class BasinHopping:
    """Metropolis walks over relaxed structures with a step that adapts to half acceptance.

    Wales & Doye, J. Phys. Chem. A 101, 5111 (1997). A walker that was rejected too often goes on
    from one of the best structures that anyone in the campaign has found, after the occasional
    jumping of Iwamatsu & Okabe, Chem. Phys. Lett. 399, 396 (2004).

    Attributes:
        walkers: how many walks go on side by side.
        kT: temperature, in units of the weighted sum (eV where the weight of energy is 1).
        step: first length of a step [Å]; every atom of the region moves by up to this much.
        shift: share of the steps that shift a rigid grain, where there is one, by up to a step.
        relocation: share of the steps that put one atom elsewhere, or change the composition.
        patience: rejections in a row after which a walker goes elsewhere.
        elite: how many unlike structures it may then choose among.
    """

    space: Space
    objectives: tuple[Objective, ...]
    seed: int
    walkers: int = 2
    kT: float = 0.3  # noqa: N815  (the field's own symbol)
    step: float = 0.6
    shift: float = 0.2
    relocation: float = 0.3
    patience: int = 25
    elite: int = 10

    def __post_init__(self) -> None:
        self._walkers = [Walker(self.step) for _ in range(self.walkers)]
        self._elite = Population(self.elite)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next step of a walker per index."""
        candidates = (self._propose(index) for index in indices)
        return [candidate for candidate in candidates if candidate is not None]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Accept or reject the steps of one's own walkers; remember the best of all generators."""
        for evaluation in evaluations:
            member = None
            if evaluation.ok:
                value = weighted_sum(evaluation.objectives, self.objectives)
                member = Member(evaluation.candidate.index, evaluation.atoms, value)
                self._elite.add(member)
            if evaluation.candidate.operator.startswith(OPERATOR):
                self._settle(evaluation.candidate.index, member)

    def _walker(self, index: int) -> Walker:
        return self._walkers[index % len(self._walkers)]

    def _propose(self, index: int) -> Candidate | None:
        rng = np.random.default_rng([self.seed, index])
        walker = self._walker(index)
        try:
            if walker.current is None:
                atoms = operators.random_structure(self.space, rng=rng)
                return Candidate(index, atoms, f"{OPERATOR}.start")
            atoms, name = self._hop(walker.current.atoms, walker.step, rng)
            return Candidate(index, atoms, f"{OPERATOR}.{name}", (walker.current.index,))
        except Infeasible:
            return None

    def _hop(self, atoms: Atoms, step: float, rng: np.random.Generator) -> tuple[Atoms, str]:
        if rigid_bodies(atoms) and rng.random() < self.shift:
            child = operators.shift_grain(atoms, space=self.space, rng=rng, amplitude=step)
            return child, "shift_grain"
        if rng.random() >= self.relocation:
            child = operators.rattle(atoms, space=self.space, rng=rng, amplitude=step, share=1.0)
            return child, "rattle"
        if any(low < high for low, high in self.space.composition.values()) and rng.random() < 0.5:
            return operators.add_or_remove(atoms, space=self.space, rng=rng), "add_or_remove"
        return operators.relocate(atoms, space=self.space, rng=rng), "relocate"

    def _settle(self, index: int, member: Member | None) -> None:
        walker = self._walker(index)
        accepted = member is not None and self._accepts(walker, member, index)
        factor = 1.05 if accepted else 1.05 ** (-TARGET_ACCEPTANCE / (1 - TARGET_ACCEPTANCE))
        walker.step = float(np.clip(walker.step * factor, SMALLEST_STEP, LARGEST_STEP))
        if accepted:
            walker.current, walker.rejected = member, 0
            return
        walker.rejected += 1
        if walker.rejected >= self.patience and len(self._elite):
            rng = np.random.default_rng([self.seed, index, 2])
            walker.current = self._elite.tournament(1, rng)
            walker.rejected, walker.step = 0, self.step

    def _accepts(self, walker: Walker, member: Member, index: int) -> bool:
        """Metropolis' rule; the draw belongs to the candidate, so a replay decides alike."""
        if walker.current is None or member.value <= walker.current.value:
            return True
        chance = np.exp(-(member.value - walker.current.value) / self.kT)
        return bool(np.random.default_rng([self.seed, index, 1]).random() < chance)
