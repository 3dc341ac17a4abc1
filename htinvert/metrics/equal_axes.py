"""Compare signals on equal axes, such as curves and patterns, point by point.

There is no search for a place: the simulation covers the observed signal, or a stretch of it with
the same steps. Points where the observation is NaN were not measured and do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from htinvert.core import EvaluationFailed, Floats, Signal, UserError
from htinvert.metrics.linear import Linear
from htinvert.metrics.patch import window

STEPS_OFF = 0.05  # of a step that the last point of a simulation may be beside an observed one


def start_of(simulated: Signal, observed: Signal) -> tuple[int, ...]:
    """Index in ``observed`` of the first simulated point, one per axis.

    Raises:
        UserError: where the axes differ in number, unit or step, or the simulation goes beyond
            what was observed.
    """
    if len(simulated.axes) != len(observed.axes):
        raise UserError(
            f"the simulated signal has {len(simulated.axes)} axes and the observed one "
            f"{len(observed.axes)}; choose a forward model for such data"
        )
    found = []
    for place, (ours, theirs) in enumerate(zip(simulated.axes, observed.axes, strict=True)):
        size, most = simulated.data.shape[place], observed.data.shape[place]
        if ours.unit != theirs.unit:
            raise UserError(
                f"axis {ours.name} is simulated in {ours.unit} and was observed in {theirs.unit}; "
                "set the unit in the experiment, or let the forward model use the experiment's axes"
            )
        first = (ours.origin - theirs.origin) / theirs.step
        last = (ours.origin + (size - 1) * ours.step - theirs.origin) / theirs.step
        index = round(first)
        if max(abs(first - index), abs(last - (index + size - 1))) > STEPS_OFF:
            raise UserError(
                f"axis {ours.name} is simulated from {ours.origin:g} in steps of {ours.step:g} "
                f"{ours.unit} and was observed from {theirs.origin:g} in steps of {theirs.step:g}; "
                "let the forward model use the experiment's axes, or rebin the experiment"
            )
        if index < 0 or index + size > most:
            raise UserError(
                f"the simulation goes from {ours.origin:g} to "
                f"{ours.origin + (size - 1) * ours.step:g} {ours.unit} along {ours.name}, beyond "
                f"what was observed; let it begin and end inside"
            )
        found.append(index)
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Compared:
    """A simulation and an observation on one grid, of one shape.

    Attributes:
        matched: the simulation, brought to the observation by what is linear.
        patch: the observation, NaN where nothing was measured.
        solved: the linear parameters, by name.
    """

    matched: Floats
    patch: Floats
    solved: Mapping[str, float]

    @property
    def points(self) -> tuple[Floats, Floats]:
        """Simulated and observed values where something was measured, flat."""
        seen = np.isfinite(self.patch)
        return self.matched[seen], self.patch[seen]


@dataclass(frozen=True, kw_only=True)
class PointByPoint(Linear):
    """Signals on equal axes, of which what is linear is solved for before they are compared.

    A metric that inherits it has its parameters, and in its score's detail ``scale`` [1] and
    ``background_0``, ... where they are solved for.
    """

    def brought(self, simulated: Signal, observed: Signal) -> Compared:
        """Put a simulation on the observation's grid and solve for what is linear.

        Raises:
            UserError: where the axes do not agree.
            EvaluationFailed: where too few points are left, the simulation is not finite, or the
                observation is the same everywhere.
        """
        place = window(start_of(simulated, observed), simulated.data.shape)
        patch = observed.data[place].astype(float)
        matched, solved = self.solved(simulated.data.astype(float), patch)
        both = Compared(matched, patch, solved)
        if not np.ptp(both.points[1]) > 0.0:
            raise EvaluationFailed("the observed signal is the same everywhere that is compared")
        return both
