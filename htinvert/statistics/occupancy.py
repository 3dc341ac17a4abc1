"""Which of several species sits in each column, by how bright it is: a posterior for each.

A column's intensity is the mean of its species, times a thickness that changes slowly from place to
place, with the error of its measurement and a scatter that all columns share. The means start from
what the forward model predicts and are held near it; shares, means, scatter and thickness are
found together (expectation maximization: A. P. Dempster, N. M. Laird & D. B. Rubin, J. R. Stat.
Soc. B 39, 1 (1977)).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from htinvert.core import Floats, UserError
from htinvert.statistics.field import neighbors, smooth_field

ROUNDS = 60
PRIOR = 0.1  # relative, how far a mean may be from the predicted one
AROUND = 80  # columns that the thickness is made of
SMALLEST_SCATTER = 0.002  # relative
SHARE = 0.5  # a count that every species is given, so that none dies out


@dataclass(frozen=True, eq=False)
class Occupancy:
    """Species of the columns of one kind.

    Attributes:
        species: names, in order of brightness.
        posterior: of each, shape (n, k).
        means: intensity of each at mean thickness, shape (k,).
        shares: of each, shape (k,).
        scatter: relative, beyond the errors of measurement.
        thickness: relative, of each column, shape (n,).
        wrong: expected share of wrong columns, if each gets its likeliest species.
    """

    species: tuple[str, ...]
    posterior: Floats
    means: Floats
    shares: Floats
    scatter: float
    thickness: Floats
    wrong: float

    @property
    def likeliest(self) -> NDArray[np.int_]:
        """Index of the likeliest species of each column, shape (n,)."""
        return np.asarray(self.posterior.argmax(axis=1))


def occupancy(
    intensity: Floats,
    error: Floats,
    places: Floats,
    predicted: Mapping[str, float],
    *,
    field: bool = True,
) -> Occupancy:
    """Tell the species of columns that could hold several.

    Args:
        intensity: of each column, shape (n,).
        error: its standard error, shape (n,).
        places: of the columns, for the field of thickness, shape (n, 2).
        predicted: intensity of each species, in any common unit.
        field: whether the thickness may change from place to place.

    Raises:
        UserError: where two species are predicted equally bright, or columns are fewer than ten.
    """
    names = tuple(sorted(predicted, key=lambda name: predicted[name]))
    ratio = np.array([float(predicted[name]) for name in names])
    if len(intensity) < 10 * len(names):
        raise UserError(
            f"{len(intensity)} columns are too few to tell {' from '.join(names)}; give an image "
            f"of at least {10 * len(names)}"
        )
    if len(names) > 1 and np.diff(ratio).min() <= 0.01 * ratio.max():
        raise UserError(f"{' and '.join(names)} are predicted equally bright; intensity tells none")
    near = neighbors(places, AROUND)
    noise = _noise(np.asarray(intensity, dtype=float), np.asarray(error, dtype=float))
    mixture = _start(np.asarray(intensity, dtype=float), ratio)
    thickness = np.ones(len(intensity))
    for turn in range(ROUNDS):
        posterior, wrong = mixture.posterior(intensity, noise, thickness)
        mixture = mixture.improved(posterior, intensity, noise, thickness, ratio)
        if field and turn > ROUNDS // 4 and turn % 3 == 0:
            thickness = _thickness(mixture, posterior, intensity, noise, places, near)
    return Occupancy(
        names, posterior, mixture.means, mixture.shares, mixture.scatter, thickness, wrong
    )


@dataclass(frozen=True, eq=False)
class _Noise:
    """Variance of each column's measurement, a line over the intensity that it should have."""

    constant: Floats
    slope: Floats

    def at(self, means: Floats) -> Floats:
        """Of every column if it were of each mean, shape (n, k)."""
        return np.asarray(self.constant[:, None] + self.slope[:, None] * means)


