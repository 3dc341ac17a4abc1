"""Whether a row of numbers has a step, how sure that is, and where.

One constant against two, with a change after any point and noise of unknown size: Bayes factors by
Schwarz's approximation (G. Schwarz, Ann. Stat. 6, 461 (1978)), every place of the change being as
likely beforehand, as A. F. M. Smith, Biometrika 62, 407 (1975).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats

FEWEST = 4  # numbers, for two means and a scatter leave nothing of three
LEVEL = 0.95  # of the interval of places
SMALLEST = 1e-12  # of the largest number: noise below is none


@dataclass(frozen=True, eq=False)
class ChangePoint:
    """A step between two constants.

    Attributes:
        sure: posterior probability that there is a step, with even odds beforehand.
        at: first index of the second constant, the likeliest.
        earliest: of the places that hold 95 % together.
        latest: of the same.
        size: second mean less the first.
        noise: standard deviation around both.
    """

    sure: float
    at: int
    earliest: int
    latest: int
    size: float
    noise: float


def change_point(values: Floats) -> ChangePoint:
    """The step in a row of numbers, shape (n,); of fewer than four nothing is known.

    Raises ValueError where there are fewer than two.

    >>> found = change_point(np.array([0.1, -0.1, 0.0, 0.1, 2.0, 2.1, 1.9, 2.0]))
    >>> found.at, bool(found.sure > 0.99)
    (4, True)
    """
    row = np.asarray(values, dtype=float)
    count = len(row)
    if count < 2:
        raise ValueError(f"{count} numbers have no step; give at least 2")
    floor = count * (SMALLEST * max(float(np.abs(row).max()), SMALLEST)) ** 2
    flat = max(float(((row - row.mean()) ** 2).sum()), floor)
    places = np.arange(1, count)
    left = np.cumsum(row)[:-1] / places
    right = (row.sum() - np.cumsum(row)[:-1]) / (count - places)
    squares = (row**2).sum() - places * left**2 - (count - places) * right**2
    squares = np.maximum(squares, floor)
    factors = 0.5 * count * np.log(flat / squares) - 0.5 * np.log(count)
    top = float(factors.max())
    chance = np.exp(factors - top)
    odds = top + float(np.log(chance.mean()))
    sure = float(1.0 / (1.0 + np.exp(-np.clip(odds, -700, 700)))) if count >= FEWEST else 0.5
    best = int(np.argmax(factors))
    order = np.argsort(-chance)
    held = order[: int(np.searchsorted(np.cumsum(chance[order]) / chance.sum(), LEVEL)) + 1]
    return ChangePoint(
        sure,
        int(places[best]),
        int(places[held].min()),
        int(places[held].max()),
        float(right[best] - left[best]),
        float(np.sqrt(squares[best] / max(count - 2, 1))),
    )


def steadiest(costs: Floats, *, noise: float, penalty: float) -> list[int]:
    """Which of several explanations holds when, where a change is worth a penalty.

    Viterbi's path (A. J. Viterbi, IEEE Trans. Inf. Theory 13, 260 (1967)) through costs over noise.

    Args:
        costs: of each explanation at each time, shape (explanations, times); lower is better.
        noise: what costs differ by without a reason, in their unit.
        penalty: of a change, in units of the noise.

    Returns the explanation at each time.
    """
    scaled = costs / max(noise, 1e-300)
    total, back = scaled[:, 0].copy(), []
    for column in scaled.T[1:]:
        best = int(np.argmin(total))
        stays = total <= total[best] + penalty
        back.append(np.where(stays, np.arange(len(total)), best))
        total = np.minimum(total, total[best] + penalty) + column
    path = [int(np.argmin(total))]
    for source in reversed(back):
        path.append(int(source[path[-1]]))
    return path[::-1]
