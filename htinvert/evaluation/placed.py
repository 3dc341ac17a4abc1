"""A simulated signal at its place in the observed one, both on one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from htinvert.core import Floats, Signal
from htinvert.metrics.patch import window


@dataclass(frozen=True, eq=False)
class Placed:
    """Simulated and observed signal where they overlap.

    Attributes:
        observed: all that was measured; points that were not are NaN.
        simulated: as the forward model gave it, with the steps of the observed one.
        start: index in the observed signal of the first simulated point, one per axis.
        matched: the simulation, of its own shape, brought to the observation by what is linear and
            solved in closed form: gain, offset, background.
        detail: of the score that says so.
    """

    observed: Signal
    simulated: Signal
    start: tuple[int, ...]
    matched: Floats
    detail: Mapping[str, float] = field(default_factory=dict)

    @property
    def window(self) -> tuple[slice, ...]:
        """The part of the observed signal that the simulation covers, one slice per axis."""
        return window(self.start, self.simulated.data.shape)

    @property
    def patch(self) -> Floats:
        """The observed values there, of the simulation's shape."""
        return self.observed.data[self.window].astype(float)

    @property
    def residual(self) -> Floats:
        """Simulation less observation, of the former's shape; NaN where nothing was measured."""
        return self.matched - self.patch

    @property
    def explained(self) -> float:
        """The share of the observation's variance that the simulation explains; at most one."""
        patch, left = self.patch, self.residual
        seen = np.isfinite(patch) & np.isfinite(left)
        whole = float(patch[seen].var()) if seen.any() else 0.0
        return 1.0 - float((left[seen] ** 2).mean()) / whole if whole else 0.0

    def framed(self, values: Floats) -> Floats:
        """Values of the simulation's shape in the frame of the observed signal, NaN around them."""
        whole = np.full(self.observed.data.shape, np.nan)
        whole[self.window] = values
        return whole
