"""Which further measurement would decide between families: what it is expected to say of each two.

The families' signals are simulated, and one's model is fitted to another's signal. Where d is the
misfit that is left, n the noise after one unit of exposure and f the error of the model, each
relative to the signal, the likelihood of :mod:`htinvert.metrics.likelihood` is expected to set the
two apart by ``N/2 ln(1 + d^2 / (f^2 + n^2/t))`` nats after t units: the expected logarithm of a
Bayes factor (Lindley, Ann. Math. Stat. 27, 986 (1956)), here of N independent points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from htinvert import plugins
from htinvert.core import Channel, EvaluationFailed, Floats, Metric, Signal
from htinvert.declaration.abilities import HasMisfit, HasModelError
from htinvert.declaration.measurement import Measurement
from htinvert.evaluation.fit import fit
from htinvert.metrics.likelihood import MODEL_ERROR, Likelihood
from htinvert.signals.independent import independent_points

FITS = 25  # signals simulated per parameter that is fitted
DECISIVE = 3.0  # nats: twenty to one


@dataclass(frozen=True, eq=False)
class Foreseen:
    """What a measurement is expected to say of n families.

    Attributes:
        measurement: which.
        points: how many independent points it has [1].
        floor: relative error of its model [1].
        noise: relative noise after one unit of exposure, where each family is the right one, (n,).
        apart: misfit [1] that a fit of each to each other one's signal leaves, shape (n, n).
    """

    measurement: Measurement
    points: float
    floor: float
    noise: Floats
    apart: Floats

    def nats(self, exposure: float) -> Floats:
        """Expected difference of two log-likelihoods after so many units, shape (pairs,).

        Of each two the mean of either being the right one.
        """
        done = self.measurement.before
        return self._after(done + exposure) - (self._after(done) if done else 0.0)

    @property
    def most(self) -> Floats:
        """What no exposure exceeds, for the model errs by its floor, shape (pairs,)."""
        return self.nats(np.inf)

    def needed(self, nats: float = DECISIVE) -> float:
        """Units after which the middle one of the pairs differs by so much; infinite if never."""
        if np.median(self.most) <= nats:
            return np.inf
        low, high = -6.0, 6.0  # powers of ten
        if np.median(self.nats(10.0**low)) > nats:
            return 0.0
        for _ in range(40):
            middle = 0.5 * (low + high)
            enough = np.median(self.nats(10.0**middle)) >= nats
            low, high = (low, middle) if enough else (middle, high)
        return float(10.0**high)

    def _after(self, exposure: float) -> Floats:
        square = self.floor**2 + self.noise[:, None] ** 2 / exposure
        found = 0.5 * self.points * np.log1p(self.apart**2 / square)
        pairs = np.triu_indices(len(self.noise), 1)
        return np.asarray(0.5 * (found + found.T)[pairs])


def foresee(structures: Sequence[Atoms], measurement: Measurement) -> Foreseen:
    """What a measurement would say of structures.

    Raises :class:`EvaluationFailed` or :class:`~htinvert.core.UserError` where it cannot be
    simulated.
    """
    forward = measurement.forward
    metric: Metric = plugins.component("metric", measurement.metric)
    misfit = metric.misfit if isinstance(metric, HasMisfit) else "cost"
    floor = model_error_of(forward)
    signals = [forward(atoms) for atoms in structures]
    noise = np.array([noise_of(signal, measurement, misfit) for signal in signals])
    shown = [_with_noise(s, n * _size(s, misfit)) for s, n in zip(signals, noise, strict=True)]
    points = float(np.mean([independent_points(forward, signal)[0] for signal in shown]))
    likelihood = Likelihood(points, floor, misfit == "cost")
    apart = np.zeros((len(signals), len(signals)))
    for i, signal in enumerate(signals):
        channel = Channel(
            measurement.name, signal, forward, {measurement.metric: metric},
            measurement.free, measurement.method,
        )  # fmt: skip
        for j, rival in enumerate(structures[:i]):
            fitted = fit(channel, rival, start={}, max_evaluations=FITS * len(measurement.free))
            cost = fitted.scores[measurement.metric].cost
            apart[i, j] = apart[j, i] = likelihood.misfit(cost)
    return Foreseen(measurement, points, floor, noise, apart)


def model_error_of(forward: Any) -> float:
    """By how much a model errs of a right structure, relative to the signal [1]."""
    return float(forward.model_error) if isinstance(forward, HasModelError) else MODEL_ERROR


def noise_of(signal: Signal, measurement: Measurement, misfit: str) -> float:
    """Relative noise [1] of a signal after one unit of exposure.

    Raises :class:`EvaluationFailed` where the signal is the same everywhere.
    """
    if measurement.counts is None:
        return measurement.noise
    size = _size(signal, misfit)
    if not size > 0.0:
        raise EvaluationFailed(f"{measurement.name} would be the same everywhere")
    mean = float(signal.data.astype(float).mean())
    return float(np.sqrt(max(mean, 0.0) / measurement.counts) / size)


def _size(signal: Signal, misfit: str) -> float:
    """Root mean square of what a misfit is relative to."""
    values = signal.data.astype(float)
    return float(values.std() if misfit == "correlation" else np.sqrt(np.mean(values**2)))


def _with_noise(signal: Signal, noise: float) -> Signal:
    """As it would be measured: by its noise data have more independent points than without."""
    drawn = np.random.default_rng(0).normal(0.0, noise, signal.data.shape)
    return replace(signal, data=(signal.data + drawn).astype(np.float32))


def told_apart(foreseen: Foreseen) -> int:
    """How many pairs of families one unit of exposure sets apart by more than 3 nats."""
    return int((foreseen.nats(1.0) > DECISIVE).sum())


def best_first(foreseen: Sequence[Foreseen]) -> list[Foreseen]:
    """Measurements in the order of how many pairs one unit sets apart, then of the middle pair."""
    return sorted(foreseen, key=lambda one: (-told_apart(one), -float(np.median(one.nats(1.0)))))
