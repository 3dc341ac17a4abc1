"""What quick experiments say of a structure before anything is relaxed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from htinvert.core import Channel, EvaluationFailed, Objective
from htinvert.declaration.abilities import Quick
from htinvert.evaluation.fit import adjusted, fit, scores_of
from htinvert.metrics.likelihood import Likelihood

FITS = 12  # simulations for each free parameter, where a fit goes on from another's end

Parameters = Mapping[str, Mapping[str, float]]


def is_quick(channel: Channel) -> bool:
    """Whether structures may be tried by an experiment before they are relaxed."""
    return isinstance(channel.forward, Quick) and channel.forward.quick


@dataclass(frozen=True, eq=False)
class Misfits:
    """Prices structures as they stand by the experiments whose simulation takes milliseconds.

    Attributes:
        channels: those whose forward model is quick and whose metrics are among the objectives.
        objectives: the campaign's.
    """

    channels: tuple[Channel, ...]
    objectives: tuple[Objective, ...]

    def __post_init__(self) -> None:
        names = {objective.name.partition(".")[0] for objective in self.objectives}
        quick = tuple(c for c in self.channels if c.name in names and is_quick(c))
        object.__setattr__(self, "channels", quick)

    def __bool__(self) -> bool:
        return bool(self.channels)

    def at(self, parameters: Parameters) -> Callable[[Atoms], float]:
        """The experiments' misfit at these forward parameters, by channel: their weighted costs.

        Infinite where a structure cannot be simulated.
        """
        models = [(c, adjusted(c.forward, parameters.get(c.name, {}))) for c in self.channels]

        def cost(atoms: Atoms) -> float:
            found: dict[str, float] = {}
            for channel, forward in models:
                try:
                    scores = scores_of(channel, forward(atoms))
                except EvaluationFailed:
                    return np.inf
                found |= {f"{channel.name}.{name}": one.cost for name, one in scores.items()}
            return self._sum(found)

        return cost

    def fitted(
        self, atoms: Atoms, start: Parameters | None = None, fits: int = FITS
    ) -> tuple[float, dict[str, dict[str, float]]]:
        """The same after a fit of what is free, and where that ends.

        From ``start`` it takes ``fits`` simulations per free parameter.
        """
        found: dict[str, float] = {}
        ends: dict[str, dict[str, float]] = {}
        for channel in self.channels:
            begin, most = None, 200
            if start is not None:
                begin, most = start.get(channel.name, {}), fits * max(len(channel.free), 1)
            try:
                best = fit(channel, atoms, start=begin, max_evaluations=most)
            except EvaluationFailed:
                return np.inf, {}
            found |= {f"{channel.name}.{name}": one.cost for name, one in best.scores.items()}
            ends[channel.name] = dict(best.parameters)
        return self._sum(found), ends

    def _sum(self, values: Mapping[str, float]) -> float:
        return float(sum(_worth(o, values[o.name]) for o in self.objectives if o.name in values))


def _worth(objective: Objective, value: float) -> float:
    """A cost's share, 0 for a perfect fit: of a likelihood its misfit, at the slope at its floor.

    So that of two structures the ratio tells which fits better, whatever a campaign ranks by.
    """
    told = objective.likelihood
    if not isinstance(told, Likelihood):
        return float(objective.worth(value))
    return float(objective.weight * told.points / told.floor * told.misfit(value))
