"""Adjust a forward model's free parameters until its signal fits what was observed.

Bounded, each parameter scaled to 0..1, without randomness: a few points of a Halton sequence, then
a local method (Powell's unless another is named) from the best of them; see
:mod:`htinvert.evaluation.optimize`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import least_squares

from htinvert.core import (
    Channel,
    EvaluationFailed,
    Floats,
    ForwardModel,
    Score,
    Signal,
    UserError,
)
from htinvert.declaration.crystal_abilities import Coarsens
from htinvert.declaration.declared import value_of, with_values
from htinvert.evaluation.optimize import LEAST_SQUARES, Box, minimize
from htinvert.metrics.equal_axes import PointByPoint
from htinvert.metrics.linear import gain_of

Parameters = dict[str, float]

FAILED = 1e6
"""Cost of a trial that could not be scored."""
PROBES_PER_PARAMETER = 4
STEP = 1e-3
"""Of a parameter's range, for derivatives of least squares."""
STAGES = 10
"""Parts of the simulations that a fit to coarser data takes, each besides those of the fit."""
STARTS = 2
"""Descents from different probes, where no start is given."""


@dataclass(frozen=True)
class Trial:
    """One simulated signal on the way: stage, parameters by name, cost, top-left [px] if placed."""

    stage: str
    parameters: Mapping[str, float]
    cost: float
    site: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A forward model in its best fit; ``trials`` holds every signal simulated on the way."""

    forward: ForwardModel
    parameters: Parameters
    scores: dict[str, Score]
    trials: tuple[Trial, ...] = field(default=(), repr=False)


def fit(
    channel: Channel,
    atoms: Atoms,
    *,
    start: Mapping[str, float] | None = None,
    max_evaluations: int = 200,
    observer: Callable[[Trial], None] | None = None,
) -> Fitted:
    """Fit ``channel.free`` to ``channel.observed``, minimizing the first metric's cost.

    Args:
        channel: what was observed, how to simulate it, what may be adjusted.
        atoms: the structure, left as it is.
        start: parameters to start from, such as a parent's; those missing start at the forward
            model's own value. With a start no other points are probed.
        max_evaluations: most signals to simulate, >= 1.
        observer: told of every trial.

    Raises:
        EvaluationFailed: where no trial could be simulated and scored.
        ValueError: where the forward model lacks a free parameter, the method is unknown, or there
            is no metric.
    """
    if not channel.metrics:
        raise ValueError(f'channel "{channel.name}" has no metric; give it at least one')
    if not channel.free:
        return Fitted(channel.forward, {}, score(channel, channel.forward, atoms))
    search = _Search(channel, atoms, observer)
    points = [search.box.scaled(search.initial(start or {}))]
    if start is None:
        count = min(PROBES_PER_PARAMETER * len(channel.free), max_evaluations // 4)
        points += search.box.probes(count)
        near = _approached(channel, atoms, max_evaluations, observer)
        points += [search.box.scaled(values) for values in near]
    for point in points:
        search.cost("probe", point)
    search.descend(points, max_evaluations)
    return search.fitted()


def _approached(
    channel: Channel, atoms: Atoms, most: int, observer: Callable[[Trial], None] | None
) -> list[Parameters]:
    """Where fits to less and less coarse data end, for a model that knows such; else nothing."""
    if not isinstance(channel.forward, Coarsens) or channel.method != LEAST_SQUARES:
        return []
    near: Parameters = {}
    for forward, observed in channel.forward.coarser(channel.observed):
        search = _Search(replace(channel, forward=forward, observed=observed), atoms, observer)
        try:
            search.descend([search.box.scaled(search.initial(near))], most // STAGES)
        except EvaluationFailed:
            continue
        near = search.fitted().parameters
    return [near] if near else []


def score(channel: Channel, forward: ForwardModel, atoms: Atoms) -> dict[str, Score]:
    """Simulate ``atoms`` once and compare with the channel's observation by each of its metrics."""
    return scores_of(channel, forward(atoms))


def scores_of(channel: Channel, simulated: Signal) -> dict[str, Score]:
    """Score of each metric of ``channel`` for a simulated signal, by name.

    Where the sampling is free it is what the fit finds out about the observed signal, whose own
    axes are then read with it.
    """
    observed = channel.observed
    if "sampling" in channel.free:
        observed = with_steps(observed, simulated.sampling)
    return {name: metric(simulated, observed) for name, metric in channel.metrics.items()}


def with_steps(signal: Signal, steps: Sequence[float]) -> Signal:
    """The same data, its axes read with other steps."""
    axes = zip(signal.axes, steps, strict=True)
    return replace(signal, axes=tuple(replace(axis, step=float(step)) for axis, step in axes))


