"""Operators are paid by what they found: rates that follow the gain per cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from htinvert.core import Evaluation

Cost = Literal["none", "steps", "seconds"]
FLOOR = 0.05  # share of the proposals below which no operator falls
MEMORY = 100.0  # evaluations of an operator after which its older ones hardly count
PRIOR = 10.0  # evaluations of average worth that every operator is credited with beforehand


class Credit:
    """Rates by probability matching: share times gain per cost, none below a floor.

    Goldberg, Mach. Learn. 5, 407 (1990); Thierens, Proc. GECCO 2005, 1539, whose floor this has.
    Gains and costs of an operator fade with its own evaluations, and are drawn to the mean of all
    by a prior, so that a rate does not hang on one lucky child. ``cost`` is what is divided by:
    ``steps``, relaxation steps times atoms, which every repetition of a run counts alike,
    ``seconds`` as measured, which it does not, or ``none``: rates stay at the shares.
    """

    def __init__(self, shares: Mapping[str, float], *, cost: Cost = "steps") -> None:
        self.names = sorted(name for name, share in shares.items() if share > 0)
        self._shares = np.array([shares[name] for name in self.names], dtype=float)
        self._shares /= self._shares.sum()
        self._cost: Cost = cost
        self._gains = np.zeros(len(self.names))
        self._costs = np.zeros(len(self.names))
        self._price, self._priced = 0.0, 0  # mean cost of an evaluation, over how many

    def learn(self, evaluation: Evaluation, gain: float) -> None:
        """Credit the operator of an evaluation with a gain from 0 to 1, and charge what it cost."""
        name = evaluation.candidate.operator
        price = self._relative_cost(evaluation)
        if name not in self.names or self._cost == "none":
            return
        i = self.names.index(name)
        self._gains[i] += gain - self._gains[i] / MEMORY
        self._costs[i] += price - self._costs[i] / MEMORY

    def rates(self) -> dict[str, float]:
        """Chance of each operator, summing to 1."""
        worth = np.ones(len(self.names))
        if self._gains.sum() > 0:
            mean = self._gains.sum() / self._costs.sum()
            worth = (self._gains + PRIOR * mean) / (self._costs + PRIOR) / mean
        chances = self._shares * worth / (self._shares @ worth)
        if self._cost != "none":
            floor = min(FLOOR, 0.5 / len(self.names))
            chances = floor + (1.0 - floor * len(self.names)) * chances
        return dict(zip(self.names, chances.tolist(), strict=True))

    def state(self) -> list[Any]:
        """What was learned, for :meth:`restore`."""
        return [self._gains.tolist(), self._costs.tolist(), self._price, self._priced]

    def restore(self, state: list[Any]) -> None:
        """Know what the one knew whose :meth:`state` this is."""
        gains, costs, self._price, self._priced = state
        self._gains, self._costs = np.array(gains), np.array(costs)

    def _relative_cost(self, evaluation: Evaluation) -> float:
        """Cost of an evaluation over the mean of those before; 1 where it is not known."""
        relaxation = evaluation.relaxation
        if self._cost == "seconds":
            cost = evaluation.seconds
        else:
            steps = relaxation.steps if relaxation else -1
            cost = float((steps + 1) * len(evaluation.atoms))
        if cost <= 0:
            return 1.0
        self._priced += 1
        self._price += (cost - self._price) / self._priced
        return cost / self._price
