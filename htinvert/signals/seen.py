"""What an experiment shows of one structure: the model in its fit, its signal in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Channel, Floats, Metric, Score, Signal
from htinvert.evaluation.fit import adjusted, scores_of
from htinvert.evaluation.placed import Placed
from htinvert.signals.kind import Kind, kind_of, shared_out


@dataclass(frozen=True, eq=False)
class Seen:
    """A structure as an experiment shows it; ``scores`` are those of today's metrics, by name."""

    channel: Channel
    atoms: Atoms
    forward: Any
    scores: Mapping[str, Score]
    placed: Placed

    @property
    def kind(self) -> Kind:
        """Of the experiment's data."""
        return kind_of(self.forward)

    @property
    def simulated(self) -> Signal:
        """The simulation as the forward model gave it."""
        return self.placed.simulated

    def shares(self, metric: Metric, simulated: Signal | None = None) -> Floats:
        """Cost of each point, of this simulation or of another one at the same place."""
        return self.kind.shares(metric, simulated or self.simulated, self.placed)

    def pieces(self, metric: Metric) -> NDArray[np.intp]:
        """Number of the piece of data that each of the shares of a cost belongs to."""
        return self.kind.pieces(self.placed, self.shares(metric).shape)

    def piece_costs(self, metric: Metric, pieces: NDArray[np.intp], cost: float) -> Floats:
        """A cost by this metric shared out over pieces, shape (pieces,); the mean is the cost."""
        return shared_out(self.shares(metric), pieces, cost)


def see(channel: Channel, atoms: Atoms, parameters: Mapping[str, float]) -> Seen:
    """Simulate a structure with its recorded parameters and find its place again.

    Raises :class:`~htinvert.core.EvaluationFailed` where that is not possible.
    """
    forward = adjusted(channel.forward, parameters)
    simulated = forward(atoms)
    scores = scores_of(channel, simulated)
    name, metric = next(iter(channel.metrics.items()))
    placed = kind_of(forward).place(simulated, channel.observed, metric, scores[name].detail)
    return Seen(channel, atoms, forward, scores, placed)
