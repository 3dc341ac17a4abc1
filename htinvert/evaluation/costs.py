"""What the experiments that a structure is quickly compared with say of one, for guided moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from scipy.ndimage import gaussian_filter1d

from htinvert.core import Channel, EvaluationFailed, Infeasible, Signal
from htinvert.declaration.abilities import Differentiable
from htinvert.evaluation.fit import adjusted, scores_of

BLUR = 0.3  # Å: atoms that are not relaxed yet are off by a tenth; their peaks miss those observed


@dataclass(frozen=True, eq=False)
class Costs:
    """Compares structures with all channels of pair data, whose forward models are quick.

    ``costs(parameters)`` is the mean of their first metrics as a function of atoms, at the fitted
    forward parameters, by channel, of an evaluation; where there are none, at the models' own.
    Curves over r are blurred first, for a place that is right counts before it is relaxed.
    """

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        quick = tuple(c for c in self.channels if isinstance(c.forward, Differentiable))
        object.__setattr__(self, "channels", tuple(c for c in quick if c.metrics))

    def __bool__(self) -> bool:
        return bool(self.channels)

    def __call__(self, parameters: Mapping[str, Mapping[str, float]]) -> Callable[[Atoms], float]:
        """The cost [1] of atoms under these parameters, or Infeasible where there is none."""
        models: list[tuple[Channel, Any]] = [
            (
                replace(channel, observed=blurred(channel.observed)),
                adjusted(channel.forward, parameters.get(channel.name, {})),
            )
            for channel in self.channels
        ]

        def cost(atoms: Atoms) -> float:
            try:
                found = [
                    next(iter(scores_of(channel, blurred(forward(atoms))).values())).cost
                    for channel, forward in models
                ]
            except EvaluationFailed as failure:
                raise Infeasible(f"the structure cannot be compared: {failure}") from failure
            return sum(found) / len(found)

        return cost


def blurred(signal: Signal) -> Signal:
    """A curve over r [Å] with wider peaks; any other signal as it is."""
    axis = signal.axes[0]
    if axis.unit != "Å":
        return signal
    values = gaussian_filter1d(signal.data.astype(float), BLUR / axis.step)
    return replace(signal, data=values.astype(np.float32))
