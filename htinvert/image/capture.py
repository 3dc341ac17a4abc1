"""Find places and parameters worth a fit, wherever in the range of the free parameters they lie.

Cross-correlation over all offsets on a grid of scale and rotation that covers their ranges,
whatever the start; at the best places also over the range in which a grain may slide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from htinvert.core import Floats
from htinvert.evaluation.fit import normalized
from htinvert.image.fitting import ALIKE, SAME, PlacedFit, RegistrationProblem, Site
from htinvert.metrics.correlation import normalized_cross_correlation

REACH = 0.1  # of scale from the start, as far as bounds allow
TURN = 6.0  # degrees from the start, as far as bounds allow
SCALE_STEP = 0.02
TURN_STEP = 1.5  # degrees
SITES = 20  # places where the image is fitted
SLID = 6  # of the grid's points, from which grains are slid
SLIDES = 5  # over the range in which a grain may slide
FINE_SLIDES = 24  # over the same range, where all else is known


@dataclass(frozen=True, eq=False)
class Summit:
    """A place, a point of the unit box, and the correlation of the image there."""

    site: Site
    point: Floats
    correlation: float


def leads(problem: RegistrationProblem) -> list[Summit]:
    """Places and points worth a fit, the best correlated first."""
    found = _peaks(problem, grid(problem))
    index = _slide(problem)
    if index is None:
        return _apart(found, SITES)
    slid = []
    for lead in _apart(found, SLID):
        for share in np.arange(1, SLIDES) / SLIDES:
            point = lead.point.copy()
            point[index] = (point[index] + share) % 1.0
            slid.append(point)
    return _apart(found + _peaks(problem, slid), SITES)


def grid(problem: RegistrationProblem) -> list[Floats]:
    """Points that cover the ranges of scale and rotation, as far as those are free."""
    start = problem.box.parameters(problem.start())
    for name in ("shift_x", "shift_y"):
        if name in start:
            lower, upper = problem.free[name]
            start[name] = min(max(0.0, lower), upper)
    scales = [name for name in ("stretch_x", "stretch_y", "sampling") if name in start]
    points = []
    for scale, angle in product(_scales(problem, scales), _angles(problem, start)):
        values = dict(start)
        for name in scales:
            values[name] = scale if name != "sampling" else start[name] * (1.0 + scale)
        if angle is not None:
            values["rotation"] = angle
        points.append(problem.box.scaled(values))
    return points


def _scales(problem: RegistrationProblem, names: Sequence[str]) -> Floats:
    """Scales to try: over all that bounds allow."""
    if not names:
        return np.zeros(1)
    spans = []
    for name in names:
        lower, upper = problem.free[name]
        if name == "sampling":
            own = problem.box.parameters(problem.start())[name]
            lower, upper = lower / own - 1.0, upper / own - 1.0
        spans.append((lower, upper))
    lower, upper = (f(span[i] for span in spans) for i, f in ((0, min), (1, max)))
    return _even(max(lower, -REACH), min(upper, REACH), SCALE_STEP)


def _angles(problem: RegistrationProblem, start: dict[str, float]) -> Iterable[float | None]:
    """Rotations to try [degrees]: over all that bounds allow, but at most 6 either way."""
    if "rotation" not in start:
        return (None,)
    lower, upper = problem.free["rotation"]
    if upper - lower > 2 * TURN:
        lower, upper = max(lower, start["rotation"] - TURN), min(upper, start["rotation"] + TURN)
    return [float(angle) for angle in _even(lower, upper, TURN_STEP)]


def _even(lower: float, upper: float, step: float) -> Floats:
    """Evenly spaced numbers from ``lower`` to ``upper``, no farther apart than ``step``."""
    count = max(int(np.ceil((upper - lower) / step - 1e-6)) + 1, 1)
    return np.linspace(lower, upper, count) if count > 1 else np.array([0.5 * (lower + upper)])


def _slide(problem: RegistrationProblem) -> int | None:
    """Which parameter slides a grain."""
    names = problem.box.names
    return names.index("interface_shift") if "interface_shift" in names else None


def _peaks(problem: RegistrationProblem, points: Iterable[Floats]) -> list[Summit]:
    """The best correlated places of each point's image."""
    found = []
    for point in points:
        ncc = normalized_cross_correlation(problem.simulate(point).data, problem.observed.data)
        found += [Summit(site, point, float(ncc[site])) for site in row_peaks(ncc)]
    return found


def _apart(found: Sequence[Summit], count: int) -> list[Summit]:
    """The best correlated leads, no two of them at one place with nearly the same point."""
    chosen: list[Summit] = []
    near = 2.0 * ALIKE + 1e-6  # of a range: neighbors on the grid
    for lead in sorted(found, key=lambda lead: (-lead.correlation, lead.site)):
        alike = any(
            max(abs(a - b) for a, b in zip(lead.site, other.site, strict=True)) <= SAME
            and float(np.abs(lead.point - other.point).max()) <= near
            for other in chosen
        )
        if not alike:
            chosen.append(lead)
        if len(chosen) == count:
            break
    return chosen


def repeats(problem: RegistrationProblem, fit: PlacedFit, count: int) -> list[Site]:
    """The best other places of an image that is already well fitted."""
    ncc = normalized_cross_correlation(problem.simulate(fit.point).data, problem.observed.data)
    peaks = sorted(row_peaks(ncc, count=4, rows=8), key=lambda site: (-ncc[site], site))
    return peaks[:count]


def slides(problem: RegistrationProblem, fit: PlacedFit) -> list[Floats]:
    """Points at which a grain has slid elsewhere and the image fits better than around."""
    index = _slide(problem)
    if index is None:
        return []
    patch = normalized(problem.patch(fit.site).data)
    points = []
    for share in (np.arange(FINE_SLIDES) + 0.5) / FINE_SLIDES:
        point = fit.point.copy()
        point[index] = share
        points.append(point)
    left = np.array([float(np.sum(problem.residual(point, patch) ** 2)) for point in points])
    lowest = np.pad(left, 1, constant_values=np.inf)
    own = abs(np.array([point[index] for point in points]) - fit.point[index]) < 1 / FINE_SLIDES
    valleys = (left <= lowest[:-2]) & (left <= lowest[2:]) & ~own
    return [points[at] for at in np.flatnonzero(valleys)]


def row_peaks(
    ncc: NDArray[np.floating], *, count: int = 2, reach: int = 7, rows: int = 4
) -> list[Site]:
    """Places of high correlation in different rows: what a lattice repeats along x counts little.

    The ``rows`` rows whose best value is a maximum within ``reach`` rows; of each the ``count``
    best places.
    """
    best = ncc.max(axis=1)
    places = np.flatnonzero(best == maximum_filter1d(best, reach, mode="nearest"))
    places = places[np.argsort(-best[places], kind="stable")][:rows]
    sites = []
    for row in places:
        peaks = np.flatnonzero(ncc[row] == maximum_filter1d(ncc[row], reach, mode="nearest"))
        peaks = peaks[np.argsort(-ncc[row][peaks], kind="stable")][:count]
        sites += [(int(row), int(column)) for column in peaks]
    return sites
