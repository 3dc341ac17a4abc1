"""The angle between two signals taken as vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from htinvert.core import Score, Signal
from htinvert.declaration.declared import Parameter
from htinvert.metrics.equal_axes import Compared, compared
from htinvert.metrics.linear import MOST, Linear


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """One less the cosine of the angle between signals taken as vectors: ``cost`` from 0 to 2.

    Blind to the scale of either, not to an offset (Salton & McGill, *Introduction to Modern
    Information Retrieval* (1983), p. 121).

    Args:
        scale: whether the simulation is multiplied by the number >= 0 that fits best.
        background: degree of a polynomial that is added, solved in closed form; none by default.

    The score's detail holds ``scale`` [1] and ``background_0``, ... where they are solved for.
    """

    scale: bool = True
    background: Annotated[int | None, Parameter("1", 0, MOST)] = None

    power: ClassVar[float] = 1.0
    """Of the mean squared residual that the cost is."""
    sources: ClassVar[tuple[str, ...]] = (
        "G. Salton and M. J. McGill, Introduction to Modern Information Retrieval (1983), p. 121.",
    )

    def __post_init__(self) -> None:
        Linear(self.scale, self.background)

    def brought(self, simulated: Signal, observed: Signal) -> Compared:
        """Both on one grid, what is linear solved for. Raises as the comparison does."""
        return compared(simulated, observed, Linear(self.scale, self.background))

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
