"""An image that is looked for in a library: resampled, cut into tiles, each with its spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

from htinvert.core import Signal, UserError
from htinvert.image.evidence import noise_level
from htinvert.metrics.log_polar import signature, spectrum_map

FINE, COARSE = 0.3, 0.6  # Å/px of fits and of descriptors, and of finding a place
WHOLE = 120.0  # Å: an image of at most this side is one tile
TILE = 100.0  # Å, side of the tiles of a larger one
SMALLEST = 20.0  # Å, side of an image below which its spectrum says nothing
GUESSES = tuple(0.04 * 1.25**k for k in range(13))  # Å/px, where an image has no scale
MOST_TILES = (6, 3)  # along each side, where the pixel size is known and where it is not


@dataclass(frozen=True, eq=False)
class Tile:
    """A part of an image under an assumed pixel size.

    Attributes:
        fine: square pixels of about ``FINE``.
        coarse: the same part in about ``COARSE``.
        middle: its middle from the image's, (right, down) [px of the image as given].
        guess: the pixel size that was assumed, (y, x) [Å/px].
        spectrum: its log-polar map.
        invariant: the map's signature.
        noise: variance of the image's white noise times a pixel's area [Å²]: what is left of it
            where it is averaged over a large area is ``noise`` divided by that area.
    """

    fine: Signal
    coarse: Signal
    middle: tuple[float, float]
    guess: tuple[float, float]
    spectrum: NDArray[np.float32]
    invariant: NDArray[np.float32]
    noise: float = 0.0


def tiles(image: Signal, *, scale_known: bool = True) -> list[Tile]:
    """Cut an image into tiles; one without scale under each of several assumed pixel sizes.

    Raises :class:`UserError` for an image that is constant, not finite or too small.
    """
    data = image.data
    if not np.isfinite(data).all():
        raise UserError("the image has pixels that are not finite numbers; mask or crop them")
    if np.ptp(data) == 0:
        raise UserError("the image is the same everywhere; there is nothing to match")
    y, x = image.sampling[:2]
    guesses = [(y, x)] if scale_known else [(guess, guess * x / y) for guess in GUESSES]
    found = []
    for guess in guesses:
        sides = [n * step for n, step in zip(data.shape, guess, strict=True)]
        if min(sides) >= SMALLEST and (scale_known or max(sides) <= 6 * TILE):
            found += _cut(Signal.image(data, guess), MOST_TILES[0 if scale_known else 1])
    if not found:
        raise UserError(
            f"the image covers {data.shape[0] * y:.1f} x {data.shape[1] * x:.1f} Å; matching needs "
            f"{SMALLEST:g} Å to each side, check the pixel size or give a larger part"
        )
    return found


def _cut(image: Signal, most: int) -> list[Tile]:
    """Overlapping tiles of an image, or all of it."""
    fine, coarse = (resampled(image, step) for step in (FINE, COARSE))
    noise = noise_density(image)
    spans = []
    for size, step in zip(fine.data.shape, fine.sampling, strict=True):
        side = size * step
        if side <= WHOLE:
            spans.append([(0.0, side)])
            continue
        count = min(int(np.ceil((side - TILE) / (TILE / 2))) + 1, most)
        spans.append([(start, TILE) for start in np.linspace(0, side - TILE, count)])
    field = np.array(image.data.shape) * image.sampling
    found = []
    for (top, height), (left, width) in product(*spans):
        parts = []
        for part in (fine, coarse):
            step = part.sampling[0]
            box = part.data[
                round(top / step) : round((top + height) / step),
                round(left / step) : round((left + width) / step),
            ]
            parts.append(Signal.image(np.ascontiguousarray(box), step))
        if np.ptp(parts[0].data) == 0:
            continue
        off = np.array([left + width / 2, top + height / 2]) - field[::-1] / 2
        middle = off / np.array(image.sampling[::-1])
        found_map = spectrum_map(parts[0].data, parts[0].sampling[0])
        place = (float(middle[0]), float(middle[1]))
        steps = (image.sampling[0], image.sampling[1])
        known = found_map, signature(found_map)
        found.append(Tile(parts[0], parts[1], place, steps, *known, noise))
    return found


def noise_density(image: Signal) -> float:
    """Variance of an image's white noise times its pixels' area [Å²].

    What is left of the noise in an average over an area is this, divided by the area.
    """
    return noise_level(image.data) ** 2 * float(np.prod(image.sampling))


def resampled(image: Signal, step: float) -> Signal:
    """The image in square pixels of ``step`` [Å], or of its own size where that is larger."""
    step = max(step, *image.sampling)
    factors = np.array([step / own for own in image.sampling])
    smooth = gaussian_filter(image.data.astype(float), 0.4 * np.sqrt(factors**2 - 1 + 1e-9))
    shape = tuple(int(n / f) for n, f in zip(image.data.shape, factors, strict=True))
    offset = (np.array(image.data.shape) - 1) / 2 - factors * (np.array(shape) - 1) / 2
    data = affine_transform(smooth, factors, offset, shape, order=1, mode="nearest")
    return Signal.image(data, step)
