"""Electron correlation microscopy: how long a material remembers, from a series of frames.

Each pixel's g2(t) = <I(t0) I(t0 + t)> / <I>² is fitted by 1 + A exp(-2 (t / tau)^beta). What a
finite series, its own mean, noise of counting and the frames' exposure do to it is part of the
model, see :mod:`htinvert.statistics.kohlrausch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from htinvert.core import Floats, UserError
from htinvert.statistics.autocovariance import Autocovariance, autocovariance
from htinvert.statistics.kohlrausch import (
    ROUNDS,
    Weights,
    expected,
    fit,
    jacobian,
    plain_fit,
    scatter,
    start,
    without_noise,
)
from htinvert.statistics.relaxation_map import Conditions, RelaxationMap, relaxation_map
from htinvert.statistics.series import Series, make_series
from htinvert.statistics.speckle import independent, speckle_correlation

BLOCKS = 8  # along either side of an image, of which errors are taken
SMALLEST = 4  # px of a block
APART = 3.0  # widths of a speckle that a block has at least
FEWEST = 12  # blocks
BOLTZMANN = 8.617333262e-5  # eV/K
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Uncertain:
    """A value with its standard error and its interval, which holds the truth in 95 %."""

    value: float
    error: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """What a series' fluctuations say.

    Attributes:
        series: what was read.
        tau: relaxation time, in the series' unit; of all pixels together.
        beta: Kohlrausch's exponent [1].
        contrast: A, the variance of the intensity over its squared mean [1].
        uncorrected: tau and beta of the usual fit, without any correction.
        time: of the bins of g2, in the series' unit, shape (k,).
        g2: of all pixels, minus 1, shape (k,).
        model: what the fit expects there, shape (k,).
        map: tau and beta of each pixel.
        speckles: independent speckles in the image [1].
        notes: sentences on what to beware.
    """

    series: Series
    tau: Uncertain
    beta: Uncertain
    contrast: float
    uncorrected: tuple[float, float]
    time: Floats
    g2: Floats
    model: Floats
    map: RelaxationMap
    speckles: float
    notes: tuple[str, ...]


def fluctuations(
    series: Series | Any,
    *,
    average: int = 1,
    exposure: float = 1.0,
    steady: bool = False,
    hold_beta: bool = False,
    longest: int | None = None,
) -> Fluctuations:
    """Measure relaxation times of a series of frames (t, y, x).

    Args:
        series: from :func:`~htinvert.statistics.series.read_series`, or an array.
        average: side [px] of the square whose pixels a pixel of the map is pooled with.
        exposure: for how much of the time from frame to frame it is exposed, 0 to 1.
        steady: divide each frame by its mean, against a beam current that wanders.
        hold_beta: give every pixel of the map the exponent of all.
        longest: longest lag [frames]; None: half the series.

    Raises:
        UserError: where nothing fluctuates, or nothing is remembered from frame to frame.
    """
    series = series if isinstance(series, Series) else make_series(series)
    if not 0.0 <= exposure <= 1.0:
        raise UserError(f"exposure is {exposure:g}; give a share of the interval, 0 to 1")
    if average < 1 or average > min(series.shape[1:]):
        raise UserError(f"average is {average} px; give 1 to {min(series.shape[1:])}")
    found = autocovariance(series, steady=steady, longest=longest)
    whole = _whole(found, series.name, exposure)
    near = speckle_correlation(series, noise=whole.noise)
    count = independent(near, series.shape[1:])
    both = (count, independent(near, series.shape[1:], power=2))
    errors, freedom = _errors(found, whole, both, exposure)
    quantile = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))
    pooled = independent(near, (average, average))
    conditions = Conditions(whole.tau, whole.beta, exposure, whole.noise, whole.contrast, pooled)
    pixels = relaxation_map(found, whole.weights, conditions, average=average, hold_beta=hold_beta)
    step = series.interval
    return Fluctuations(
        series,
        _estimate(whole.tau * step, errors[0], quantile),
        _estimate(whole.beta, errors[1], quantile),
        whole.contrast,
        (whole.plain[1] * step, whole.plain[2]),
        found.lags.middle * step,
        whole.data,
        whole.amplitude * expected(found.lags, whole.tau, whole.beta, exposure),
        pixels.scaled(step),
        count,
        _notes(series, whole, errors[0], count),
    )


@dataclass(frozen=True, eq=False)
class _Whole:
    """All pixels together; tau in frames."""

    data: Floats
    amplitude: float
    tau: float
    beta: float
    noise: float
    contrast: float
    weights: Weights
    plain: tuple[float, float, float]


def _whole(found: Autocovariance, name: str, exposure: float) -> _Whole:
    """Fit the pixels' pooled autocovariance, with weights by the last of three fits."""
    squares = float((found.mean**2).mean())
    raw = found.bins.mean(axis=(0, 1), dtype=float) / squares
    variance = float(found.variance.mean()) / squares
    data = np.asarray(without_noise(found.lags, raw, variance))
    spread = found.bins[..., 0].std(dtype=float) / squares / np.sqrt(found.mean.size)
    if data[0] <= 3.0 * spread:
        raise UserError(
            f"{name}: intensities of following frames are not correlated; the series shows noise, "
            "or its frames are too far apart: record faster, by ten frames per relaxation"
        )
    tau, beta, amplitude = start(found.lags, data), 0.8, float(data[0])
    noise = 0.0
    for _ in range(ROUNDS):
        contrast = min(max(amplitude, 0.0), 1.0)
        weights = Weights(scatter(found.lags, tau, beta, noise=noise, contrast=contrast))
        amplitude, tau, beta = fit(
            found.lags, data, exposure=exposure, weights=weights, start=(tau, beta)
        )
        noise = max(variance / amplitude - 1.0, 0.0)
    return _Whole(data, amplitude, tau, beta, noise, contrast, weights, plain_fit(found.lags, raw))


