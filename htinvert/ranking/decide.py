"""Which datum decides: what is left by each alone, by pairs, by all; and whether data agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Floats, Objective
from htinvert.energy.accuracy import Accuracy
from htinvert.metrics.likelihood import Likelihood, is_likely
from htinvert.ranking.confidence import LEVEL, Evidence, claim
from htinvert.ranking.evidence import gather
from htinvert.ranking.positions import Misplaced
from htinvert.ranking.rank import Ranked
from htinvert.signals.seen import Seen

BEST = 40  # families, the best first, that are compared
EACH = 10  # and those with the lowest sums by every choice of data
MANY = 4  # objectives, beyond which not every choice of them is looked at
FALSE_ALARM = 0.05  # probability that data of one structure are called inconsistent
POOR = 3.0  # times its floor: a misfit that no structure found reaches fits nothing

Choice = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Decision:
    """What is left by which data.

    Attributes:
        ranked: the families that were compared, in the order of the joint ranking.
        choices: of data, by names of objectives: each alone, then pairs and so on, all last.
        inside: whether a choice leaves a family, shape (choices, families).
        worths: what each datum adds to the sum, by name, shape (families,).
        p_values: by one datum alone, of each family being as good as the best, by name.
        misfits: the lowest misfit of any family found, and the floor, by name of a likelihood.
        misplaced: what errors of positions make of that floor, by name.
    """

    ranked: Sequence[Ranked]
    choices: tuple[Choice, ...]
    inside: NDArray[np.bool_]
    worths: Mapping[str, Floats]
    p_values: Mapping[str, Floats]
    misfits: Mapping[str, tuple[float, float]]
    misplaced: Mapping[str, Misplaced] = field(default_factory=dict)

    @property
    def left(self) -> list[int]:
        """How many families each choice leaves."""
        return [int(row.sum()) for row in self.inside]

    def first(self, choice: Choice) -> int:
        """Place among the compared ones of the family with the lowest sum by these data."""
        return int(np.argmin(sum(self.worths[name] for name in choice)))

    @property
    def poor(self) -> list[str]:
        """Data that no family found fits: the model errs by far less."""
        return [name for name, (best, floor) in self.misfits.items() if best > POOR * floor]

    @property
    def inconsistent(self) -> bool:
        """Whether every datum is fitted alone, and no family is left by all of them.

        Each is taken at so high a level that the right family, where it was found, is left by all
        with a probability of 95 % (Bonferroni).
        """
        data = [name for name in self.p_values if name not in ENERGIES]
        if len(data) < 2 or self.poor:
            return False
        level = FALSE_ALARM / len(data)
        return not np.all([self.p_values[name] > level for name in data], axis=0).any()

    @property
    def price(self) -> dict[str, float]:
        """By how much each datum is worse by the joint best than by its own best."""
        best = self.first(self.choices[-1])
        return {name: float(worth[best] - worth.min()) for name, worth in self.worths.items()}


def choices_of(names: Sequence[str]) -> tuple[Choice, ...]:
    """Each datum alone, pairs, and so on up to all; of many only those and all but one."""
    count = len(names)
    sizes = {1, 2, count - 1, count} if count > MANY else {*range(1, count + 1)}
    return tuple(choice for size in sorted(sizes) for choice in combinations(names, size))


def contenders(ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> list[Ranked]:
    """The best families, and those best by some choice of data, in the order they are given."""
    weighty = [objective for objective in objectives if objective.weight]
    values = _worths(ranked, weighty)
    chosen = set(range(min(BEST, len(ranked))))
    for choice in choices_of([o.name for o in weighty]):
        sums = sum(values[name] for name in choice)
        chosen |= set(np.argsort(sums, kind="stable")[:EACH].tolist())
    return [ranked[place] for place in sorted(chosen)]


def decide(
    ranked: Sequence[Ranked],
    seen_of: Sequence[dict[str, Seen]],
    objectives: Sequence[Objective],
    *,
    engine: Accuracy,
    level: float = LEVEL,
) -> Decision:
    """Compare families by every choice of data; ``seen_of`` has the signals of each, by channel."""
    nats = is_likely(objectives)
    alone = {o.name: gather(ranked, seen_of, [o], engine=engine, nats=nats) for o in objectives}
    objectives = [alone[o.name].objectives[o.name] for o in objectives]  # with errors of positions
    worths, choices = _worths(ranked, objectives), choices_of([o.name for o in objectives])
    inside, p_values = [], {}
    for choice in choices:
        found = claim(_together(alone, worths, choice), level=level)
        inside.append(found.inside)
        if len(choice) == 1:
            p_values[choice[0]] = found.p_values
    misfits = {}
    for o in objectives:
        if isinstance(o.likelihood, Likelihood):
            costs = [entry.evaluation.objectives[o.name] for entry in ranked]
            misfits[o.name] = (float(o.likelihood.misfit(min(costs))), o.likelihood.floor)
    off = {name: error for one in alone.values() for name, error in one.misplaced.items()}
    return Decision(ranked, choices, np.array(inside), worths, p_values, misfits, off)


def _worths(ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> dict[str, Floats]:
    """What each objective adds to each family's sum, by name."""
    return {
        o.name: np.array([float(o.worth(e.evaluation.objectives[o.name])) for e in ranked])
        for o in objectives
    }


def _together(
    alone: Mapping[str, Evidence], worths: Mapping[str, Floats], choice: Choice
) -> Evidence:
    """Evidence of several data, whose errors are independent but for the energies' own."""
    parts = [alone[name] for name in choice]
    windows = {name: costs for part in parts for name, costs in part.windows.items()}
    objectives = {name: o for part in parts for name, o in part.objectives.items()}
    engine: dict[str, Floats] = {}
    if not parts[0].nats:
        engine["energy"] = np.asarray(sum(part.engine["energy"] for part in parts))
    moved = [part.engine["position"] for part in parts if "position" in part.engine]
    if moved:
        engine["position"] = np.concatenate(moved)
    totals = np.asarray(sum(worths[name] for name in choice))
    return Evidence(totals, windows, engine, objectives, parts[0].nats)
