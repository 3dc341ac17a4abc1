"""Evaluate one candidate: relax, simulate, adjust, score. Pure: no files, no randomness."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from htinvert.core import (
    Candidate,
    Evaluation,
    EvaluationFailed,
    Recipe,
    Relaxation,
    Score,
    weighted_sum,
)
from htinvert.evaluation.objectives import energies
from htinvert.evaluation.signals import image
from htinvert.evaluation.validity import check_distances, check_relaxation


def evaluate(candidate: Candidate, recipe: Recipe) -> Evaluation:
    """Relax, image and score a candidate; never raises, a failure comes back with its reason."""
    start = perf_counter()
    try:
        check_distances(candidate.atoms, "proposed")
        reused = candidate.reused
        relaxation = reused.relaxation if reused else recipe.energy(candidate.atoms)
        check_relaxation(candidate.atoms, relaxation, recipe)
        return _image(candidate, relaxation, recipe, start)
    except EvaluationFailed as failure:
        reason = str(failure)
    except Exception as error:  # a third party's component may raise anything; record and go on
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Evaluation(candidate, error=reason, seconds=perf_counter() - start)


def _image(
    candidate: Candidate, relaxation: Relaxation, recipe: Recipe, start: float
) -> Evaluation:
    objectives = energies(relaxation, recipe)
    scores: dict[str, Score] = {}
    images = {}
    for channel in recipe.channels:
        images[channel.name] = image(candidate, channel, relaxation.atoms)
        for metric, score in images[channel.name].scores.items():
            if not np.isfinite(score.cost):
                raise EvaluationFailed(f"{channel.name}.{metric} is not finite")
            scores[f"{channel.name}.{metric}"] = score
    objectives |= {name: score.cost for name, score in scores.items()}
    keep, signals = candidate.keep, {}
    exact = {name: one.exact for name, one in images.items() if keep and one.exact}
    seen = keep and weighted_sum(objectives, keep.objectives) <= keep.below
    for name, one in images.items():
        if one.signal and (seen or name in exact):
            signals[name] = one.signal()
    return Evaluation(
        candidate,
        relaxation,
        scores=scores,
        objectives=objectives,
        parameters={name: one.parameters for name, one in images.items()},
        signals=signals,
        exact=exact,
        seconds=perf_counter() - start,
    )
