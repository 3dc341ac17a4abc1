"""Register a structure in a micrograph: find the place, fit the imaging parameters, score the fit.

Capture by cross-correlation over all offsets on a grid that covers the ranges of scale and
rotation; at every promising place a least-squares fit of the image itself (gain and offset in
closed form); at the best places Powell's method on the figure of merit. The comparison region is
fixed in the last two stages, so that figures of merit compare. No randomness: the same input gives
the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import EvaluationFailed, Metric, Score, Signal
from htinvert.evaluation.certainty import Certainty
from htinvert.evaluation.fit import Trial, with_steps
from htinvert.image.capture import leads, repeats, slides
from htinvert.image.certainties import certainties
from htinvert.image.fitting import PlacedFit, RegistrationProblem, distinct
from htinvert.image.outliers import cleaned
from htinvert.metrics.correlation import check_comparable
from htinvert.metrics.registration import Registration

FREE: Mapping[str, tuple[float, float]] = {
    "shift_x": (-4.0, 4.0),  # Å
    "shift_y": (-4.0, 4.0),  # Å
    "stretch_x": (-0.1, 0.1),
    "stretch_y": (-0.1, 0.1),
    "shear_x": (-0.1, 0.1),
    "rotation": (-6.0, 6.0),  # degrees
    "source_size": (0.3, 3.0),  # Å
}
BLUR = (0.0, 4.0)  # Å, of a model whose width is called so
METRIC = Registration()
LOOK = 3  # steps of least squares after which most places are given up
PROMISING = 6  # places that are not
FINALISTS = 2  # places where the figure of merit is polished
REPEATS = 8  # places that are looked at for each of them


def free_of(forward: Any) -> dict[str, tuple[float, float]]:
    """What of :data:`FREE` a forward model, or its class, has; and its blur, if that is all."""
    names = {part.name for part in fields(forward)} if is_dataclass(forward) else set()
    found = {name: bounds for name, bounds in FREE.items() if name in names}
    return found if "source_size" in found or "blur" not in names else {**found, "blur": BLUR}


@dataclass(frozen=True, eq=False)
class Registered:
    """A structure in its place: the fitted forward model, the simulated image and its score.

    ``row`` and ``column`` [px] are the top-left of the comparison region in the observed image;
    ``certainties`` hold each parameter's standard error, whether it ended at a bound, and between
    what values it lies in all fits that are as good (:mod:`htinvert.image.certainties`).
    ``trials`` holds every image simulated on the way.
    """

    forward: Any
    parameters: Mapping[str, float]
    certainties: Mapping[str, Certainty]
    score: Score
    simulated: Signal
    row: int
    column: int
    trials: tuple[Trial, ...] = field(repr=False)

    @property
    def intervals(self) -> dict[str, float]:
        """Standard error of each parameter, by name."""
        return {name: certainty.error for name, certainty in self.certainties.items()}


def register(
    atoms: Atoms,
    observed: Signal,
    *,
    forward: Any,
    metric: Metric = METRIC,
    free: Mapping[str, tuple[float, float]] = FREE,
    method: str = "powell",
    observer: Callable[[Trial], None] | None = None,
) -> Registered:
    """Find ``atoms`` in ``observed`` and adjust the ``free`` parameters of ``forward``.

    Args:
        atoms: the structure; the forward model tiles it along its periodic directions.
        observed: the micrograph, shape (ny, nx), at least as large as the simulation; hot and dead
            pixels are replaced, with a warning that counts them.
        forward: a forward model with a ``shape`` [px] and the free parameters as fields.
        metric: compares the simulation with a region of its own size, such as ``Registration()``.
        free: lower and upper bound of each parameter that may change.
        method: what minimizes the figure of merit in the end, one of
            :data:`htinvert.evaluation.optimize.METHODS`.
        observer: told of every trial.

    Raises:
        EvaluationFailed: no place could be fitted.
        UserError: the simulation is larger than the image or sampled differently.
        ValueError: an unknown method.
    """
    observed = cleaned(observed)
    problem = RegistrationProblem(atoms, observed, forward, metric, dict(free), observer)
    check_comparable(problem.simulate(problem.start()), observed)
    fitted = [problem.least_squares(at.site, at.point, steps=LOOK) for at in leads(problem)]
    fitted += [problem.least_squares(fit.site, fit.point) for fit in distinct(fitted, PROMISING)]
    for best in distinct(fitted, FINALISTS):
        fitted += [problem.least_squares(best.site, point) for point in slides(problem, best)]
    for best in distinct(fitted, FINALISTS):
        fitted += [problem.least_squares(s, best.point) for s in repeats(problem, best, REPEATS)]
    final = [problem.polish(fit, method) for fit in distinct(fitted, FINALISTS)]
    given = _given(problem)
    return _result(problem, min((*final, *given), key=lambda fit: (fit.cost, fit.site)), fitted)


def _given(problem: RegistrationProblem) -> list[PlacedFit]:
    """The start itself, where the metric places it, so that no fit ends above what was given."""
    point = problem.start()
    simulated = problem.simulate(point)
    observed = problem.observed
    if "sampling" in problem.box.names:
        observed = with_steps(observed, simulated.sampling)
    try:
        detail = problem.metric(simulated, observed).detail
    except EvaluationFailed:
        return []
    if not {"row", "column"} <= detail.keys():
        return []
    site = int(detail["row"]), int(detail["column"])
    return [PlacedFit(site, point, problem.cost("start", site, point))]


def _result(problem: RegistrationProblem, fit: PlacedFit, others: list[PlacedFit]) -> Registered:
    """Everything about the best fit."""
    if not np.isfinite(fit.cost):
        raise EvaluationFailed("no place in the image could be fitted")
    return Registered(
        forward=problem.model(fit.point),
        parameters=problem.box.parameters(fit.point),
        certainties=certainties(problem, fit, others),
        score=problem.score(fit.site, fit.point),
        simulated=problem.simulate(fit.point),
        row=fit.site[0],
        column=fit.site[1],
        trials=tuple(problem.trials),
    )
