"""Adjust a forward model's free parameters until its signal fits what was observed.

Bounded, each parameter scaled to 0..1, without randomness: a few points of a Halton sequence
(Numer. Math. 2, 84 (1960)), then Powell's method (Comput. J. 7, 155 (1964)) from the best of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, minimize
from scipy.stats.qmc import Halton

from htinvert.core import Channel, EvaluationFailed, ForwardModel, Score, Signal

Parameters = dict[str, float]

_FAILED = 1e6  # cost of a trial that could not be scored
_PROBES_PER_PARAMETER = 4


def fit(
    channel: Channel,
    atoms: Atoms,
    *,
    start: Mapping[str, float] | None = None,
    max_evaluations: int = 200,
) -> tuple[ForwardModel, Parameters, dict[str, Score]]:
    """Fit ``channel.free`` to ``channel.observed``, minimizing the first metric's cost.

    Args:
        channel: what was observed, how to simulate it, what may be adjusted.
        atoms: the structure, left as it is.
        start: parameters to start from, such as a parent's; those missing start at the forward
            model's own value. With a start no other points are probed.
        max_evaluations: most images to simulate, >= 1.

    Returns:
        The adjusted forward model, its free parameters by name, the score of each metric by name.

    Raises:
        EvaluationFailed: where no trial could be simulated and scored.
        ValueError: where the forward model lacks a free parameter or there is no metric.
    """
    if not channel.metrics:
        raise ValueError(f'channel "{channel.name}" has no metric; give it at least one')
    if not channel.free:
        return channel.forward, {}, score(channel, channel.forward, atoms)
    search = _Search(channel, atoms, max_evaluations)
    first = search.scaled(start)
    points = [first]
    if start is None:
        points += search.probes()
    for point in points:
        search.cost(point)
    search.descend()
    forward = search.forward(search.best_point)
    parameters = search.parameters(search.best_point)
    return forward, parameters, score(channel, forward, atoms)


def score(channel: Channel, forward: ForwardModel, atoms: Atoms) -> dict[str, Score]:
    """Simulate ``atoms`` once and compare with the channel's observation by each of its metrics."""
    return compare(channel, forward(atoms))


def compare(channel: Channel, simulated: Signal) -> dict[str, Score]:
    """Score of each metric of ``channel`` for a simulated signal, by name.

    Where the sampling is free it is what the fit finds out about the observed signal, whose own
    axes are then read with it.
    """
    observed = channel.observed
    if "sampling" in channel.free:
        observed = sampled_like(observed, simulated)
    return {name: metric(simulated, observed) for name, metric in channel.metrics.items()}


def sampled_like(observed: Signal, simulated: Signal) -> Signal:
    """The same data, its axes read with the steps of ``simulated``."""
    steps = zip(observed.axes, simulated.sampling, strict=True)
    return Signal(observed.data, tuple(replace(axis, step=step) for axis, step in steps))


class _Spent(Exception):
    """No evaluations are left."""


class _Search:
    """Trials of one fit in the unit box: counts them and remembers the best."""

    def __init__(self, channel: Channel, atoms: Atoms, max_evaluations: int) -> None:
        self.channel = channel
        self.atoms = atoms
        self.left = max(max_evaluations, 1)
        self.names = tuple(channel.free)
        self.lower, self.upper = np.array(list(channel.free.values()), dtype=float).T
        self.metric = next(iter(channel.metrics))
        self.best_cost = np.inf
        self.best_point = np.full(len(self.names), 0.5)
        self.failure = ""

    def scaled(self, start: Mapping[str, float] | None) -> NDArray[np.float64]:
        """Unit-box point of ``start``, completed by the forward model's own values."""
        values = [self._initial(name, start or {}) for name in self.names]
        span = np.where(self.upper > self.lower, self.upper - self.lower, 1.0)
        return np.asarray(np.clip((np.array(values) - self.lower) / span, 0, 1))

    def _initial(self, name: str, start: Mapping[str, float]) -> float:
        if not hasattr(self.channel.forward, name):
            raise ValueError(f'forward model has no parameter "{name}"; take it out of free')
        value = start.get(name, getattr(self.channel.forward, name))
        if isinstance(value, int | float):
            return float(value)
        lower, upper = self.channel.free[name]
        return (lower + upper) / 2

    def probes(self) -> list[NDArray[np.float64]]:
        """Points spread over the unit box, at most a quarter of the evaluations."""
        count = min(_PROBES_PER_PARAMETER * len(self.names), self.left // 4)
        return list(Halton(len(self.names), scramble=False).random(count + 1)[1:])

    def parameters(self, point: NDArray[np.float64]) -> Parameters:
        """Parameters by name at a point of the unit box."""
        values = self.lower + np.clip(point, 0, 1) * (self.upper - self.lower)
        return dict(zip(self.names, map(float, values), strict=True))

    def forward(self, point: NDArray[np.float64]) -> ForwardModel:
        """The forward model at a point of the unit box."""
        model: Any = self.channel.forward
        changed: ForwardModel = replace(model, **self.parameters(point))
        return changed

    def cost(self, point: NDArray[np.float64]) -> float:
        """First metric's cost at a point; raises _Spent where no evaluations are left."""
        if self.left == 0:
            raise _Spent
        self.left -= 1
        try:
            simulated = self.forward(point)(self.atoms)
            cost = compare(self.channel, simulated)[self.metric].cost
        except EvaluationFailed as failure:
            self.failure = str(failure)
            return _FAILED
        if cost < self.best_cost:
            self.best_cost, self.best_point = cost, np.array(point)
        return cost

    def descend(self) -> None:
        """Powell's method from the best point so far, until it rests or evaluations run out."""
        if not np.isfinite(self.best_cost):
            raise EvaluationFailed(self.failure)
        bounds = [(0.0, 1.0)] * len(self.names)
        options = {"xtol": 1e-3, "ftol": 1e-4}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                minimize(
                    self.cost, self.best_point, method="Powell", bounds=bounds, options=options
                )
        except _Spent:
            return
