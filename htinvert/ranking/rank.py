"""Rank what a campaign found: weighted sum, Pareto front, families; and what operators gained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from htinvert.core import ENERGIES, Evaluation, Objective, weighted_sum
from htinvert.generators.walks import START
from htinvert.geometry.known import Known
from htinvert.geometry.roles import region_mask
from htinvert.metrics.likelihood import is_likely


@dataclass(frozen=True, eq=False)
class Ranked:
    """The best of a family of like structures.

    ``total`` is the weighted sum, ``above`` how much it lies above the best, ``members`` how many
    candidates of the family were found and ``first`` the index of the earliest, ``on_front``
    whether no family is better in all objectives, ``has_start`` whether the start structure
    relaxed into it.
    """

    rank: int
    evaluation: Evaluation
    total: float
    above: float
    members: int
    first: int
    on_front: bool
    has_start: bool = False


def unit_of_sum(objectives: Sequence[Objective]) -> str:
    """Unit of the weighted sum: that of its only energy, which counts as it is; else empty.

    A weight is what a unit is worth, so that costs count in the unit of an energy of weight 1. A
    sum with a likelihood in it is one of logarithms, in nats.
    """
    if is_likely(objectives):
        return "nats"
    energies = [objective for objective in objectives if objective.name in ENERGIES]
    if len(energies) == 1 and energies[0].weight == 1.0:
        return ENERGIES[energies[0].name]
    return ""


def fit_alone(objectives: Sequence[Objective]) -> str:
    """A warning where fits rank and no energy does; empty where one does, or nothing is fitted."""
    fits = [o.name for o in objectives if o.name not in ENERGIES and o.weight != 0.0]
    if not fits or any(o.name in ENERGIES and o.weight != 0.0 for o in objectives):
        return ""
    return (
        f"fit alone: {' and '.join(fits)} ranks and no energy does, which overfits: what fits best "
        "may be far from the truth; give energy a weight in objectives"
    )


def raw_energies(
    objectives: Sequence[Objective],
    counts: Iterable[Mapping[str, int]],
    potentials: Mapping[str, float],
) -> str:
    """A warning where energies of unlike numbers of atoms are compared as they are, else empty.

    ``counts`` of atoms per element are those of the candidates, or the fewest and the most;
    ``potentials`` are the chemical potentials that there are.
    """
    if not any(o.name in ENERGIES and o.weight for o in objectives):
        return ""
    table = list(counts)
    elements = sorted({element for row in table for element in row} - set(potentials))
    unlike = [e for e in elements if len({row.get(e, 0) for row in table}) > 1]
    if not unlike:
        return ""
    return (
        f"raw energies: candidates differ in how many {' and '.join(unlike)} they have, whose "
        "chemical potential is not given, so that more atoms alone make an energy lower; give "
        "chemical_potentials, numbers [eV] or phases"
    )


def counts_of(ranked: Iterable[Ranked]) -> list[dict[str, int]]:
    """How many atoms of each element the families have."""
    return [entry.evaluation.atoms.symbols.formula.count() for entry in ranked]


def pareto_front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark the rows of ``values``, shape (n, objectives), that no other row dominates.

    A row dominates another where it is nowhere larger and somewhere smaller (Deb, Multi-objective
    optimization using evolutionary algorithms, 2001, definition 2.5). Any number of objectives.
    """
    values = np.asarray(values, dtype=float)
    front = np.ones(len(values), dtype=bool)
    for i, row in enumerate(values):
        if front[i]:
            dominated = (values >= row).all(axis=1) & (values > row).any(axis=1)
            front &= ~dominated
    return front


def rank(evaluations: Iterable[Evaluation], objectives: Sequence[Objective]) -> list[Ranked]:
    """Families of like structures, the best first; failures are never ranked."""
    good = [evaluation for evaluation in evaluations if evaluation.ok]
    totals = np.array([weighted_sum(e.objectives, objectives) for e in good])
    families: list[list[int]] = []
    known = Known.families()
    for i in sorted(range(len(good)), key=lambda i: (totals[i], good[i].candidate.index)):
        home = known.find(good[i].atoms)
        if home is None:
            families.append([i])
            known.add(good[i].atoms)
        else:
            families[home].append(i)
    if not families:
        return []
    heads = [family[0] for family in families]
    table = np.array([[good[i].objectives[o.name] for o in objectives] for i in heads])
    front = pareto_front(table)
    return [
        Ranked(
            rank=place,
            evaluation=good[family[0]],
            total=float(totals[family[0]]),
            above=float(totals[family[0]] - totals[heads[0]]),
            members=len(family),
            first=min(good[i].candidate.index for i in family),
            on_front=bool(front[place - 1]),
            has_start=any(good[i].candidate.operator == START for i in family),
        )
        for place, family in enumerate(families, 1)
    ]


@dataclass
class Yield:
    """What came of one operator's proposals.

    ``refused`` counts by reason, before any cost; ``duplicates`` relaxed into a family that was
    known by then, ``families`` into a new one; ``improvements`` became the best weighted sum;
    ``seconds`` is what its evaluations took together [s].
    """

    operator: str
    refused: Counter[str] = field(default_factory=Counter)
    evaluated: int = 0
    failed: int = 0
    duplicates: int = 0
    families: int = 0
    improvements: int = 0
    seconds: float = 0.0

    @property
    def proposed(self) -> int:
        """How many proposals came to an end, refused or evaluated."""
        return self.refused.total() + self.evaluated


def operator_yields(
    evaluations: Iterable[Evaluation],
    refused: Mapping[tuple[str, str], int],
    objectives: Sequence[Objective],
) -> list[Yield]:
    """What each operator brought, the busiest first; evaluations in the order they were committed.

    ``refused`` counts per (operator, reason). Proposals that never became a structure are refused
    under the operator ``none``, for their generator gave no name.
    """
    yields: dict[str, Yield] = {}
    for (operator, reason), count in refused.items():
        yields.setdefault(operator, Yield(operator)).refused[reason] += count
    known, best = Known.families(), float("inf")
    for evaluation in evaluations:
        operator = evaluation.candidate.operator
        entry = yields.setdefault(operator, Yield(operator))
        entry.evaluated += 1
        entry.seconds += evaluation.seconds
        if not evaluation.ok:
            entry.failed += 1
            continue
        if known.find(evaluation.atoms) is None:
            known.add(evaluation.atoms)
            entry.families += 1
        else:
            entry.duplicates += 1
        total = weighted_sum(evaluation.objectives, objectives)
        if total < best:
            best = total
            entry.improvements += 1
    return sorted(yields.values(), key=lambda entry: (-entry.evaluated, entry.operator))


def distance(found: Atoms, truth: Atoms) -> float:
    """Root-mean-square distance [Å] between the regions of two structures in the same host.

    Atoms are paired, element by element, so that the sum of squares is smallest; infinite where the
    compositions of the regions differ.
    """
    mine, other = region_mask(found), region_mask(truth)
    numbers, theirs = found.numbers[mine], truth.numbers[other]
    if not np.array_equal(np.sort(numbers), np.sort(theirs)):
        return float("inf")
    gaps = found.positions[mine][:, None] - truth.positions[other][None]
    _, lengths = find_mic(gaps.reshape(-1, 3), truth.cell, truth.pbc)
    cost = lengths.reshape(len(numbers), len(theirs)) ** 2
    squares: list[float] = []
    for number in np.unique(numbers):
        part = cost[np.ix_(numbers == number, theirs == number)]
        squares += list(part[linear_sum_assignment(part)])
    return float(np.sqrt(np.mean(squares)))