def adjusted(forward: Any, parameters: Mapping[str, float]) -> Any:
    """A forward model with other parameters; ``u.Cd`` is an entry of a mapping ``u``."""
    return replace(forward, **with_values(forward, parameters))


def unexplained(simulated: NDArray[np.floating], observed: Floats) -> Floats:
    """What gain and offset of a simulation leave of an observation of zero mean and unit norm.

    Both of one shape, flat or not; returns a flat array. Gain >= 0 and offset in closed form.
    """
    values = simulated.astype(float).ravel()
    values -= values.mean()
    return np.asarray(observed - max(gain_of(values, observed), 0.0) * values)


def normalized(data: NDArray[np.floating]) -> Floats:
    """Data as a flat vector of zero mean and unit norm; EvaluationFailed where it is constant."""
    values = data.astype(float).ravel()
    values = values - values.mean()
    norm = float(np.linalg.norm(values))
    if norm == 0.0:
        raise EvaluationFailed("the comparison region is constant")
    return np.asarray(values / norm)


class _Search:
    """Trials of one fit: remembers the best and logs them all."""

    def __init__(
        self, channel: Channel, atoms: Atoms, observer: Callable[[Trial], None] | None
    ) -> None:
        self.channel = channel
        self.atoms = atoms
        self.box = Box(channel.free)
        self.trials: list[Trial] = []
        self._costs: dict[bytes, float] = {}
        self._observer = observer
        self._metric = next(iter(channel.metrics))
        self._failure = ""

    def initial(self, start: Mapping[str, float]) -> Parameters:
        """Where to begin: ``start``, else the forward model's own values, else the middle."""
        found = {}
        for name, (lower, upper) in self.channel.free.items():
            if not hasattr(self.channel.forward, name.partition(".")[0]):
                raise ValueError(f'forward model has no parameter "{name}"; take it out of free')
            value = start.get(name, value_of(self.channel.forward, name))
            found[name] = value if isinstance(value, int | float) else (lower + upper) / 2
        return found

    def cost(self, stage: str, point: Floats) -> float:
        """First metric's cost at a point; logged, once for each point."""
        key = point.tobytes()
        if key in self._costs:
            return self._costs[key]
        parameters = self.box.parameters(point)
        try:
            simulated = adjusted(self.channel.forward, parameters)(self.atoms)
            cost = scores_of(self.channel, simulated)[self._metric].cost
        except EvaluationFailed as failure:
            self._failure, cost = str(failure), FAILED
        self._costs[key] = cost
        trial = Trial(stage, parameters, cost)
        self.trials.append(trial)
        if self._observer is not None:
            self._observer(trial)
        return cost

    def descend(self, points: list[Floats], most: int) -> None:
        """Minimize from the best of the points, each descent with its share of what is left."""
        points = sorted(points, key=lambda point: self.cost("probe", point))[:STARTS]
        if self.cost("probe", points[0]) >= FAILED:
            raise EvaluationFailed(self._failure)
        method = self.channel.method
        for number, point in enumerate(points):
            share = (most - len(self.trials)) // (len(points) - number)
            if method == LEAST_SQUARES:
                self.least_squares(point, share)
            elif share > 0:  # the point itself is known already
                minimize(
                    partial(self.cost, method), point, method=method, max_evaluations=share + 1
                )

    def least_squares(self, point: Floats, most: int) -> None:
        """Trust-region least squares of the residual, what is linear solved for at every step.

        Variable projection with derivatives by differences: Golub & Pereyra, Inverse Problems 19,
        R1 (2003).
        """
        metric = self.channel.metrics[self._metric]
        if not isinstance(metric, PointByPoint):
            raise UserError(
                f"method least-squares needs a metric that compares point by point, such as rw, "
                f"as the first of {self.channel.name}"
            )
        calls = most // (len(point) + 1)
        if calls < 1:
            return
        observed, box = self.channel.observed, self.box

        def residual(point: Floats) -> Floats:
            self.cost(LEAST_SQUARES, point)
            simulated = adjusted(self.channel.forward, box.parameters(point))(self.atoms)
            matched, patch = metric.brought(simulated, observed).points
            return np.asarray(matched - patch)

        least_squares(
            residual,
            np.clip(point, 1e-4, 1.0 - 1e-4),
            bounds=(0.0, 1.0),
            diff_step=STEP,
            xtol=1e-5,
            ftol=1e-7,
            max_nfev=calls,
        )

    def fitted(self) -> Fitted:
        """The best trial, scored by every metric."""
        best = min(self.trials, key=lambda trial: trial.cost)
        forward = adjusted(self.channel.forward, best.parameters)
        scores = score(self.channel, forward, self.atoms)
        return Fitted(forward, dict(best.parameters), scores, tuple(self.trials))
