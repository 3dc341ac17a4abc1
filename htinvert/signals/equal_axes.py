"""What curves and patterns have alike: simulation and observation lie on equal axes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from htinvert.core import Floats, Metric, Signal
from htinvert.evaluation.placed import Placed
from htinvert.metrics.equal_axes import Compared, start_of


@runtime_checkable
class Brings(Protocol):
    """A metric that says how it has brought a simulation to the observation, point by point.

    ``power`` is that of the mean squared residual which its cost is: 0.5 for a root.
    """

    power: float

    def brought(self, simulated: Signal, observed: Signal) -> Compared:
        """Both on one grid, what is linear solved for."""
        ...


def place_equal(
    simulated: Signal, observed: Signal, metric: Metric, detail: Mapping[str, float]
) -> Placed:
    """Put a simulation on the observed axes, brought to it as the metric does.

    A metric that does not say so is taken to compare the simulation as it is.
    """
    start = start_of(simulated, observed)
    matched = simulated.data.astype(float)
    if isinstance(metric, Brings):
        matched = metric.brought(simulated, observed).matched
    return Placed(observed, simulated, start, matched, detail)


def squared_shares(metric: Any, simulated: Signal, placed: Placed) -> Floats:
    """Cost of each point [1], of the simulation's shape; NaN where nothing was measured.

    The squared residual, scaled so that its mean is the metric's cost and follows it to first order
    where the metric says of what power its cost is.
    """
    other = place_equal(simulated, placed.observed, metric, placed.detail)
    squares = other.residual**2
    mean = float(np.nanmean(squares))
    cost = float(metric(simulated, placed.observed).cost)
    power = float(getattr(metric, "power", 1.0))
    if mean <= 0.0:
        return np.where(np.isfinite(squares), cost, np.nan)
    return cost * (1.0 + power * (squares / mean - 1.0))
