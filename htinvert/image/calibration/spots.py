"""Spots of an image's power spectrum: where, how strong and how surely.

The image is multiplied by a Hann window; spots are local maxima far above the local background. A
spot's place is that of the maximum of the windowed Fourier integral itself, at any frequency, which
for one plane wave in noise is the maximum-likelihood estimate up to the window (Rife & Boorstyn,
IEEE Trans. Inf. Theory 20, 591 (1974)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import nnls

from htinvert.core import Floats, UserError

_SMALLEST = 32  # px: below, no lattice has spots apart from the center
_ABOVE = 30.0  # power over the background's median; noise reaches it in 1e-9 of all pixels
_FAINTEST = 1e-5  # of the strongest spot; the window's far side lobes are weaker
_SIDE_LOBE = 3e-3, 8.0  # of a stronger spot within this many bins: its side lobe
_CENTER = 3.5  # bins about zero frequency: the window's own transform and uneven brightness
_FLOOR = 0.003  # bins: spots pull at each other by their side lobes
_MOST = 60


@dataclass(frozen=True, eq=False)
class Spots:
    """Spots of one half plane, strongest first; each stands for its opposite, too.

    Attributes:
        frequency: place (x right, y down) [1/px], shape (n, 2).
        power: height above the background [1], shape (n,).
        sigma: standard uncertainty of the frequency due to noise [1/px], shape (n, 2).
        jitter: standard uncertainty [1] of the slopes dx/dy and dy/dy that displaced scan rows
            leave; all spots share it, so no number of them averages it out.
        shape: the image's pixels (ny, nx).
    """

    frequency: Floats
    power: Floats
    sigma: Floats
    jitter: tuple[float, float]
    shape: tuple[int, int]

    @cached_property
    def bins(self) -> Floats:
        """Bins of the spectrum per 1/px, (x, y)."""
        return np.array(self.shape[::-1], dtype=float)

    @cached_property
    def amplitude(self) -> Floats:
        """Square root of the power, shape (n,)."""
        return np.sqrt(self.power)

    def some(self, index: NDArray[np.intp]) -> Spots:
        """The spots of these numbers, in this order."""
        frequency, power, sigma = self.frequency[index], self.power[index], self.sigma[index]
        return Spots(frequency, power, sigma, self.jitter, self.shape)


def power_spectrum(pixels: NDArray[np.floating]) -> Floats:
    """Power of the mean-free image under a Hann window, zero frequency at (ny//2, nx//2)."""
    return np.asarray(np.abs(np.fft.fftshift(np.fft.fft2(_windowed(pixels)))) ** 2)


def find_spots(pixels: NDArray[np.floating]) -> Spots:
    """Find the spots of an image, shape (ny, nx), at least 32 px each way.

    Streaks along rows and columns of the spectrum, which displaced scan rows and sharp edges leave,
    count as background. Raises :class:`~htinvert.core.UserError` for an image that is too small or
    constant.
    """
    if min(pixels.shape) < _SMALLEST:
        raise UserError(
            f"the image is {pixels.shape[0]} x {pixels.shape[1]} px, too small for a spectrum; "
            f"give at least {_SMALLEST} px each way"
        )
    if np.ptp(pixels) == 0:
        raise UserError("the image has one value everywhere; give an image of a crystal")
    weighted = _windowed(pixels)
    power = power_spectrum(pixels)
    broad, down, along = _backgrounds(power)
    level = np.maximum(np.maximum(broad, down), along)
    places = _maxima(power, level)
    ny, nx = pixels.shape
    whole = (places[:, ::-1] - [nx // 2, ny // 2]) / [nx, ny]
    frequency, height = _refined(weighted, whole)
    order = np.argsort(-height, kind="stable")
    places, frequency, height = places[order], frequency[order], height[order]
    at = tuple(places.T)
    noise = level[at] / np.log(2)  # mean of an exponential distribution from its median
    reach = np.array([_reach(nx), _reach(ny)])
    sigma = np.sqrt(noise / height)[:, None] * reach
    streak = (down[at] - broad[at]) / np.log(2) / height
    return Spots(
        frequency,
        np.maximum(height - noise, 0.0),
        np.hypot(sigma, _FLOOR / np.array([nx, ny])),
        _row_jitter(frequency, streak * reach[1] ** 2, sigma[:, 1] ** 2),
        (ny, nx),
    )


def _windowed(pixels: NDArray[np.floating]) -> Floats:
    ny, nx = pixels.shape
    window = np.outer(_hann(ny), _hann(nx))
    mean = float((pixels * window).sum() / window.sum())
    return np.asarray((pixels - mean) * window)


def _hann(count: int) -> Floats:
    """Hann window without zeros at its ends, shape (count,)."""
    return np.asarray(np.hanning(count + 2)[1:-1])


def _reach(count: int) -> float:
    """Uncertainty [1/px] of a spot's frequency where signal and noise have the same power.

    Noise moves the maximum by its slope over the peak's curvature: with window w and position p,
    ``var f = (noise/power) (sum w)^2 sum p^2 w^2 / (8 pi^2 sum w^2 (sum p^2 w)^2)``.
    """
    w, p = _hann(count), np.arange(count) - (count - 1) / 2
    scale = w.sum() ** 2 * (p**2 * w**2).sum() / ((w**2).sum() * (p**2 * w).sum() ** 2)
    return float(np.sqrt(scale / (8 * np.pi**2)))


def _backgrounds(power: Floats) -> tuple[Floats, Floats, Floats]:
    """Median of the power over a broad square, down a column and along a row of the spectrum."""
    return (
        _running_median(power, (8, 8), (5, 5)),
        _running_median(power, (16, 1), (5, 3)),
        _running_median(power, (1, 16), (3, 5)),
    )


def _running_median(power: Floats, block: tuple[int, int], size: tuple[int, int]) -> Floats:
    """Median over blocks, then over ``size`` of them, interpolated back; fast for wide windows."""
    (ny, nx), (by, bx) = power.shape, block
    rows, columns = -(-ny // by), -(-nx // bx)
    padded = np.pad(power, ((0, rows * by - ny), (0, columns * bx - nx)), mode="wrap")
    blocks = np.median(padded.reshape(rows, by, columns, bx), axis=(1, 3))
    smooth = ndimage.median_filter(np.log(blocks + power.max() * 1e-14), size=size, mode="wrap")
    y = (np.arange(ny) - (by - 1) / 2) / by
    x = (np.arange(nx) - (bx - 1) / 2) / bx
    grid = np.meshgrid(y, x, indexing="ij")
    return np.asarray(np.exp(ndimage.map_coordinates(smooth, grid, order=1, mode="nearest")))


def _maxima(power: Floats, level: Floats) -> NDArray[np.int_]:
    """Row and column of the spots' pixels, strongest first, of one half plane, shape (n, 2)."""
    ny, nx = power.shape
    highest = ndimage.maximum_filter(power, size=5, mode="wrap")
    found = (power == highest) & (power > _ABOVE * level) & (power > _FAINTEST * power.max())
    places = np.argwhere(found)
    y, x = (places - [ny // 2, nx // 2]).T
    half = (np.hypot(y, x) > _CENTER) & ((x > 0) | ((x == 0) & (y > 0)))
    half &= (x > -nx // 2 + 1) & (np.abs(y) < ny // 2 - 1)
    places = places[half]
    places = places[np.argsort(-power[tuple(places.T)], kind="stable")]
    kept: list[NDArray[np.int_]] = []
    for place in places:
        height = power[tuple(place)]
        lobe = any(
            np.hypot(*(place - other)) < _SIDE_LOBE[1]
            and height < _SIDE_LOBE[0] * power[tuple(other)]
            for other in kept
        )
        if not lobe:
            kept.append(place)
    return np.array(kept[:_MOST], dtype=int).reshape(-1, 2)


def _refined(weighted: Floats, frequency: Floats) -> tuple[Floats, Floats]:
    """Frequency of the maximum next to each given one, shape (n, 2), and its power, shape (n,)."""
    places, heights = frequency.copy(), np.zeros(len(frequency))
    for index, start in enumerate(frequency):
        place = start
        for step in (0.5, 0.25, 0.1, 0.1):  # bins
            place, heights[index] = _climb(weighted, place, step)
        near = np.abs((place - start) * weighted.shape[::-1]).max() < 1.5
        places[index] = place if near else start
    return places, heights


_OFFSETS = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)], dtype=float)
_PARABOLOID = np.linalg.pinv(
    np.stack([np.ones(9), *_OFFSETS.T, *(_OFFSETS**2).T, _OFFSETS.prod(axis=1)], axis=1)
)


def _climb(weighted: Floats, place: Floats, step: float) -> tuple[Floats, float]:
    """Top of the paraboloid through the log power on 3 x 3 places, ``step`` bins apart."""
    ny, nx = weighted.shape
    size = step / np.array([nx, ny])
    x, y = (place[i] + size[i] * np.array([-1, 0, 1]) for i in (0, 1))
    columns = np.exp(-2j * np.pi * np.outer(np.arange(nx), x))
    rows = np.exp(-2j * np.pi * np.outer(y, np.arange(ny)))
    across = (weighted @ columns.view(float)).view(complex)  # of real numbers, in half the time
    log = np.log(np.abs(rows @ across).ravel() ** 2 + 1e-300)
    c = _PARABOLOID @ log
    curvature = np.array([[2 * c[3], c[5]], [c[5], 2 * c[4]]])
    if c[3] >= 0 or np.linalg.det(curvature) <= 0:
        best = int(log.argmax())
        return place + _OFFSETS[best] * size, float(np.exp(log[best]))
    top = np.clip(-np.linalg.solve(curvature, c[1:3]), -1.5, 1.5)
    height = c[0] + c[1:3] @ top + top @ curvature @ top / 2
    return place + top * size, float(np.exp(min(height, log.max() + 1)))


def _row_jitter(frequency: Floats, variance: Floats, noise: Floats) -> tuple[float, float]:
    """Uncertainty of the slopes dx/dy, dy/dy from the variance that streaks give to each f_y.

    A slope of the rows' displacement moves every spot by ``slope . f``: ``var f_y`` is the sum of
    the slopes' variances times ``f_x^2`` and ``f_y^2``, known to a fraction of ``noise``.
    """
    if len(frequency) < 2:
        return 0.0, 0.0
    # displacement turns a wave's phase: all of its noise is across the wave, of other noise half
    slopes, _ = nnls(frequency**2 / noise[:, None], 2 * variance / noise)
    return float(np.sqrt(slopes[0])), float(np.sqrt(slopes[1]))
