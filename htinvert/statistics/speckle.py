"""How many independent speckles an image has."""

from __future__ import annotations

import numpy as np
from scipy import fft

from htinvert.core import Floats
from htinvert.statistics.series import Series

FRAMES = 64  # that are looked at
VANISHED = 0.05  # a correlation


def speckle_correlation(series: Series, *, noise: float) -> Floats:
    """Correlation of fluctuations by the distance (y, x) of two pixels [px], 1 at (0, 0).

    ``noise`` is the variance of counting over that of the speckles; it is taken off. Distances
    are up to half of the image, shape (ny // 2 + 1, nx // 2 + 1); both signs of x are averaged.
    """
    count, ny, nx = series.shape
    chosen = np.unique(np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int))
    frames = np.stack([np.asarray(series.frames[i], dtype=float) for i in chosen])
    frames -= frames.mean(axis=0)
    size = (fft.next_fast_len(ny + ny // 2 + 1), fft.next_fast_len(nx + nx // 2 + 1))
    spectrum = fft.fft2(frames, s=size)
    products = fft.ifft2((np.abs(spectrum) ** 2).mean(axis=0)).real
    y, x = np.arange(ny // 2 + 1), np.arange(nx // 2 + 1)
    numbers = np.outer(ny - y, nx - x)
    found = 0.5 * (products[np.ix_(y, x)] + products[np.ix_(y, -x)]) / numbers
    found /= max(found[0, 0] / (1.0 + noise), 1e-300)
    found[0, 0] = 1.0
    return np.asarray(np.clip(found, -1.0, 1.0))


def independent(near: Floats, shape: tuple[int, ...], *, power: int = 1) -> float:
    """Independent speckles in a window (ny, nx) [px]: its area over that of the correlation.

    ``power`` is 2 for what depends on the square of the correlation.
    Beyond where the correlation has first vanished, what is found is chance and not counted.
    """
    ry, rx = (_reach(line) for line in (near[:, 0], near[0]))
    total = 0.0
    for y in range(-min(ry, shape[0]) + 1, min(ry, shape[0])):
        for x in range(-min(rx, shape[1]) + 1, min(rx, shape[1])):
            share = (1.0 - abs(y) / shape[0]) * (1.0 - abs(x) / shape[1])
            total += share * float(near[abs(y), abs(x)]) ** power
    return max(1.0, shape[0] * shape[1] / max(total, 1e-12))


def _reach(line: Floats) -> int:
    """Pixels after which a correlation has first vanished."""
    gone = np.flatnonzero(line < VANISHED)
    return int(gone[0]) if len(gone) else len(line)
