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

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.cbed.descent import descend
from htinvert.forward.cbed.detector import (
    HALOS,
    DetectorGeometry,
    angles,
    brought,
    brought_together,
    copies,
)
from htinvert.forward.cbed.posterior import Posterior, gaussian_posterior, independent_points
from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_noise import Noise, counting, spreads

NAMES = (
    *("level", "thickness", "tilt_x", "tilt_y"),
    *("rotation", "center_x", "center_y", "scale", "ellipticity", "blur"),
)
UNITS = ("1", "Å", "mrad", "mrad", "degrees", "mrad", "mrad", "1", "1", "mrad")
STEPS = np.array([0.1, 1.0, 0.1, 0.1, 0.2, 0.05, 0.05, 0.003, 0.002, 0.05])
FARTHEST = 3.0  # standard deviations of a nuisance
ROOM = np.array([0, 0, 0, 0, 8.0, 6.0, 6.0, 0.08, 0.02, 3.0])
"""How far the instrument may be from what is stated."""
WIDTHS = (0.1, 0.2, 0.35, 0.6, 1.0, 1.8)
"""Of the broader copies [semiangles]: sums of such Gaussians are halos and tails of many shapes."""
_OWN = (0, len(WIDTHS))
"""Copies with a factor of their own in each strip: gain, and what was scattered diffusely."""
LEVELS, NEAR = 11, (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
"""Even levels, and those about the best in standard errors, at which the misfit is profiled."""
FINE = 201  # levels of the posterior, in between
MODEL_ERROR, ALIKE = 0.01, 0.15
"""What a model is off by at least, as part of the counts, and over how many squared semiangles
alike: measured between potentials, motions, slices and detectors of planted patterns."""
STARTS = 3
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


@dataclass(frozen=True, eq=False)
class Question:
    """Measured patterns (rows, ky, kx) and a library to ask; without ``noise`` that of counting.

    A point holds :data:`NAMES`, then the library's nuisances in standard deviations, or none.
    Raises :class:`UserError` where rows or units do not agree.
    """

    library: PatternLibrary
    observed: Signal
    noise: Noise | None = None

    def __post_init__(self) -> None:
        shape, rows = self.observed.data.shape, self.library.mean.shape[0]
        if len(shape) != 3 or shape[0] != rows:
            raise UserError(
                f"the library has {rows} strips but the data have shape {shape}; give patterns "
                f"(strip, ky, kx) of {rows} strips"
            )

    @property
    def data(self) -> Floats:
        """Counts, NaN where nothing was measured."""
        return self.observed.data.astype(float)

    @property
    def semiangle(self) -> float:
        """Of the bright disk [px]."""
        return self.library.semiangle / _pixel(self)

    @property
    def weights(self) -> Floats:
        """One over the noise of counting of each pixel."""
        if self.noise is not None:
            return self.noise.weights
        return np.asarray(1.0 / np.sqrt(np.maximum(self.data, 1.0) + 1.0))

    def columns(self, point: Floats, widths: tuple[float, ...] = WIDTHS) -> Floats:
        """Sharp patterns and broader copies on the detector, shape (rows, 1 + widths, ky, kx)."""
        patterns = self.library.patterns(point[:4], point[len(NAMES) :])
        return self.seen(patterns, point, widths)

    def seen(self, patterns: Floats, point: Floats, halos: tuple[float, ...]) -> Floats:
        """Patterns (n, down, right) and broader copies by the instrument of a point."""
        ky, kx = self.observed.axes[-2:]
        x = angles(kx, self.observed.data.shape[-1], self.library.beam_energy)
        y = angles(ky, self.observed.data.shape[-2], self.library.beam_energy)
        rotation, center_x, center_y, scale, ellipticity, blur = map(float, point[4 : len(NAMES)])
        geometry = DetectorGeometry(
            rotation=rotation,
            center=(center_x, center_y),
            scale=scale,
            ellipticity=ellipticity,
            blur=blur,
        )
        step = self.library.step
        down, right = ((n - 1) / 2 * s for n, s in zip(patterns.shape[1:], step, strict=True))
        there = geometry.directions(*np.meshgrid(x, y))
        # beyond the library's last direction its faint rim goes on
        directions = (np.clip(there[0], -right, right), np.clip(there[1], -down, down))
        widths = tuple(h * self.library.semiangle for h in halos)
        return copies(patterns, step, directions, blur=blur, widths=widths)

    def matched(self, point: Floats) -> Floats:
        """The best patterns at a point: what is linear in the instrument is solved for."""
        return brought_together(self.columns(point), self.data, self.weights, own=_OWN)

    def residual(self, point: Floats) -> Floats:
        """Misfit of each measured pixel, flat, as independent ones count, then the nuisances."""
        apart = (self.matched(point) - self.data) * self.weights
        if self.noise is not None:
            apart /= np.sqrt(self.noise.alike)
        return np.concatenate([apart[np.isfinite(self.data)], point[len(NAMES) :]])

    def bounds(self) -> tuple[Floats, Floats]:
        """Least and largest values of a point with nuisances."""
        axes = self.library.axes
        most = np.full(len(self.library.nuisances.priors), FARTHEST)
        lower = np.array([*(axis[0] for axis in axes), *(-ROOM[4:]), *-most])
        upper = np.array([*(axis[-1] for axis in axes), *ROOM[4:], *most])
        lower[7] += 1.0
        upper[7] += 1.0
        lower[9] = 0.05
        return lower, upper


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
    plain = Question(library, observed)
    tell = observer or str
    tell("comparing with every pattern of the library")
    lower, upper = (bound[: len(NAMES)] for bound in plain.bounds())
    fits = []
    for start in begin(plain):
        tell("fitting structure and instrument")
        fits.append(descend(plain.residual, start, STEPS, lower=lower, upper=upper, count=FIRST))
    point = min(fits, key=lambda fit: fit[1])[0]
    point = np.concatenate([point, np.zeros(len(library.nuisances.priors))])
    tell("fitting what is known only about")
    question = _weighed(plain, plain.matched(point))
    point, _, _ = _descended(question, point, count=FIRST)
    # what nuisances explain is no misfit
    return _answered(plain, _weighed(plain, question.matched(point)), point, tell)


def _weighed(plain: Question, matched: Floats) -> Question:
    """The question with counting by the best patterns, and the misfit of independent pixels."""
    noise = counting(matched, plain.data)
    question = replace(plain, noise=noise)
    left = float(np.nansum(((matched - plain.data) * noise.weights) ** 2))
    return replace(plain, noise=replace(noise, alike=left / _independent(question, matched)))


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
    errors, wider = _errors(question, point, slopes)
    nodes = _nodes(library.axes[0], point[0], errors[0])
    misfit, points = _profiled(question, point, nodes, tell)
    best = int(np.argmin(misfit))
    if misfit[best] < least:
        point = points[best]
    levels = np.linspace(nodes[0], nodes[-1], FINE)
    profile = PchipInterpolator(nodes, misfit)(levels)
    known = gaussian_posterior(levels, profile / wider)
    matched = question.matched(point)
    left = float(np.nansum(((matched - plain.data) * plain.weights) ** 2))
    seen = np.isfinite(plain.data)
    featureless, count = _plain_misfit(plain, point), float(seen.sum())
    priors, first = library.nuisances.priors, len(NAMES)
    return PatternAnswer(
        level=known,
        levels=levels,
        misfit=profile * noise.alike - 2.0 * float(np.log(noise.weights[seen]).sum()),
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


def begin(question: Question) -> list[Floats]:
    """Where descents begin: the nodes of the library that fit best by the stated instrument.

    Gain, halo and background of each strip are taken out in closed form; a second start lies at
    another thickness or tilt.
    """
    misfit = node_misfits(question)
    starts: list[Floats] = []
    taken: list[tuple[int, ...]] = []
    for flat in np.argsort(misfit, axis=None):
        place = np.unravel_index(int(flat), misfit.shape)
        here = tuple(int(p) for p in place[1:])
        if any(max(abs(a - b) for a, b in zip(here, o, strict=True)) < 2 for o in taken):
            continue
        taken.append(here)
        values = [axis[p] for axis, p in zip(question.library.axes, place, strict=True)]
        starts.append(np.array([*values, *stated(question)[4:]]))
        if len(starts) == STARTS:
            break
    return starts


def stated(question: Question) -> Floats:
    """A point in the middle of the library, with the instrument as it is stated."""
    middle = [float(axis[len(axis) // 2]) for axis in question.library.axes]
    return np.array([*middle, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5 * _pixel(question)])


def _pixel(question: Question) -> float:
    """Step of the detector's pixels [mrad]."""
    first, second = angles(question.observed.axes[-1], 2, question.library.beam_energy)
    return float(abs(second - first))


def node_misfits(question: Question, point: Floats | None = None) -> Floats:
    """Misfit of every pattern of the library under one instrument, shape of its axes."""
    library = question.library
    here = stated(question) if point is None else point
    rows, total = library.mean.shape[0], 0.0
    coefficients = library.coefficients.reshape(-1, library.coefficients.shape[-1])
    nodes = np.column_stack([np.ones(len(coefficients)), coefficients])  # the mean counts whole
    misfit = np.zeros(len(nodes))
    for row in range(rows):
        weight = question.weights[row]
        data = np.where(np.isfinite(question.data[row]), question.data[row], 0.0)
        weight = np.where(np.isfinite(question.data[row]), weight, 0.0)
        mean = question.seen(library.mean[row][None].astype(float), here, HALOS)[0] * weight
        parts = question.seen(library.components[:, row].astype(float), here, ())[:, 0] * weight
        halo = np.stack([*mean[1:], weight]).reshape(len(HALOS) + 1, -1)
        plain = np.linalg.qr(halo.T)[0]
        target = (data * weight).ravel()
        target = target - plain @ (plain.T @ target)
        columns = np.stack([mean[0], *parts]).reshape(len(parts) + 1, -1).T
        columns = columns - plain @ (plain.T @ columns)
        gain = np.maximum(nodes @ (columns.T @ target), 0.0)
        power = ((nodes @ np.linalg.qr(columns)[1].T) ** 2).sum(axis=1)
        misfit -= gain**2 / np.maximum(power, 1e-30)
        total += float(target @ target)
    return np.asarray((misfit + total).reshape(library.coefficients.shape[:-1]))


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
    apart = (matched - question.data) * question.weights
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


def _errors(question: Question, point: Floats, slopes: Floats) -> tuple[Floats, float]:
    """Standard errors of a point with nuisances; the level's square in that by curvature."""
    steps, seen = _steps(len(point)), np.isfinite(question.data)
    shown = np.zeros((len(point) + 1, *seen.shape))
    left = question.residual(point)[: seen.sum()]
    shown[:, seen] = np.vstack([slopes[: seen.sum()].T, left])
    prior = np.where(np.arange(len(point)) < len(NAMES), 0.0, steps)
    found, curved = spreads(shown[:-1], shown[-1], question.semiangle, prior)
    return found * steps, float((found[0] / curved[0]) ** 2)
