"""Mean squared residual in units of the noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from htinvert.core import Score, Signal
from htinvert.declaration.declared import Parameter
from htinvert.metrics.equal_axes import PointByPoint


@dataclass(frozen=True, kw_only=True)
class ChiSquare(PointByPoint):
    """Residual in units of the noise: ``cost = mean ((o - s) / sigma)^2``.

    About 1 for a right structure under noise of that size (Press et al., *Numerical Recipes*, 3rd
    ed. (2007), section 15.1).

    Args:
        sigma: standard deviation of one point in the observation's unit, >= 0.
        poisson: whether the variance of a point is its count besides: ``sigma^2 + max(o, 1)``.
    """

    sigma: Annotated[float, Parameter("1", 0.0)]
    poisson: bool = False

    power: ClassVar[float] = 1.0
    """Of the mean squared residual that the cost is."""
    sources: ClassVar[tuple[str, ...]] = (
        "W. H. Press et al., Numerical Recipes, 3rd ed. (2007), section 15.1.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma < 0.0 or (self.sigma == 0.0 and not self.poisson):
            raise ValueError(f"sigma is {self.sigma}; give the noise of one point, above 0")

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Compare point by point.

        Raises:
            UserError: where the axes do not agree.
            EvaluationFailed: where too few points are left, or the simulation is not finite.
        """
        both = self.brought(simulated, observed)
        simulation, observation = both.points
        counts = np.maximum(observation, 1.0) if self.poisson else 0.0
        squares = (observation - simulation) ** 2 / (self.sigma**2 + counts)
        return Score(float(squares.mean()), both.solved)
