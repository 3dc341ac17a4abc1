"""The weighted profile residual of curves, by which fits of pair distributions are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htinvert.core import Floats, Score, Signal
from htinvert.metrics.equal_axes import PointByPoint


@dataclass(frozen=True, kw_only=True)
class Rw(PointByPoint):
    """Residual relative to the observation: ``cost = sqrt(sum (o - s)^2 / sum o^2)``, 0 to about 1.

    The figure of Egami & Billinge, *Underneath the Bragg Peaks*, 2nd ed. (2012), eq. 6.13, with
    unit weights.
    """

    misfit: ClassVar[str] = "cost"
    """How the relative root mean square residual follows from the cost."""
    power: ClassVar[float] = 0.5
    """Of the mean squared residual that the cost is."""
    sources: ClassVar[tuple[str, ...]] = (
        "T. Egami and S. J. L. Billinge, Underneath the Bragg Peaks, 2nd ed. (2012), eq. 6.13.",
    )

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Compare point by point.

        Raises:
            UserError: where the axes do not agree.
            EvaluationFailed: where too few points are left, or the simulation is not finite.
        """
        both = self.brought(simulated, observed)
        simulation, observation = both.points
        squares = ((observation - simulation) ** 2).sum() / (observation**2).sum()
        return Score(float(np.sqrt(squares)), both.solved)

    def slope(self, simulated: Signal, observed: Signal) -> Floats:
        """How the cost changes with each simulated value, shape of the simulation.

        What is linear may stay at its best values, for there the cost does not change with it.

        Raises:
            UserError, EvaluationFailed: as the comparison does.
        """
        both = self.brought(simulated, observed)
        rest = np.where(np.isfinite(both.patch), both.matched - both.patch, 0.0)
        whole = float(np.nansum(both.patch**2))
        cost = float(np.sqrt((rest**2).sum() / whole))
        scale = both.solved.get("scale", 1.0)
        return np.asarray(scale * rest / max(cost, 1e-12) / whole)