def _errors(
    found: Autocovariance, whole: _Whole, speckles: tuple[float, float], exposure: float
) -> tuple[Floats, float]:
    """Standard errors of ln tau and ln beta, and their degrees of freedom.

    The larger of what is calculated and what blocks of the image say, where there are enough.
    """
    model = jacobian(found.lags, whole.amplitude, whole.tau, whole.beta, exposure)
    gain = whole.weights.gain(model)
    one = whole.amplitude**2 * scatter(
        found.lags,
        whole.tau,
        whole.beta,
        noise=whole.noise,
        contrast=whole.contrast,
        speckles=speckles,
    )
    known = np.sqrt((gain @ one @ gain.T).diagonal()[:2])
    smallest = max(SMALLEST, APART * np.sqrt(found.mean.size / speckles[0]))  # px
    sides = [min(BLOCKS, int(size / smallest)) for size in found.mean.shape]
    if sides[0] * sides[1] < FEWEST:
        return known, max(speckles[0] - 1.0, 2.0)
    shares, influences = [], []
    fitted = whole.amplitude * expected(found.lags, whole.tau, whole.beta, exposure)
    for rows in np.array_split(np.arange(found.mean.shape[0]), sides[0]):
        for columns in np.array_split(np.arange(found.mean.shape[1]), sides[1]):
            part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            share = float((found.mean[part] ** 2).sum())
            own = without_noise(found.lags, found.bins[part], found.variance[part])
            shares.append(share)
            influences.append(gain @ (own.sum(axis=(0, 1), dtype=float) - share * fitted))
    count = len(shares)
    parts = np.array(influences)[:, :2] / sum(shares)
    errors = np.sqrt((parts**2).sum(axis=0) * count / (count - 1))
    return np.maximum(errors, known), float(count - 3)


def _estimate(value: float, relative: float, quantile: float) -> Uncertain:
    """A positive value whose logarithm has a standard error."""
    width = float(np.exp(min(quantile * relative, 50.0)))
    return Uncertain(value, value * float(relative), value / width, value * width)


def _notes(series: Series, whole: _Whole, error: float, speckles: float) -> tuple[str, ...]:
    notes = []
    length = series.shape[0] / whole.tau
    if length < 10.0:
        notes.append(
            f"the series is {length:.1f} tau long; below 10 tau the result may be off by more than "
            "its interval says, record longer"
        )
    if whole.tau < 10.0 * 0.5:
        notes.append(
            f"tau is only {whole.tau:.1f} frames; ten or more keep the beginning of the decay in "
            "sight (frames shorter than 0.1 tau)"
        )
    if error > 0.5:
        notes.append(
            "the standard error of tau exceeds half of it: record longer, or more speckles"
        )
    if speckles < 8.0:
        notes.append(f"only some {speckles:.0f} independent speckles are in the image")
    return tuple(notes)


@dataclass(frozen=True)
class Arrhenius:
    """tau = tau0 exp(E / kT): barrier [eV] and ln tau0, with standard errors."""

    barrier: float
    barrier_error: float
    log_prefactor: float
    log_prefactor_error: float
    chi_square: float  # per degree of freedom; nan of two temperatures


def arrhenius(temperatures: Sequence[float], taus: Sequence[Uncertain]) -> Arrhenius:
    """Fit relaxation times over temperatures [K], weighted by their errors.

    Raises:
        UserError: where there are fewer than two temperatures, or one is not above 0 K.
    """
    kelvin = np.asarray(temperatures, dtype=float)
    if len(kelvin) != len(taus):
        raise UserError(f"{len(taus)} series have {len(kelvin)} temperatures; give one [K] each")
    if len(np.unique(kelvin)) < 2 or not (kelvin > 0.0).all():
        raise UserError("an Arrhenius plot needs two or more temperatures above 0 K")
    y = np.log([tau.value for tau in taus])
    errors = np.array([tau.error / tau.value for tau in taus])
    design = np.stack([1.0 / (BOLTZMANN * kelvin), np.ones_like(kelvin)], axis=1)
    weighted = design / errors[:, None]
    covariance = np.linalg.inv(weighted.T @ weighted)
    slope, offset = covariance @ weighted.T @ (y / errors)
    left = (y - design @ [slope, offset]) / errors
    freedom = len(y) - 2
    chi = float(left @ left / freedom) if freedom else float("nan")
    sigma = np.sqrt(covariance.diagonal())
    return Arrhenius(float(slope), float(sigma[0]), float(offset), float(sigma[1]), chi)
