"""Series of frames with a known answer: a boundary that changes while it is looked at.

Two scans by multislice, before and after the change, are kept as they were before the source blurs
them. Every frame is one of them, blurred, drifted, scanned with jitter and counted anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.core import Floats

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # full width at half maximum in standard deviations


@dataclass(frozen=True)
class Camera:
    """How frames are recorded; lengths in Å unless said otherwise.

    Attributes:
        sampling: pixel size [Å/px].
        shape: of a frame (rows, columns).
        source_size: full width at half maximum.
        peak_counts: electrons in the brightest pixel.
        row_jitter: standard deviation of a row's place [px].
        wander: standard deviation of the drift from frame to frame, along each axis.
        farthest: of the drift from the first frame, along each axis.
    """

    sampling: float = 0.22
    shape: tuple[int, int] = (84, 100)
    source_size: float = 0.9
    peak_counts: float = 200.0
    row_jitter: float = 0.3
    wander: float = 0.25
    farthest: float = 1.2


CAMERA = Camera()


def record_series(
    scans: Mapping[str, NDArray[np.floating]],
    *,
    states: list[str],
    seed: int,
    camera: Camera = CAMERA,
) -> tuple[NDArray[np.uint16], Floats]:
    """Record a frame of each of the ``states``, names of scans, one after the other.

    ``scans`` hold signals, shape (up, across), of a whole period across, and under ``steps`` their
    steps [Å]. Returns counts, shape (t, y, x), and the drift of the picture from the first frame
    on, (down, right) [Å], shape (t, 2).
    """
    rng = np.random.default_rng([seed, 22])
    up, across = (float(step) for step in scans["steps"])
    sigma = camera.source_size / FWHM
    blurred = {
        name: gaussian_filter(scans[name], (sigma / up, sigma / across), mode=("nearest", "wrap"))
        for name in set(states)
    }
    steps = rng.normal(0.0, camera.wander, (len(states), 2))
    steps[0] = 0.0
    drift = _reflected(np.cumsum(steps, axis=0), camera.farthest)
    begin = rng.uniform(0.0, 2.0)
    frames = [
        _frame(blurred[state], (up, across), moved, begin, camera, rng)
        for state, moved in zip(states, drift, strict=True)
    ]
    return np.array(frames), drift


def _reflected(walk: Floats, farthest: float) -> Floats:
    """A walk between two walls."""
    folded = np.mod(walk + farthest, 4.0 * farthest)
    return np.asarray(np.where(folded > 2.0 * farthest, 4.0 * farthest - folded, folded) - farthest)


def _frame(
    signal: NDArray[np.floating],
    steps: tuple[float, float],
    drift: Floats,
    begin: float,
    camera: Camera,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """One frame; row 0 is the top."""
    row, column = np.mgrid[: camera.shape[0], : camera.shape[1]].astype(float)
    jitter = rng.normal(0.0, camera.row_jitter, size=(camera.shape[0], 1))
    x = (column + jitter) * camera.sampling + begin - drift[1]
    height = (0.5 * (camera.shape[0] - 1) - row) * camera.sampling + drift[0]
    place = [height / steps[0] + 0.5 * (signal.shape[0] - 1), x / steps[1]]
    image = map_coordinates(signal, place, order=3, mode="grid-wrap")
    counts = np.clip(image, 0.0, None) / signal.max() * camera.peak_counts
    return np.asarray(rng.poisson(counts), dtype=np.uint16)
