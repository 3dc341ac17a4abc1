"""Interactions where the true occupations are hidden behind misclassified columns.

What the pseudolikelihood's derivative is on average over the occupations, given the data, is made
zero, with averages by a heat bath (expectation conditional maximization: G. Celeux, F. Forbes &
N. Peyrard, Pattern Recognit. 36, 131 (2003)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.statistics.clusters import order_of
from htinvert.statistics.ising import heat_bath
from htinvert.statistics.lattice_image import LatticeImage

BLOCK = 8  # sites along a block of which covariances are summed
NEAR = 3  # sites to either side whose derivatives may be correlated
ROUNDS = 30  # steps of the hidden fit; the last half is averaged
SAMPLES, LAST = 24, 240  # heat-bath samples of a step, and of the errors
SETTLE = 20  # sweeps before the first step
LARGEST_STEP = 0.2  # of a parameter
AMPLIFIED = 2.0  # times what is uncorrected: beyond, weak ones come with too small errors


@dataclass(frozen=True, eq=False)
class _Average:
    """Over samples of the hidden occupations.

    The derivative's mean, shape (p,), and at each site of each image; how it follows the
    parameters, shape (p, p); and that with the hidden occupations held.
    """

    score: Floats
    sites: list[Floats]
    slope: Floats
    held: Floats


def fit_hidden(
    views: Sequence[LatticeImage], plain: Floats, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Parameters and their covariance where occupations are hidden behind the data.

    ``plain`` are those as if none were, of which the first ``count`` are couplings.
    """
    for view in views:
        view.scatter_unseen(rng)
    point = plain.copy()
    _advance(views, point, count, SETTLE, rng)
    trail = []
    for turn in range(ROUNDS):
        found = _average(views, point, count, SAMPLES, rng)
        gain = 1.0 if turn < ROUNDS // 2 else 2.0 / (2.0 + turn - ROUNDS // 2)
        point = point + gain * np.clip(_step(found), -LARGEST_STEP, LARGEST_STEP)
        trail.append(point)
    point = np.mean(trail[ROUNDS // 2 :], axis=0)
    found = _average(views, point, count, LAST, rng)
    point = point + np.clip(_step(found), -0.5 * LARGEST_STEP, 0.5 * LARGEST_STEP)
    covariance = _sandwich(found)
    if (np.abs(point[:count]) > AMPLIFIED * np.abs(plain[:count])).any():
        kept = [view.state.copy() for view in views]
        errors = np.sqrt(covariance.diagonal()[:count])  # they grow with the interactions
        farther = point.copy()
        farther[:count] += np.sign(point[:count]) * np.minimum(errors, 0.5 * LARGEST_STEP)
        _advance(views, farther, count, SETTLE, rng)
        other = np.sqrt(_sandwich(_average(views, farther, count, LAST, rng)).diagonal()[:count])
        wider = np.r_[np.sqrt(np.maximum(other / errors, 1.0)), np.ones(len(views))]
        covariance = covariance * np.outer(wider, wider)
        for view, state in zip(views, kept, strict=True):
            view.state = state
    return point, covariance


def _sandwich(found: _Average) -> Floats:
    """Covariance of the parameters by the derivatives' own, at each site."""
    parts = [np.tensordot(one, _box(one), axes=([1, 2], [1, 2])) for one in found.sites]
    meat, inverse = np.sum(parts, axis=0), np.linalg.inv(found.slope)
    return symmetric(inverse @ _positive(symmetric(meat)) @ inverse.T)


def symmetric(matrix: Floats) -> Floats:
    """The symmetric part of a matrix."""
    return np.asarray(0.5 * (matrix + matrix.T))


def _step(found: _Average) -> Floats:
    """Newton's step; where samples make the slope useless, that of expectation maximization."""
    usable = np.linalg.eigvals(np.linalg.solve(found.held, found.slope)).real.min() > 0.02
    return np.asarray(np.linalg.solve(found.slope if usable else found.held, found.score))


def _positive(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 1e-3 * values[-1])) @ vectors.T)


def _box(scores: Floats) -> Floats:
    """Sum over a square of sites around each."""
    from scipy.ndimage import uniform_filter

    side = 2 * NEAR + 1
    return np.asarray(uniform_filter(scores, size=(1, side, side), mode="constant") * side**2)


def _advance(
    views: Sequence[LatticeImage], point: Floats, count: int, sweeps: int, rng: np.random.Generator
) -> None:
    for index, view in enumerate(views):
        field = view.evidence + point[count + index]
        strengths = view.factor * point[:count]
        heat_bath(view.state, field, view.interacting, strengths, sweeps=sweeps, rng=rng)


def _average(
    views: Sequence[LatticeImage], point: Floats, count: int, samples: int, rng: np.random.Generator
) -> _Average:
    """Average over a heat bath's samples, one sweep apart.

    The slope is - d(mean derivative) / d(parameters): what it is with occupations held, less the
    covariance of the derivative with that of the joint likelihood, summed over near blocks.
    """
    size = len(point)
    held, together = np.zeros((size, size)), np.zeros((size, size))
    sites: list[Floats] = []
    for index, view in enumerate(views):
        total = np.zeros((size, *view.spins.shape), dtype=np.float32)
        members = np.array([order_of(c) for c in view.interacting], np.float32)[:, None, None]
        sums = _Sums()
        for _ in range(samples):
            field = view.evidence + point[count + index]
            strengths = view.factor * point[:count]
            heat_bath(view.state, field, view.interacting, strengths, sweeps=1, rng=rng)
            design = view.design(view.state, index, len(views))
            mean = np.tanh(np.tensordot(point.astype(np.float32), design, 1))
            score = design * ((view.state - mean) * view.judged)
            weight = ((1.0 - mean**2) * view.judged)[view.judged]
            judged = design[:, view.judged]
            held += ((judged * weight) @ judged.T) / samples
            joint = design * view.state
            joint[:count] /= members
            total += score
            sums.add(_blocks(score), _surroundings(_blocks(joint)))
        together += sums.covariance(samples)
        sites.append(total / samples)
    score = np.sum([part.sum(axis=(1, 2), dtype=float) for part in sites], axis=0)
    return _Average(score, sites, held - together, held)


class _Sums:
    """What the covariance of two sets of sums, by blocks, is made of."""

    def __init__(self) -> None:
        self.mine: Floats = np.zeros(1)
        self.others: Floats = np.zeros(1)
        self.product: Floats = np.zeros(1)

    def add(self, mine: Floats, others: Floats) -> None:
        self.mine = self.mine + mine
        self.others = self.others + others
        self.product = self.product + mine[:, None] * others[None]

    def covariance(self, samples: int) -> Floats:
        """Summed over blocks, shape (p, p)."""
        means = (self.mine / samples)[:, None] * (self.others / samples)[None]
        found = (self.product / samples - means).sum(axis=(2, 3))
        return np.asarray(found * samples / (samples - 1))


def _blocks(values: NDArray[np.floating]) -> Floats:
    """Sums over blocks of a grid, shape (p, rows, columns)."""
    _, ny, nx = values.shape
    rows = np.add.reduceat(values, range(0, ny, BLOCK), axis=1, dtype=float)
    return np.asarray(np.add.reduceat(rows, range(0, nx, BLOCK), axis=2))


def _surroundings(blocks: Floats) -> Floats:
    """Sums over each block and the eight around it."""
    padded = np.pad(blocks, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    return np.asarray(rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:])
