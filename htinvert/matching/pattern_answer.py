"""Which level of a descriptor, thickness and tilt measured patterns show, with an error bar.

Structure and instrument are fitted together: gain, broader copies and background of each strip in
closed form, geometry and blur by descent, at every level of a list. What is known of the specimen
only about (how far its atoms move) is fitted within that. The misfit over levels is a likelihood,
made as wide as what the fit leaves says (:mod:`htinvert.matching.pattern_noise`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from htinvert.core import Floats, Signal
from htinvert.forward.cbed.descent import descend
from htinvert.forward.cbed.detector import HALOS, brought
from htinvert.forward.cbed.posterior import Posterior, independent_points, student_posterior
from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_noise import Noise, counting, left_out, shared_noise, spreads
from htinvert.matching.pattern_question import NAMES, STEPS, Question, begin

LEVELS, NEAR = 11, (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
"""Even levels, and those about the best in standard errors, at which the misfit is profiled."""
FINE = 201  # levels of the posterior, in between
MODEL_ERROR, ALIKE = 0.01, 0.15
"""What a model is off by at least, as part of the counts, and over how many squared semiangles
alike: measured between potentials, motions, slices and detectors of planted patterns."""
SCATTER = 1.3
"""Of levels about the truth, in errors that a residual tells: a fit follows what it is off by.
Measured on two planted sets, tried on a third."""
FIRST, NEXT = 6, 2
VAGUE_SPREAD = 0.15  # of the library's levels: a standard error as large determines nothing
_FAINT = 0.1  # of counting noise: less than that is no structure that could be explained
POOR = 0.5  # of what a plain disk leaves beside counting noise: explained by less, none of these


@dataclass(frozen=True, eq=False)
class PatternAnswer:
    """What patterns say of a library.

    Attributes:
        level: posterior of the descriptor.
        levels: on which it is given, shape (l,).
        misfit: at each, with all else fitted, minus twice the logarithm of the likelihood if all
            pixels were independent, shape (l,).
        point: best values by name, see :data:`NAMES`.
        errors: standard errors by name.
        nuisances: relative change of what is known only about, and its standard error, by name.
        noise: of pixels.
        matched: best patterns on the detector, shape (rows, ky, kx).
        chi_square: misfit per pixel in units of counting noise.
        independent: pixels of the residual that are independent.
        explained: part of what a featureless disk leaves, counting noise apart, that the best
            explains, 1 at most.
    """

    level: Posterior
    levels: Floats
    misfit: Floats
    point: Mapping[str, float]
    errors: Mapping[str, float]
    nuisances: Mapping[str, tuple[float, float]]
    noise: Noise
    matched: Floats
    chi_square: float
    independent: float
    explained: float

    @property
    def none_of_these(self) -> bool:
        """Whether no level explains what is seen."""
        return self.explained < POOR


def answer(
    library: PatternLibrary, observed: Signal, *, observer: Callable[[str], Any] | None = None
) -> PatternAnswer:
    """Fit structure and instrument to patterns of strips (rows, ky, kx).

    Args:
        library: what may have made them.
        observed: counts, axes in mrad or 1/Å, zero near the bright disk's middle.
        observer: told what is done.

    Raises:
        UserError: where the strips are not as many as the library's.
    """
    coarse = Question(library.leading(), observed)
    tell = observer or str
    tell("comparing with every pattern of the library")
    lower, upper = (bound[: len(NAMES)] for bound in coarse.bounds())
    fits = []
    for start in begin(coarse):
        tell("fitting structure and instrument")
        fits.append(descend(coarse.residual, start, STEPS, lower=lower, upper=upper, count=FIRST))
    point = min(fits, key=lambda fit: fit[1])[0]
    library = library.near(point)
    plain = Question(library, observed)
    point = np.concatenate([point, np.zeros(len(library.nuisances.priors))])
    tell("fitting what is known only about")
    question = _weighed(plain, plain.matched(point), point)
    point, _, _ = _descended(question, point, count=FIRST)
    # what nuisances explain is no misfit
    return _answered(plain, _weighed(plain, question.matched(point), point), point, tell)


def _weighed(plain: Question, matched: Floats, point: Floats) -> Question:
    """The question with counting by the best patterns, an uneven scan, and what else is alike."""
    noise = counting(matched, plain.data)
    question = replace(plain, noise=noise)
    shared, excess = shared_noise(question.uneven(point), question.left(matched))
    noise = replace(noise, shared=shared, excess=excess)
    question = replace(plain, noise=noise)
    left = question.left(matched)
    alike = float(left @ left) / _independent(question, matched)
    return replace(plain, noise=replace(noise, alike=alike))


def _descended(
    question: Question, point: Floats, *, count: int, free: NDArray[np.bool_] | None = None
) -> tuple[Floats, float, Floats]:
    """As :func:`descend`, of a point with nuisances."""
    lower, upper = question.bounds()
    steps = _steps(len(point))
    return descend(
        question.residual, point, steps, lower=lower, upper=upper, count=count, free=free
    )


def _steps(count: int) -> Floats:
    """Of differences, for a point of so many values."""
    return np.concatenate([STEPS, np.full(count - len(STEPS), 0.5)])


def _answered(
    plain: Question, question: Question, near: Floats, tell: Callable[[str], Any]
) -> PatternAnswer:
    """The answer about a best point, with all noise."""
    library, noise = plain.library, question.noise or Noise(plain.weights)
    point, least, slopes = _descended(question, near, count=FIRST)
    errors, wider, freedom = _errors(question, point, slopes)
    nodes = _nodes(library.axes[0], point[0], errors[0])
    misfit, points = _profiled(question, point, nodes, tell)
    best = int(np.argmin(misfit))
    if misfit[best] < least:
        point = points[best]
    levels = np.linspace(nodes[0], nodes[-1], FINE)
    profile = PchipInterpolator(nodes, misfit)(levels)
    known = student_posterior(levels, profile / wider, freedom)
    matched = question.matched(point)
    left = float(np.nansum(((matched - plain.data) * plain.weights) ** 2))
    seen = np.isfinite(plain.data)
    featureless, count = _plain_misfit(plain, point), float(seen.sum())
    priors, first = library.nuisances.priors, len(NAMES)
    return PatternAnswer(
        level=known,
        levels=levels,
        misfit=profile * noise.alike
        + noise.volume
        - 2.0 * float(np.log(noise.weights[seen]).sum()),
        point=dict(zip(NAMES, map(float, point), strict=False)),
        errors={**dict(zip(NAMES, map(float, errors), strict=False)), "level": known.spread},
        nuisances={
            name: (float(value * prior), float(error * prior))
            for (name, prior), value, error in zip(
                priors.items(), point[first:], errors[first:], strict=True
            )
        },
        noise=noise,
        matched=matched,
        chi_square=left / count,
        independent=_independent(question, matched),
        explained=(featureless - left) / max(featureless - count, _FAINT * count),
    )


def _profiled(
    question: Question, point: Floats, levels: Floats, tell: Callable[[str], Any]
) -> tuple[Floats, list[Floats]]:
    """Misfit and point at each level, all else fitted from the neighbor's values."""
    free = np.arange(len(point)) > 0
    points: list[Any] = [None] * len(levels)
    misfit = np.empty(len(levels))
    middle = int(np.argmin(np.abs(levels - point[0])))
    for place in [*range(middle, len(levels)), *range(middle - 1, -1, -1)]:
        near = point if place == middle else points[place - 1 if place > middle else place + 1]
        start = np.array([levels[place], *near[1:]])
        tell(f"fitting all else at a level of {levels[place]:.2f}")
        points[place], misfit[place], _ = _descended(question, start, count=NEXT, free=free)
    return misfit, points


