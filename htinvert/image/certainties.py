"""How surely a registration knows its parameters: curvature, and all fits that are as good.

The standard error is the largest of what the curvature of the squared residual says (neighboring
pixels share noise, as far as 3 Å), of how far the parameter scatters over the fits whose figure of
merit is within the noise of the best (each has its own noise, so half of their mean squared
difference counts), and of how far the figure of merit has moved the parameter from where least
squares had it, for a model that is not quite the microscope differs in that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from htinvert.core import Floats
from htinvert.declaration.declared import takes_up
from htinvert.evaluation.certainty import Certainty
from htinvert.evaluation.fit import normalized
from htinvert.image.correlated import correlated_errors
from htinvert.image.evidence import WINDOW, local_costs, window_numbers
from htinvert.image.fitting import PlacedFit, RegistrationProblem

NOISE = 1.0  # standard error of the difference: a figure that is worse by less is as good
EXCESS = 0.1  # of the figure of merit, beyond which nobody has to ask
SAME_IMAGE = 0.05  # of what is unexplained: less difference is a crystal's repeat
PLACES = ("shift_x", "shift_y")  # differ from place to place, as they should


def certainties(
    problem: RegistrationProblem, fit: PlacedFit, others: Sequence[PlacedFit]
) -> dict[str, Certainty]:
    """How sure each parameter of the best ``fit`` is, given all ``others`` by least squares."""
    values = problem.box.parameters(fit.point)
    errors = _curvature(problem, fit)
    near = [other for other in others if fit.like(other)]
    if near:
        first = min(near, key=lambda other: other.cost)
        moved = (fit.point - first.point) * problem.box.span
        errors = np.maximum(errors, np.abs(np.where(_scattered(problem), moved, 0.0)))
    good = as_good(problem, fit, others)
    found = {}
    for index, name in enumerate(problem.box.names):
        every = np.array([values[name], *(problem.box.parameters(g.point)[name] for g in good)])
        if name in PLACES:
            every = every[:1]
        apart = every[1:] - values[name]
        scatter = float(np.sqrt(0.5 * np.mean(apart**2))) if len(apart) else 0.0
        error = max(float(errors[index]), scatter)
        spread = float(every.min()), float(every.max())
        also = takes_up(problem.forward, name)
        found[name] = Certainty(values[name], error, problem.free[name], spread, also)
    return found


def _scattered(problem: RegistrationProblem) -> Floats:
    """1 for parameters that are the same at all places, else 0."""
    return np.array([float(name not in PLACES) for name in problem.box.names])


def _curvature(problem: RegistrationProblem, fit: PlacedFit) -> Floats:
    """Standard errors from the residual's Jacobian and what its neighboring pixels share."""
    region = problem.patch(fit.site)
    patch = normalized(region.data)
    base, jacobian = problem.box.linearized(lambda point: problem.residual(point, patch), fit.point)
    ny, nx = region.data.shape
    y, x = region.sampling
    reach = (WINDOW / y, WINDOW / x)
    return correlated_errors(jacobian, base, (ny, nx), reach) * problem.box.span


def as_good(
    problem: RegistrationProblem, fit: PlacedFit, others: Sequence[PlacedFit]
) -> list[PlacedFit]:
    """Fits by least squares whose figure of merit is within the noise of the best one's.

    Compared with the best of them and not with ``fit``, which was polished: window by window, so
    that what all windows have in common leaves. A crystal's repeat, whose image is the same, is
    none.
    """
    if not others:
        return []
    best = min(others, key=lambda other: (not fit.like(other), other.cost, other.site))
    shown = normalized(problem.simulate(best.point).data)
    base = _windows(problem, best)
    good = []
    for other in others:
        if other.cost > best.cost + EXCESS:
            continue
        image = normalized(problem.simulate(other.point).data)
        if other is best or 2.0 - 2.0 * float(shown @ image) < SAME_IMAGE * best.left:
            continue
        apart = _windows(problem, other) - base
        noise = float(apart.std(ddof=1)) / np.sqrt(len(apart)) if len(apart) > 1 else 0.0
        if float(apart.mean()) <= NOISE * noise:
            good.append(other)
    return good


def _windows(problem: RegistrationProblem, fit: PlacedFit) -> Floats:
    """Mean cost of each window of the image at a fit, shape (windows,)."""
    region = problem.patch(fit.site)
    costs = local_costs(problem.metric, problem.simulate(fit.point).data, region.data.astype(float))
    pieces = window_numbers(costs.shape, region.sampling).ravel()
    sums = np.bincount(pieces, costs.ravel())
    return np.asarray(sums / np.bincount(pieces))
