"""A second grain of the same crystal among the spots that the first one does not explain.

Both are seen through the same pixels, so their lattices have one pixel size and one shear and
differ by a rotation: that tells a grain from spots that lie near some lattice by chance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from htinvert.image.calibration.lattice import (
    Match,
    SpotLimits,
    decompose,
    judged,
    match_pattern,
    symmetries,
)
from htinvert.image.calibration.spots import Spots

ALL = 0.95  # share of the spots' intensity beyond which one grain is all there is
ENOUGH = 0.8  # share that two grains explain together
_SAME_PIXELS = 0.02  # most difference of pixel sizes, relative, and of shears
_FEWEST = 3  # spots that are the second grain's alone


def two_grains(spots: Spots, first: Match, limits: SpotLimits) -> tuple[Match, Match] | None:
    """Both grains, the stronger first; None where the spots do not show a second one.

    Each match's ``agreement`` and ``score`` leave out the spots that are the other's alone; its
    ``share`` is of the intensity of all spots, those that both explain are in both shares.
    """
    rest = np.flatnonzero(first.assigned < 0)
    if len(rest) < _FEWEST or np.linalg.matrix_rank(spots.frequency[rest], tol=1e-3) < 2:
        return None
    x, y = map(float, decompose(first.matrix)[:2])
    found = match_pattern(spots.some(rest), first.pattern, SpotLimits((x, y), _SAME_PIXELS))
    if found is None or not _same_pixels(first, found):
        return None
    everything = np.ones(len(spots.power), dtype=bool)
    second = judged(spots, found.pattern, found.matrix, found.covariance, everything, limits)
    ours, theirs = first.assigned >= 0, second.assigned >= 0
    if (theirs & ~ours).sum() < _FEWEST:
        return None
    first = _without(spots, first, theirs & ~ours, limits)
    second = _without(spots, second, ours & ~theirs, limits)
    return (first, second) if first.share >= second.share else (second, first)


def misorientation(first: Match, second: Match) -> float:
    """Smallest turn [degrees], 0 to 90, that takes the spots of one grain to those of another."""
    between = decompose(second.matrix)[3] - decompose(first.matrix)[3]
    turns = [0.0, *(np.degrees(np.arctan2(t[0, 1], t[0, 0])) for t, _ in symmetries(first.pattern))]
    return float(min(abs((between + turn + 90.0) % 180.0 - 90.0) for turn in turns))


def explained_by(matches: tuple[Match, ...], spots: Spots) -> float:
    """Share of the spots' intensity that any of the grains explains, 0 to 1."""
    some = np.any([match.assigned >= 0 for match in matches], axis=0)
    return float(spots.power[some].sum() / spots.power.sum())


def _same_pixels(first: Match, second: Match) -> bool:
    one, other = (decompose(match.matrix)[:3] for match in (first, second))
    change = np.abs([*(np.log(one[:2]) - np.log(other[:2])), one[2] - other[2]])
    return bool(change.max() <= _SAME_PIXELS)


def _without(spots: Spots, match: Match, others: NDArray[np.bool_], limits: SpotLimits) -> Match:
    """A match judged without the spots that are another grain's alone."""
    own = spots.some(np.flatnonzero(~others))
    used = np.ones(len(own.power), dtype=bool)
    alone = judged(own, match.pattern, match.matrix, match.covariance, used, limits)
    return replace(match, agreement=alone.agreement, score=alone.score)
