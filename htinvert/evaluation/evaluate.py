"""Evaluate one candidate: relax, simulate, adjust, score. Pure: no files, no randomness."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

from htinvert.core import (
    Candidate,
    Evaluation,
    EvaluationFailed,
    Recipe,
    Relaxation,
    Score,
    weighted_sum,
)
from htinvert.declaration.wording import reason
from htinvert.evaluation.answers import (
    Arrays,
    arrays_of,
    is_unchanged,
    plain_numbers,
    plain_relaxation,
    plain_score,
    plain_signal,
    require_finite,
    restored,
)
from htinvert.evaluation.objectives import energies
from htinvert.evaluation.refine import refined
from htinvert.evaluation.signals import image
from htinvert.evaluation.surroundings import Surroundings, is_a_person
from htinvert.evaluation.validity import check_distances, check_relaxation


def evaluate(candidate: Candidate, recipe: Recipe) -> Evaluation:
    """Relax, image and score a candidate; never raises, a failure comes back with its reason.

    Nor does it end the program, whatever a component raises: but for a real Ctrl-C. What a
    component did to the process, or to the candidate's own structure, is undone.
    """
    start, before = perf_counter(), arrays_of(candidate.atoms)
    surroundings = Surroundings()
    try:
        evaluation = _evaluated(candidate, recipe, before, start)
    except BaseException as error:  # a third party's component may raise anything; record and go on
        if is_a_person(error):
            raise
        seconds = perf_counter() - start
        evaluation = Evaluation(candidate, error=reason(error), seconds=seconds)
    finally:
        surroundings.restore()
    if is_unchanged(candidate.atoms, before):
        return evaluation
    return replace(
        evaluation, candidate=replace(candidate, atoms=restored(candidate.atoms, before))
    )


def _evaluated(candidate: Candidate, recipe: Recipe, given: Arrays, start: float) -> Evaluation:
    check_distances(candidate.atoms, "proposed")
    if candidate.reused:
        relaxation = candidate.reused.relaxation
        check_relaxation(candidate.atoms, relaxation, recipe)
    else:
        answer = recipe.energy(candidate.atoms)
        proposed = candidate.atoms
        if not is_unchanged(proposed, given):  # which is forgiven
            proposed = restored(proposed, given)
        check_relaxation(proposed, answer, recipe)
        relaxation = plain_relaxation(answer)
    before = arrays_of(relaxation.atoms)
    evaluation = _refined(_image(candidate, relaxation, recipe, start), recipe, start)
    if not is_unchanged(relaxation.atoms, before):
        raise EvaluationFailed("garbage: a forward model changed the structure that it was given")
    return evaluation


def _refined(relaxed: Evaluation, recipe: Recipe, start: float) -> Evaluation:
    """The evaluation refined on energy and fit, where that is asked for and makes it better."""
    if recipe.refine is None or relaxed.relaxation is None:
        return relaxed
    try:
        better = refined(
            relaxed.relaxation, recipe, scores=relaxed.scores, parameters=relaxed.parameters
        )
        if better is None:
            return relaxed
        check_relaxation(relaxed.relaxation.atoms, better, recipe)
        known = replace(relaxed.candidate, start=relaxed.parameters, reused=None)
        found = _image(known, better, recipe, start)
    except EvaluationFailed:
        return relaxed  # it was good as it was
    costs = [weighted_sum(one.objectives, recipe.refine.objectives) for one in (found, relaxed)]
    return replace(found, candidate=relaxed.candidate) if costs[0] < costs[1] else relaxed


def _image(
    candidate: Candidate, relaxation: Relaxation, recipe: Recipe, start: float
) -> Evaluation:
    objectives = energies(relaxation, recipe)
    scores: dict[str, Score] = {}
    images = {}
    for channel in recipe.channels:
        images[channel.name] = image(candidate, channel, relaxation.atoms)
        for metric, score in images[channel.name].scores.items():
            name = f"{channel.name}.{metric}"
            scores[name] = plain_score(name, score)
    objectives |= {name: score.cost for name, score in scores.items()}
    require_finite("the objective", objectives)
    parameters = {
        name: plain_numbers(f"the fit of {name}", one.parameters) for name, one in images.items()
    }
    keep, signals = candidate.keep, {}
    exact = {name: one.exact for name, one in images.items() if keep and one.exact}
    seen = keep and weighted_sum(objectives, keep.objectives) <= keep.below
    for name, one in images.items():
        if one.signal and (seen or name in exact):
            signals[name] = plain_signal(name, one.signal())
    return Evaluation(
        candidate,
        relaxation,
        scores=scores,
        objectives=objectives,
        parameters=parameters,
        signals=signals,
        exact=exact,
        seconds=perf_counter() - start,
    )
