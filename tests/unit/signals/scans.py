"""Made scans of patterns whose virtual images are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP = 0.5  # mrad per px
RADIUS = 16.0  # mrad: 32 px
PLACES = (12, 10)


def disk(shape: tuple[int, int], middle: tuple[float, float], radius: float) -> NDArray[np.float64]:
    """A disk of height 1 with a soft edge of a pixel."""
    y, x = np.indices(shape)
    return np.clip(radius + 0.5 - np.hypot(y - middle[0], x - middle[1]), 0.0, 1.0)


def scan(
    *,
    shape: tuple[int, int] = (128, 128),
    middle: tuple[float, float] = (64.0, 64.0),
    places: tuple[int, int] = PLACES,
    level: float = 200.0,
) -> tuple[NDArray[np.uint16], NDArray[np.float64]]:
    """Patterns (y, x, ky, kx) of a disk of 32 px and a ring outside it; the ring's share (y, x)."""
    y, x = np.indices(places)
    share = 0.5 + 0.4 * np.sin(2 * np.pi * x / 5) * np.cos(2 * np.pi * y / 6)
    ring = disk(shape, middle, 50.0) - disk(shape, middle, 40.0)
    bright = disk(shape, middle, RADIUS / STEP)
    data = level * (
        (2 - 0.1 * share)[..., None, None] * bright + 0.2 * share[..., None, None] * ring
    )
    return np.round(data).astype(np.uint16), share
