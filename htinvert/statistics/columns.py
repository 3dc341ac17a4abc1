"""Columns of an image: where each is, with an error, and how bright, after the background.

All columns of one kind share a shape, the background is a smooth field, and each column is fitted
in its window with the others taken off (as A. De Backer et al., Ultramicroscopy 171, 104 (2016));
pixels weigh by their counting noise, as the residuals show it, so that positions come near the
bound of Cramér and Rao.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import curve_fit, nnls

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.pdf.pairs import compiled
from htinvert.statistics.column_fit import WIDE, draw_columns, fit_windows, taken_up
from htinvert.statistics.field import neighbors, smooth_field

START_WIDTH = 0.2  # of the distance between columns
WINDOW = 0.85  # half width of a window over that distance
SMALLEST, LARGEST = 3, 24  # px of that half width
AROUND = 40  # columns of which the background is made
SWEEPS = (2, 3)  # with a background of each column, and with the field
ROUNDS = 2  # of both, shapes and noise being measured between them
SPLIT_SWEEPS = 2  # that place columns in an image with noise added
SPLITS, SPLIT_COLUMNS = 6, 2400  # of the noise, at most, and columns that are enough for one
SHAPED = 1000  # columns whose shape is looked at
NARROWEST = 0.4  # px of a core
UNSURE = 0.1  # of a kind's width: beyond that relative error it shows none of its own
BINS = 24  # of brightness, in which the noise is measured
FEWEST = 4  # columns
LOOSE = 0.25  # of the distance between columns: what holds one that is too dim to show its place
HELD = 0.9  # of that: an error that says that nothing else holds it
FAR = 0.45  # of the distance between columns, how far one may be from where it was expected
MOST_TAKEN = 0.8  # of a pixel's noise that a fit may have taken up
UNEXPLAINED = 6.0  # standard deviations of a residual that no column explains


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns as they were measured, each array of shape (n,) unless it says otherwise.

    Attributes:
        places: row and column of each [px], shape (n, 2).
        errors: standard errors of those [px], shape (n, 2).
        intensity: integrated over the column, after the background [image's units x px²].
        intensity_error: its standard error.
        background: at the column [image's units].
        kinds: which of ``names`` it was expected to be.
        names: of the kinds.
        lost: columns that were not found within reach of where they were expected.
        model: the fitted image, shape (ny, nx).
        residual: image less model, shape (ny, nx).
        unexplained: row, column and height over the noise of what no column explains, shape (m, 3).
        sampling: pixel size (y, x) [Å].
    """

    places: Floats
    errors: Floats
    intensity: Floats
    intensity_error: Floats
    background: Floats
    kinds: NDArray[np.int_]
    names: tuple[str, ...]
    lost: NDArray[np.bool_]
    model: Floats
    residual: Floats
    unexplained: Floats
    sampling: tuple[float, float]


def measure_columns(
    image: Signal,
    places: Floats,
    *,
    kinds: NDArray[np.int_] | None = None,
    names: tuple[str, ...] = ("column",),
) -> Columns:
    """Fit all columns of an image.

    Args:
        image: shape (ny, nx), brighter where there is more.
        places: where columns are expected, row and column [px], shape (n, 2).
        kinds: index into ``names`` of each; columns of a kind share a shape.
        names: of the kinds.

    Raises:
        UserError: where there are fewer than four columns, or two at one place.
    """
    data = np.asarray(image.data, dtype=float)
    which = np.zeros(len(places), dtype=int) if kinds is None else np.asarray(kinds)
    if len(places) < FEWEST:
        raise UserError(f"{len(places)} columns are in the image; at least {FEWEST} are needed")
    near = neighbors(places, 2)
    apart = np.linalg.norm(places - places[near[:, 1]], axis=1)
    if apart.min() < 1.5:
        raise UserError(
            f"two columns are {apart.min():.2f} px apart and cannot be told from each other; give "
            "a structure whose columns are, or an image with smaller pixels"
        )
    distance = float(np.median(apart))
    half = int(np.clip(round(WINDOW * distance), SMALLEST, LARGEST))
    state = _start(data, np.asarray(places, dtype=float))
    shapes = np.tile([START_WIDTH * distance, 0.0], (len(names), 1))
    fitter = _Fitter(data, which, half, shapes, np.asarray(places, dtype=float), distance)
    for _ in range(ROUNDS):
        fitter.sweep(state, 4, SWEEPS[0])
        weights = 1.0 / np.maximum(fitter.errors[:, 3], 1e-300)
        state[:, 3] = smooth_field(state[:, 1:3], state[:, 3], weights, neighbors(places, AROUND))
        fitter.sweep(state, 3, SWEEPS[1])
        fitter.measure_noise(state)
        fitter.measure_shapes(state)
    fitter.sweep(state, 4, SWEEPS[0])
    weights = 1.0 / np.maximum(fitter.errors[:, 3], 1e-300)
    state[:, 3] = smooth_field(state[:, 1:3], state[:, 3], weights, neighbors(places, AROUND))
    fitter.sweep(state, 3, SWEEPS[1])
    return fitter.result(state, names, image.sampling)