def _noise(intensity: Floats, error: Floats) -> _Noise:
    """The noise that errors tell: a dim column's is told by what it should have, not by its luck.

    A column that by chance was counted too dim has too small an error, and would weigh too much.
    """
    bright = np.maximum(intensity, 0.0)
    line, _ = nnls(np.column_stack([np.ones(len(bright)), bright]), error**2)
    expected = line[0] + line[1] * bright
    scale = error**2 / np.maximum(expected, 1e-300)
    return _Noise(scale * line[0], scale * line[1])


@dataclass(frozen=True, eq=False)
class _Mixture:
    means: Floats
    shares: Floats
    scatter: float  # relative

    def variances(self, noise: _Noise) -> Floats:
        return noise.at(self.means) + (self.scatter * self.means) ** 2

    def posterior(self, values: Floats, noise: _Noise, thickness: Floats) -> tuple[Floats, float]:
        """Of each species, shape (n, k), and the share of wrong columns that it means."""
        variance = self.variances(noise)
        left = values[:, None] - thickness[:, None] * self.means
        logs = np.log(self.shares) - 0.5 * (left**2 / variance + np.log(variance))
        logs -= logs.max(axis=1, keepdims=True)
        found = np.exp(logs)
        found /= found.sum(axis=1, keepdims=True)
        return found, float(1.0 - found.max(axis=1).mean())

    def improved(
        self, posterior: Floats, values: Floats, noise: _Noise, thickness: Floats, ratio: Floats
    ) -> _Mixture:
        """Means near the predicted ratios, shares and scatter, given who is what."""
        t = thickness[:, None]
        weight = posterior / self.variances(noise)
        information = (weight * t**2).sum(axis=0)
        free = (weight * t * values[:, None]).sum(axis=0) / np.maximum(information, 1e-300)
        scale = float((information * free * ratio).sum() / (information * ratio**2).sum())
        prior = 1.0 / (PRIOR * scale * np.maximum(ratio, 0.1 * ratio.max())) ** 2
        means = (information * free + prior * scale * ratio) / (information + prior)
        shares = posterior.sum(axis=0) + SHARE
        left = (values[:, None] - t * means) ** 2 - noise.at(self.means)
        relative = (posterior * left).sum() / (posterior * means**2).sum()
        scatter = float(np.sqrt(max(relative, SMALLEST_SCATTER**2)))
        return _Mixture(means, shares / shares.sum(), scatter)


def _start(values: Floats, ratio: Floats) -> _Mixture:
    """Of several scales of the predicted means, the one that fits the values best."""
    low, high = np.percentile(values, (2.0, 98.0))
    spread = max(float(np.std(values)), 1e-12 * abs(high) + 1e-300)
    best, chosen = -np.inf, 1.0
    gap = float(np.diff(ratio).min()) if len(ratio) > 1 else float(ratio[0])
    lowest = max(0.6 * low, 0.02 * high) / ratio.max()
    for scale in np.geomspace(lowest, 1.6 * high / ratio[ratio > 0].min(), 160):
        width = max(0.3 * gap * scale, 0.1 * spread)
        logs = -0.5 * ((values[:, None] - scale * ratio) / width) ** 2 - np.log(width)
        # shares by one step of expectation maximization
        share = np.exp(logs - logs.max(axis=1, keepdims=True))
        share = (share / share.sum(axis=1, keepdims=True)).mean(axis=0) + 1e-3
        likely = float(np.logaddexp.reduce(logs + np.log(share / share.sum()), axis=1).sum())
        if likely > best:
            best, chosen = likely, float(scale)
    width = 0.3 * gap / ratio.mean()
    return _Mixture(chosen * ratio, np.full(len(ratio), 1.0 / len(ratio)), min(width, 0.2))


def _thickness(
    mixture: _Mixture,
    posterior: Floats,
    values: Floats,
    noise: _Noise,
    places: Floats,
    near: NDArray[np.int_],
) -> Floats:
    """The smooth field that the columns' values over their species' means suggest, of mean 1."""
    weight = posterior / mixture.variances(noise)
    information = (weight * mixture.means**2).sum(axis=1)
    relative = (weight * mixture.means * values[:, None]).sum(axis=1) / information
    field = smooth_field(places, relative, information, near)
    return np.clip(field / field.mean(), 0.3, 3.0)
