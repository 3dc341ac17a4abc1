"""Screening before paying: of several proposals, evaluate the one that a cheap model prefers.

A cheap potential relaxes every proposal and the experiments' models image it. A proposal is refused
whose cheap minimum has been met before, for it would most likely relax into a known family, and one
that lies where a known structure does. Of the others the one with the lowest confidence bound is
chosen: the prediction of a Gaussian process for the weighted sum, less ``kappa`` times its
uncertainty. Bisbo & Hammer, Phys. Rev. Lett. 124, 086102 (2020), select so among candidates that
they relax in a surrogate; the difference of a cheap and an expensive model is learned as in Kennedy
& O'Hagan, Biometrika 87, 1 (2000).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

import numpy as np
from ase import Atoms

from htinvert.core import (
    ENERGIES,
    Candidate,
    Evaluation,
    Floats,
    Generator,
    Infeasible,
    Objective,
    Recipe,
    Space,
    weighted_sum,
)
from htinvert.declaration.abilities import Resumable
from htinvert.evaluation.evaluate import evaluate
from htinvert.geometry.fingerprint import LIKE, difference, fingerprint
from htinvert.geometry.regions import Regions
from htinvert.geometry.roles import region_mask
from htinvert.ranking.rank import distance
from htinvert.store import snap

STRIDE = 232_792_560 * 2**20  # a multiple of 1 to 20, so that walkers, by index, stay the same
NOISE = 0.1  # of the differences' deviation: relaxations into one minimum do not end alike
OUTLIER = 3.0  # times median less best: a weighted sum further above the median is cut
ALIKE = 0.05  # of an image's cost: structures of one fingerprint that differ more are not alike
LEARNED = 400  # evaluations, the latest, that the surrogate learns from


@dataclass(frozen=True, eq=False)
class Preview:
    """A structure as the cheap stage sees it: fingerprint, weighted sum, what is linear in it.

    ``features`` are the weighted objectives and the region's number of each element, ``costs`` the
    channels' scores.
    """

    atoms: Atoms
    vector: Floats
    total: float
    features: Floats
    costs: Floats

    def state(self) -> list[Any]:
        """Its fields as plain values and atoms, but for the fingerprint, which is made again."""
        return [self.atoms, self.total, self.features.tolist(), self.costs.tolist()]

    @classmethod
    def restored(cls, state: Sequence[Any]) -> Self:
        """The preview of a :meth:`state`."""
        atoms, total, features, costs = state
        return cls(atoms, fingerprint(atoms), total, np.array(features), np.array(costs))


@dataclass
class Screened:
    """Ask the inner generator several times for each index, and pass on the best new proposal.

    Cheap relaxations of what it was told are kept with a checkpoint, and made again only of what
    came after it.

    Attributes:
        inner: who proposes; try ``t`` of index ``i`` has the random stream of ``i + t STRIDE``.
        cheap: the campaign's recipe with the cheap potential.
        space: the campaign's.
        objectives: what is predicted is their weighted sum.
        tries: proposals per index, >= 1.
        kappa: worth of one standard deviation of uncertainty; 0 takes the best prediction.
        start: whether the proposal as it is is then evaluated, or what the cheap potential made
            of it.
        repeat: difference of cheap minima's fingerprints below which a proposal is a repeat.
        capture: rms distance [Å] of the region's atoms to those of a known structure below which
            a proposal is a repeat.
    """

    inner: Generator
    cheap: Recipe
    space: Space
    objectives: tuple[Objective, ...]
    tries: int = 8
    kappa: float = 1.0
    start: Literal["proposed", "relaxed"] = "proposed"
    repeat: float = LIKE
    capture: float = 0.5
    _known: list[Preview] = field(default_factory=list, init=False, repr=False)
    _structures: list[Preview] = field(default_factory=list, init=False, repr=False)
    _regions: Regions = field(default_factory=Regions, init=False, repr=False)
    _waiting: dict[int, Preview] = field(default_factory=dict, init=False, repr=False)
    _learned: list[tuple[Preview, float]] = field(default_factory=list, init=False, repr=False)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the most promising of several candidates per index, if any of them is new."""
        candidates = (self._choose(index) for index in indices)
        return [candidate for candidate in candidates if candidate is not None]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Let the inner generator learn, and compare the cheap prediction with what came out."""
        evaluations = list(evaluations)
        self.inner.tell(evaluations)
        for evaluation in evaluations:
            preview = self._waiting.pop(evaluation.candidate.index, None)
            if preview is None or self.start == "relaxed":  # as a resume would see it
                preview = self._preview(evaluation.candidate)
            if preview is not None:
                self._known.append(preview)
            if not evaluation.ok:
                continue
            if preview is not None:
                total = weighted_sum(evaluation.objectives, self.objectives)
                self._learned = [*self._learned[-LEARNED + 1 :], (preview, total)]
            found = self._describe(evaluation)
            self._structures.append(found)
            self._known.append(found)
            again = self._preview(replace(evaluation.candidate, atoms=evaluation.atoms))
            if again is not None:
                self._known.append(again)

    def state(self) -> list[Any] | None:
        """What was learned, for :meth:`restore`; None where the inner generator has none."""
        inner = self.inner.state() if isinstance(self.inner, Resumable) else None
        if inner is None:
            return None
        places = {id(preview): place for place, preview in enumerate(self._known)}
        structures = [places[id(preview)] for preview in self._structures]
        learned = [[places[id(preview)], total] for preview, total in self._learned]
        return [inner, [preview.state() for preview in self._known], structures, learned]

    def restore(self, state: Sequence[Any]) -> None:
        """Go on from a :meth:`state` as if all had been told."""
        inner, known, structures, learned = state
        resumable: Any = self.inner
        resumable.restore(inner)
        self._known = [Preview.restored(one) for one in known]
        self._structures = [self._known[place] for place in structures]
        self._learned = [(self._known[place], total) for place, total in learned]

    def _choose(self, index: int) -> Candidate | None:
        """The best of the new proposals, None where there is none."""
        options: list[tuple[Candidate, Preview]] = []
        for attempt in range(self.tries):
            for candidate in self.inner.ask([index + attempt * STRIDE]):
                with suppress(Infeasible):  # flung out of the grid that structures snap to
                    candidate = replace(candidate, index=index, atoms=snap(candidate.atoms))
                    preview = None if self._captured(candidate) else self._preview(candidate)
                    if preview is not None and not self._repeats(preview):
                        options.append((candidate, preview))
        if not options:
            return None
        bounds = self._bounds([preview for _, preview in options])
        candidate, preview = options[int(np.argmin(bounds))]
        self._waiting[index] = preview
        if self.start == "relaxed":
            candidate = replace(candidate, atoms=preview.atoms)
        return candidate

    def _preview(self, candidate: Candidate) -> Preview | None:
        """The cheap stage's opinion; None where it cannot have one."""
        evaluation = evaluate(candidate, self.cheap)
        if not evaluation.ok:
            return None
        return self._describe(evaluation)

    def _describe(self, evaluation: Evaluation) -> Preview:
        atoms, objectives = evaluation.atoms, evaluation.objectives
        values = [o.worth(objectives[o.name]) for o in self.objectives]
        region = atoms.symbols[region_mask(atoms)]
        counts = [float((region == symbol).sum()) for symbol in self.space.composition]
        costs = [value for name, value in objectives.items() if name not in ENERGIES]
        return Preview(
            atoms, fingerprint(atoms), sum(values), np.array([*values, *counts]), np.array(costs)
        )

    def _repeats(self, preview: Preview) -> bool:
        """Whether its like is known; a mirror image, of another cost, is not its like."""
        return any(
            difference(other.vector, preview.vector) < self.repeat
            and bool((np.abs(other.costs - preview.costs) < ALIKE).all())
            for other in (*self._known, *self._waiting.values())
        )

    def _captured(self, candidate: Candidate) -> bool:
        """Whether the proposal lies where a known structure does."""
        for known in self._structures[len(self._regions) :]:
            self._regions.add(known.atoms)
        near = self._regions.near(candidate.atoms, self.capture)
        return any(
            distance(candidate.atoms, self._structures[number].atoms) < self.capture
            for number in near
        )

    def _bounds(self, previews: list[Preview]) -> Floats:
        """Lower confidence bound of each preview's weighted sum, shape (n,)."""
        if len(self._learned) < len(self.objectives) + 2:
            return np.array([preview.total for preview in previews])
        learned, totals = zip(*self._learned, strict=True)
        surrogate = Surrogate.learn(learned, np.array(totals))
        mean, deviation = surrogate.predict(previews)
        return mean - self.kappa * deviation


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Gaussian process for the difference of the expensive and the cheap weighted sum.

    Rasmussen & Williams, *Gaussian Processes for Machine Learning* (2006), algorithm 2.1. The
    kernel is linear in the features plus a Gaussian of the fingerprints' distance, whose length is
    the median distance of what was learned; all in units of the differences' deviation.
    """

    learned: tuple[Preview, ...]
    length: float
    center: Floats
    scale: Floats
    factor: Floats
    weights: Floats
    mean: float
    deviation: float

    @classmethod
    def learn(cls, previews: Sequence[Preview], totals: Floats) -> Self:
        """Learn from cheap previews and the expensive weighted sums, shape (n,)."""
        ceiling = np.median(totals) + OUTLIER * (np.median(totals) - totals.min())
        target = np.minimum(totals, ceiling) - [preview.total for preview in previews]
        mean, deviation = float(target.mean()), float(target.std()) or 1.0
        features = np.array([preview.features for preview in previews])
        center = np.asarray(features.mean(axis=0), dtype=np.float64)
        scale = np.asarray(features.std(axis=0) + 1e-12, dtype=np.float64)
        apart = _apart(previews, previews)
        length = float(np.median(apart[np.triu_indices(len(apart), 1)])) or 1.0
        scaled = (features - center) / scale
        kernel = _kernel(apart / length, scaled, scaled)
        factor = np.asarray(
            np.linalg.cholesky(kernel + NOISE**2 * np.eye(len(kernel))), dtype=float
        )
        weights = np.linalg.solve(factor.T, np.linalg.solve(factor, (target - mean) / deviation))
        return cls(tuple(previews), length, center, scale, factor, weights, mean, deviation)

    def predict(self, previews: Sequence[Preview]) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the expensive weighted sum, shape (k,) each."""
        known, new = (
            (np.array([preview.features for preview in some]) - self.center) / self.scale
            for some in (self.learned, previews)
        )
        apart = _apart(self.learned, previews)
        kernel = _kernel(apart / self.length, known, new)
        difference = self.mean + self.deviation * (kernel.T @ self.weights)
        prior = 2.0 + (new**2).mean(axis=1)
        variance = prior - (np.linalg.solve(self.factor, kernel) ** 2).sum(axis=0)
        totals = np.array([preview.total for preview in previews])
        return totals + difference, self.deviation * np.sqrt(np.maximum(variance, 0.0))


def _apart(first: Sequence[Preview], second: Sequence[Preview]) -> Floats:
    """Euclidean distance of the fingerprints, unit vectors, shape (len(first), len(second))."""
    cosine = [[1.0 - difference(a.vector, b.vector) for b in second] for a in first]
    return np.asarray(np.sqrt(np.maximum(2.0 - 2.0 * np.array(cosine), 0.0)))


def _kernel(apart: Floats, features: Floats, others: Floats) -> Floats:
    """Covariance of differences, in units of their variance, of the shape of ``apart``."""
    return np.asarray(np.exp(-0.5 * apart**2) + 1.0 + features @ others.T / features.shape[1])