def _start(data: Floats, places: Floats) -> Floats:
    """Amplitude, row, column and background of each column before any fit, shape (n, 4)."""
    pixels = np.clip(np.rint(places).astype(int), 0, np.array(data.shape) - 1)
    ground = float(np.percentile(data, 5))
    amplitude = np.maximum(data[tuple(pixels.T)] - ground, 1e-3 * np.ptp(data))
    return np.column_stack([amplitude, places, np.full(len(places), ground)])


class _Fitter:
    """The image, its model, shapes of kinds and noise, between sweeps."""

    def __init__(
        self,
        data: Floats,
        kinds: NDArray[np.int_],
        half: int,
        shapes: Floats,
        places: Floats,
        distance: float,
    ) -> None:
        self.data, self.kinds, self.half, self.shapes = data, kinds, half, shapes
        self.places, self.distance, self.loose = places, distance, LOOSE * distance
        self.variance = np.array([max(float(np.var(data)), 1e-300), 0.0, 0.0])
        self.errors = np.zeros((len(kinds), 5))
        self.model = np.zeros_like(data)
        self.near = np.zeros_like(data)  # px from each pixel to the next column

    def draw(self, state: Floats) -> None:
        self.model[:] = 0.0
        compiled(draw_columns)(self.model, state, self.shapes, self.kinds, self.half)

    def sweep(
        self, state: Floats, free: int, times: int, data: Floats | None = None, noise: float = 1.0
    ) -> None:
        """Fit all columns to ``data``, whose variance is ``noise`` times that of the image."""
        for _ in range(times):
            self.draw(state)
            compiled(fit_windows)(
                self.data if data is None else data,
                self.model,
                state,
                self.shapes,
                self.kinds,
                noise * self.variance,
                self.places,
                self.loose**-2.0,
                self.half,
                free,
                self.errors,
            )
        self.draw(state)

    def ground(self, state: Floats) -> Floats:
        """The background between columns: of the nearest one. Shape (ny, nx)."""
        owner = np.full(self.data.shape, -1)
        pixels = np.clip(np.rint(state[:, 1:3]).astype(int), 0, np.array(self.data.shape) - 1)
        owner[tuple(pixels.T)] = np.arange(len(state))
        gap, (rows, columns) = distance_transform_edt(owner < 0, return_indices=True)
        self.near = gap
        near = state[owner[rows, columns], 3]
        return np.asarray(np.where(gap <= 2.0 * self.half, near, np.nan))

    def measure_shapes(self, state: Floats) -> None:
        """Width and tails of each kind by its columns' profiles, others taken off.

        Columns are placed by the image with noise added and looked at in the image with the same
        noise taken off, whose own noise knows nothing of those places: around a place that was
        fitted to it, noise makes a spike. A kind that is too weak to show its width takes the shape
        of the brightest kind: one probe scans them all.
        """
        spread = np.sqrt(self.pixel_variance(self.model + np.nan_to_num(self.ground(state))))
        rng = np.random.default_rng(0)
        kinds, seen = range(len(self.shapes)), []
        for _ in range(int(np.clip(SPLIT_COLUMNS // len(state), 1, SPLITS))):
            added = spread * rng.normal(size=self.data.shape)
            placed = state.copy()
            self.sweep(placed, 3, SPLIT_SWEEPS, self.data + added, 2.0)
            seen.append([self._profiles(kind, placed, self.data - added) for kind in kinds])
        joined = [np.concatenate(parts, axis=1) for parts in zip(*seen, strict=True)]
        doubt = np.array([self._fit_shape(kind, joined[kind]) for kind in kinds])
        shares = np.bincount(self.kinds, state[:, 0] ** 2, minlength=len(self.shapes))
        brightest = int(shares.argmax())
        doubt[brightest] = 0.0
        self.shapes[doubt >= UNSURE] = self.shapes[brightest]
        self.draw(state)

    def _fit_shape(self, kind: int, profiles: Floats) -> float:
        """Fit a kind's shape; the width's relative standard error, infinite where none shows."""
        radius, height, amplitude, variance = profiles
        if not len(radius):
            return np.inf
        s, w = self.shapes[kind]
        try:
            fitted, covariance = curve_fit(
                _shape,
                radius,
                height,
                p0=(1.0, s, min(max(w, 0.02), 0.4), 0.0),
                sigma=1.0 / amplitude,  # of heights over it: a weak column says little
                bounds=([0.2, NARROWEST, 0.0, -1.0], [5.0, self.half, 0.6, 1.0]),
            )
        except RuntimeError:  # no shape to be seen in so much noise: keep the last
            return np.inf
        off = float(np.average(variance, weights=amplitude**2))
        width = float(np.sqrt(max(fitted[1] ** 2 - off, NARROWEST**2)))  # without misplacement
        self.shapes[kind] = width, fitted[2]
        if not NARROWEST < width < self.half:
            return np.inf
        error = float(np.sqrt(covariance[1, 1]) / width)
        return error if np.isfinite(error) else np.inf

    def _profiles(self, kind: int, state: Floats, data: Floats) -> Floats:
        """Distance [px], height over the amplitude, amplitude, variance of the place [px²].

        Of pixels around a kind's columns, shape (4, m).
        """
        mine = np.flatnonzero((self.kinds == kind) & (state[:, 0] > 0))
        parts = [np.zeros((4, 0))]
        for c in mine[:: max(1, len(mine) // SHAPED)]:
            radius, height = self._profile(state[c], self.shapes[kind], data)
            own = np.array([[state[c, 0]], [self.errors[c, 1:3].mean()]])
            parts.append(np.vstack([radius, height, np.repeat(own, len(radius), axis=1)]))
        return np.concatenate(parts, axis=1)

    def _profile(self, column: Floats, shape: Floats, data: Floats) -> tuple[Floats, Floats]:
        """Distances and heights over the amplitude of the pixels in a window."""
        amplitude, y, x, ground = column
        rows = np.arange(max(0, int(y) - self.half), min(data.shape[0], int(y) + self.half + 2))
        columns = np.arange(max(0, int(x) - self.half), min(data.shape[1], int(x) + self.half + 2))
        r = np.hypot(rows[:, None] - y, columns - x)
        inside = r <= self.half
        own = amplitude * _shape(r, 1.0, float(shape[0]), float(shape[1]), 0.0) * inside
        part = np.ix_(rows, columns)
        left = data[part] - self.model[part] + own - ground
        return r[inside], left[inside] / amplitude

    def pixel_variance(self, bright: Floats) -> Floats:
        """Of pixels of a brightness."""
        constant, slope, least = self.variance
        return np.maximum(constant + slope * bright, least)

    def measure_noise(self, state: Floats) -> None:
        """Variance of a pixel as a line over its brightness, by the residuals.

        Nowhere below that of the darkest pixels: a model near zero would weigh without bound.
        """
        expected = self.model + self.ground(state)
        inside = self.near <= self.half
        spread = self.pixel_variance(np.nan_to_num(expected))
        taken = compiled(taken_up)(self.model, state, self.shapes, self.kinds, spread, self.errors)
        squares = ((self.data - expected) ** 2 / (1.0 - np.minimum(taken, MOST_TAKEN)))[inside]
        order = np.argsort(self._usual(state)[inside])
        parts = [part for part in np.array_split(order, BINS) if len(part)]
        bright = np.array([max(float(expected[inside][part].mean()), 0.0) for part in parts])
        found = np.array([float(squares[part].mean()) for part in parts])
        relative = 1.0 / np.maximum(found, 1e-12 * found.max() + 1e-300)
        scale = max(float(bright.max()), 1e-300)
        line, _ = nnls(np.column_stack([relative, relative * bright / scale]), np.ones(len(found)))
        least = max(float(found.min()), 1e-6 * float(found.mean()), 1e-300)
        self.variance = np.array([line[0], line[1] / scale, least])

    def _usual(self, state: Floats) -> Floats:
        """The image where each column is of its kind's mean and where it was expected.

        Pixels that are put in order by what was fitted are bright ones by luck, too.
        """
        means = np.bincount(self.kinds, state[:, 0]) / np.maximum(np.bincount(self.kinds), 1)
        usual = np.column_stack([means[self.kinds], self.places, state[:, 3]])
        image = np.zeros_like(self.data)
        compiled(draw_columns)(image, usual, self.shapes, self.kinds, self.half)
        return image

    def result(self, state: Floats, names: tuple[str, ...], sampling: tuple[float, ...]) -> Columns:
        s, w = self.shapes[self.kinds].T
        area = 2.0 * np.pi * s**2 * ((1.0 - w) + w * WIDE**2)
        fitted = self.model + self.ground(state)
        residual = np.where(np.isfinite(fitted), self.data - fitted, 0.0)
        lost = np.linalg.norm(state[:, 1:3] - self.places, axis=1) > FAR * self.distance
        lost |= (state[:, 0] <= 0.0) | (self.errors[:, 1:3].max(axis=1) > (HELD * self.loose) ** 2)
        spread = np.sqrt(self.pixel_variance(np.nan_to_num(fitted)))
        return Columns(
            state[:, 1:3].copy(),
            np.sqrt(self.errors[:, 1:3]),
            state[:, 0] * area,
            np.sqrt(self.errors[:, 0]) * area,
            state[:, 3].copy(),
            self.kinds,
            names,
            lost,
            fitted,
            residual,
            _unexplained(residual / spread, state[:, 1:3], float(s.mean()), self.distance),
            (float(sampling[0]), float(sampling[1])),
        )


def _shape(r: Floats, height: float, s: float, w: float, offset: float) -> Floats:
    """Profile of a column: core, tails, and what the background is off by."""
    core = (1.0 - w) * np.exp(-0.5 * (r / s) ** 2)
    return np.asarray(height * (core + w * np.exp(-0.5 * (r / (WIDE * s)) ** 2)) + offset)


def _unexplained(noise: Floats, places: Floats, width: float, distance: float) -> Floats:
    """Peaks of a residual over its noise, as wide as columns, away from those that are known."""
    from scipy.ndimage import gaussian_filter, maximum_filter
    from scipy.spatial import cKDTree

    seen = gaussian_filter(noise, width) * (2.0 * np.sqrt(np.pi) * width)
    seen /= max(1.4826 * float(np.median(np.abs(seen))), 1.0)
    peaks = (seen == maximum_filter(seen, size=2 * round(0.5 * distance) + 1)) & (
        seen > UNEXPLAINED
    )
    rows, columns = np.nonzero(peaks)
    found = np.column_stack([rows, columns, seen[rows, columns]])
    if not len(found):
        return found
    far = cKDTree(places).query(found[:, :2])[0] > FAR * distance
    rim = 0.5 * distance  # a column beyond the edge shows there
    inside = ((found[:, :2] >= rim) & (found[:, :2] <= np.array(noise.shape) - 1 - rim)).all(axis=1)
    return np.asarray(found[far & inside])