def _plain_misfit(question: Question, point: Floats) -> float:
    """Misfit of a featureless disk and its broader copies, by the instrument of a point."""
    library = question.library
    down, right = (np.arange(n) - (n - 1) / 2 for n in library.mean.shape[1:])
    radius = np.hypot(down[:, None] * library.step[0], right * library.step[1])
    disk = np.clip((library.semiangle - radius) / min(library.step) + 0.5, 0.0, 1.0)
    columns = question.seen(disk[None], point, HALOS)[0]
    total = 0.0
    for row, weight in zip(question.data, question.weights, strict=True):
        total += float(np.nansum(((brought(columns, row, weight)[0] - row) * weight) ** 2))
    return total


def _independent(question: Question, matched: Floats) -> float:
    """Pixels of a residual that are independent.

    Below the noise of counting lies what the model is off by: some percent of the misfit, but
    alike over many pixels, so that a faint correlation counts as soon as it can be seen, and
    :data:`MODEL_ERROR` even where none is.
    """
    apart = np.full(question.data.shape, np.nan)
    apart[np.isfinite(question.data)] = question.left(matched)
    count, counts = float(np.isfinite(apart).sum()), question.data
    found = independent_points(apart, faintest=count**-0.5)
    bright = float(np.nansum(counts**2) / max(np.nansum(counts), 1.0))
    alike = ALIKE * question.semiangle**2
    return min(found, count / (1.0 + MODEL_ERROR**2 * bright * alike))


def _nodes(axis: Floats, best: float, spread: float) -> Floats:
    """Levels at which the misfit is profiled: over all of an axis, and closely about the best."""
    every = np.concatenate([np.linspace(axis[0], axis[-1], LEVELS), best + spread * np.array(NEAR)])
    every = np.sort(np.clip(every, axis[0], axis[-1]))
    apart = np.diff(every, prepend=-np.inf) > 1e-3 * (axis[-1] - axis[0])
    return np.asarray(every[apart])


def _errors(question: Question, point: Floats, slopes: Floats) -> tuple[Floats, float, float]:
    """Standard errors of a point with nuisances; of the level's, two numbers more.

    Its square in that by curvature, and its degrees of freedom.
    """
    steps, seen = _steps(len(point)), np.isfinite(question.data)
    shown = np.zeros((len(point) + 1, *seen.shape))
    left = question.residual(point)[: seen.sum()]
    shown[:, seen] = np.vstack([slopes[: seen.sum()].T, left])
    prior = np.where(np.arange(len(point)) < len(NAMES), 0.0, steps)
    near, curved = spreads(shown[:-1], shown[-1], question.semiangle, prior)
    far, freedom = left_out(shown[:-1], shown[-1], question.groups(point), prior)
    found = np.maximum(near, far)
    found[: len(NAMES)] *= SCATTER
    return found * steps, float((found[0] / curved[0]) ** 2), freedom
