"""The angle between two signals taken as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htinvert.core import Score, Signal
from htinvert.metrics.equal_axes import PointByPoint


@dataclass(frozen=True, kw_only=True)
class Cosine(PointByPoint):
    """One less the cosine of the angle between signals taken as vectors: ``cost`` from 0 to 2.

    Blind to the scale of either, not to an offset (Salton & McGill, *Introduction to Modern
    Information Retrieval* (1983), p. 121).
    """

    misfit: ClassVar[str] = "correlation"
    """How the relative root mean square residual follows from the cost."""
    power: ClassVar[float] = 1.0
    """Of the mean squared residual that the cost is."""
    sources: ClassVar[tuple[str, ...]] = (
        "G. Salton and M. J. McGill, Introduction to Modern Information Retrieval (1983), p. 121.",
    )

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Compare point by point.

        Raises:
            UserError: where the axes do not agree.
            EvaluationFailed: where too few points are left, or the simulation is not finite.
        """
        both = self.brought(simulated, observed)
        simulation, observation = both.points
        norms = float(np.linalg.norm(simulation) * np.linalg.norm(observation))
        cosine = float(simulation @ observation) / norms if norms > 0.0 else 0.0
        return Score(max(0.0, 1.0 - cosine), both.solved)
