"""Level, thickness and tilt at many positions of one session, whose instrument is known by then.

The library is seen through the instrument once and reduced to its principal components, on which a
fit of four numbers costs milliseconds. Gain, halo and background of each strip stay free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.cbed.descent import descend
from htinvert.forward.cbed.detector import HALOS
from htinvert.matching.pattern_answer import VAGUE_SPREAD, PatternAnswer
from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_question import NAMES, STEPS, Question

COUNT = 5  # steps of a descent


@dataclass(frozen=True, eq=False)
class PatternMap:
    """What each position shows.

    Attributes:
        values: level, thickness [Å], tilt to the right and down [mrad], shape (positions, 4).
        errors: their standard errors, of the same shape.
        determined: whether the level is, shape (positions,).
    """

    values: Floats
    errors: Floats
    determined: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Strip:
    """A strip's library on the detector, in a basis of its own.

    Attributes:
        weight: of pixels, shape (p,).
        plain: halo and background, orthonormal, shape (p, b).
        basis: orthonormal, shape (p, c + 1).
        triangle: mean and components in it, shape (c + 1, c + 1).
    """

    weight: Floats
    plain: Floats
    basis: Floats
    triangle: Floats

    def of(self, data: Floats) -> tuple[Floats, float]:
        """Counts in the basis, shape (c + 1,), and the sum of squares beyond it."""
        target = data.ravel() * self.weight
        target = target - self.plain @ (self.plain.T @ target)
        inside = self.basis.T @ target
        return inside, max(float(target @ target - inside @ inside), 0.0)


def map_levels(library: PatternLibrary, stacks: Signal, found: PatternAnswer) -> PatternMap:
    """Answer at every position of (positions, strips, ky, kx), by the instrument of one answer.

    Thicknesses and tilts end :data:`REACH <htinvert.matching.pattern_library.REACH>` nodes of the
    library from those of that answer.

    ``found`` is that of the mean of the stacks, or of any like them.

    Raises:
        UserError: where the data have other axes, or pixels that were not measured.
    """
    if stacks.data.ndim != 4:
        raise UserError(
            f"a map needs data (position, strip, ky, kx) but these have {stacks.data.ndim} axes"
        )
    if not np.isfinite(stacks.data).all():
        raise UserError("a map needs pixels that were all measured; crop instead of masking")
    point = np.array([found.point[name] for name in NAMES])
    library = library.near(point).doubted(
        point[:4], {name: value for name, (value, _) in found.nuisances.items()}
    )
    mean = Signal(stacks.data.mean(axis=0), stacks.axes[1:])
    question = Question(library, mean)
    strips = [_strip(question, point, row) for row in range(len(mean.data))]
    lower, upper = (bound[:4] for bound in question.bounds())
    every = [
        [strip.of(row.astype(float)) for strip, row in zip(strips, stack, strict=True)]
        for stack in stacks.data
    ]
    starts = _nearest(library, strips, every)
    values, errors = np.empty((2, len(every), 4))
    for place, (targets, start) in enumerate(zip(every, starts, strict=True)):
        here, misfit, slopes = descend(
            lambda at, targets=targets: _residual(library, strips, targets, at),  # type: ignore[misc]
            start,
            STEPS[:4],
            lower=lower,
            upper=upper,
            count=COUNT,
        )
        curvature = slopes.T @ slopes
        curvature += 1e-9 * np.trace(curvature) * np.eye(4)
        variance = np.diag(np.linalg.inv(curvature)) * misfit / max(found.independent - 10.0, 1.0)
        values[place], errors[place] = here, np.sqrt(variance) * STEPS[:4]
    span = float(np.ptp(library.axes[0]))
    return PatternMap(values, errors, errors[:, 0] < VAGUE_SPREAD * span)


def _strip(question: Question, point: Floats, row: int) -> _Strip:
    library = question.library
    weight = question.weights[row].ravel()
    mean = question.seen(library.mean[row][None].astype(float), point, HALOS)[0]
    parts = question.seen(library.components[:, row].astype(float), point, ())[:, 0]
    halo = np.stack([*mean[1:], np.ones_like(mean[0])]).reshape(len(HALOS) + 1, -1) * weight
    plain = np.linalg.qr(halo.T)[0]
    columns = np.stack([mean[0], *parts]).reshape(len(parts) + 1, -1).T * weight[:, None]
    basis, triangle = np.linalg.qr(columns - plain @ (plain.T @ columns))
    return _Strip(weight, plain, basis, triangle)


def _simulated(strip: _Strip, coefficients: Floats) -> Floats:
    return np.asarray(strip.triangle[:, 0] + strip.triangle[:, 1:] @ coefficients)


def _nearest(
    library: PatternLibrary,
    strips: Sequence[_Strip],
    every: Sequence[Sequence[tuple[Floats, float]]],
) -> Floats:
    """The node of the library that leaves least at each position, shape (positions, 4)."""
    flat = library.coefficients.reshape(-1, library.coefficients.shape[-1])
    score = np.zeros((len(flat), len(every)), dtype=np.float32)
    for row, strip in enumerate(strips):
        triangle = strip.triangle.astype(np.float32)
        values = triangle[:, 0] + flat @ triangle[:, 1:].T
        values /= np.linalg.norm(values, axis=1, keepdims=True)
        targets = np.stack([targets[row][0] for targets in every], axis=1).astype(np.float32)
        score += np.maximum(values @ targets, 0.0) ** 2
    places = np.unravel_index(score.argmax(axis=0), library.coefficients.shape[:-1])
    return np.column_stack([axis[p] for axis, p in zip(library.axes, places, strict=True)])


def _residual(
    library: PatternLibrary,
    strips: Sequence[_Strip],
    targets: Sequence[tuple[Floats, float]],
    point: Floats,
) -> Floats:
    """Misfit in each strip's basis, the gain solved for; what lies beyond it as one number each."""
    coefficients = library.mixed(point)
    parts = []
    for strip, (inside, beyond) in zip(strips, targets, strict=True):
        simulated = _simulated(strip, coefficients)
        gain = max(float(simulated @ inside) / float(simulated @ simulated), 0.0)
        parts += [gain * simulated - inside, np.array([np.sqrt(beyond)])]
    return np.concatenate(parts)
