"""What an engine's error of positions makes of a datum: a part of the error of its model.

An engine leaves atoms off their true places, so that even the right structure fits no better than
that allows. The best family's atoms are put off by the engine's error, and its own signal is
fitted to what is simulated then. Wrong families are off as well: a fit that is better than this
misfit shows that the error is smaller here (chi squared of as many points, at 95 %).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaincinv

from htinvert.core import EvaluationFailed, Objective
from htinvert.evaluation.fit import fit
from htinvert.geometry.roles import frozen_mask
from htinvert.metrics.likelihood import Likelihood
from htinvert.signals.seen import Seen

SAMPLES = 4  # structures with misplaced atoms
FITS = 8  # signals simulated per free parameter, which start where they belong
SMALL = 0.05  # probability of a misfit as small as the best one were the error as large


@dataclass(frozen=True)
class Misplaced:
    """A datum's model error with that of positions.

    Attributes:
        distance: by which atoms err, per axis [Å].
        share: root mean square misfit [1] that this makes, relative to the signal.
        model: error of the forward model alone [1].
        floor: of both [1], as far as the best fit leaves room for it.
    """

    distance: float
    share: float
    model: float
    floor: float

    @property
    def limited(self) -> bool:
        """Whether the best fit shows that positions err less here."""
        return self.floor < 0.999 * float(np.hypot(self.model, self.share))

    def __str__(self) -> str:
        less = ", less as the best fit is better than that" if self.limited else ""
        return (
            f"errs by {self.floor:.2g} of the signal: {self.model:g} by the model, {self.share:.2g}"
            f" by atoms {self.distance:g} Å off per axis{less}"
        )


def misplaced(
    objective: Objective,
    seen: Seen,
    distance: float,
    *,
    best: float = np.inf,
    samples: int = SAMPLES,
    seed: int = 1,
) -> Misplaced:
    """A likelihood's model error where atoms that may move are ``distance`` [Å] off per axis.

    ``best`` is the lowest misfit [1] of any family. Structures that cannot be simulated are left
    out.
    """
    told: Likelihood = objective.likelihood
    name = objective.name.partition(".")[2]
    rng = np.random.default_rng(seed)
    channel = replace(
        seen.channel, forward=seen.forward, metrics={name: seen.channel.metrics[name]}
    )
    moving = ~frozen_mask(seen.atoms)
    squares = []
    for _ in range(samples if distance > 0.0 else 0):
        atoms = seen.atoms.copy()
        atoms.positions[moving] += rng.normal(0.0, distance, (int(moving.sum()), 3))
        try:
            off = replace(channel, observed=seen.forward(atoms))
            most = max(FITS * len(channel.free), 1)
            fitted = fit(off, seen.atoms, start={}, max_evaluations=most)
        except EvaluationFailed:
            continue
        squares.append(float(told.misfit(fitted.scores[name].cost)) ** 2)
    share = float(np.sqrt(np.mean(squares))) if squares else 0.0
    room = best / float(np.sqrt(gammaincinv(0.5 * told.points, SMALL) / (0.5 * told.points)))
    floor = max(told.floor, min(float(np.hypot(told.floor, share)), room))
    return Misplaced(distance, share, told.floor, floor)


def with_error(objective: Objective, error: Misplaced) -> Objective:
    """The objective whose likelihood has this floor."""
    return replace(objective, likelihood=replace(objective.likelihood, floor=error.floor))
