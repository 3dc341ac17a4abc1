"""What an image says of a structure, beyond one number: costs by pixel, windows, noise, repeats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import EvaluationFailed, Floats, Metric, Signal
from htinvert.declaration.abilities import Structural
from htinvert.metrics.correlation import normalized_cross_correlation
from htinvert.metrics.linear import gain_and_offset
from htinvert.metrics.patch import window
from htinvert.metrics.ssim import ssim_map

WINDOW = 3.0  # Å, about the distance of atomic columns; never below two windows of SSIM
WINDOW_PIXELS = 14
CLOSEST_REPEAT = 2.0  # Å
FEW = 8  # px along an axis of the spectrum, of whom a corner is 64 numbers
MIDDLE = 0.6745  # of absolute values of standard normal numbers


def window_numbers(shape: tuple[int, ...], sampling: tuple[float, ...]) -> NDArray[np.intp]:
    """Number of the square window that each pixel of an image of ``shape`` belongs to.

    Windows are some 3 Å wide, about the distance of atomic columns, and never below 14 px.
    """
    side = max(WINDOW_PIXELS, round(WINDOW / min(sampling)))
    bands = []
    for size in shape:
        count = max(size // side, 1)
        lengths = [len(part) for part in np.array_split(np.arange(size), count)]
        bands.append(np.repeat(np.arange(count), lengths))
    rows, columns = bands
    return np.asarray(rows[:, None] * (columns[-1] + 1) + columns, dtype=np.intp)


def local_costs(metric: Metric, simulated: NDArray[np.floating], patch: Floats) -> Floats:
    """Cost of each pixel or window [1] of two images of one shape, at the place where they are."""
    image: Floats = np.asarray(simulated, dtype=np.float64)
    if isinstance(metric, Structural):
        if metric.intensity == "matched":
            gain, offset = gain_and_offset(image, patch)
            image = gain * image + offset
        share = float(metric.beta)
        return share * (1.0 - np.asarray(ssim_map(image, patch), dtype=np.float64))
    return 0.5 * (_unit(image) - _unit(patch)) ** 2  # its mean is 1 less the correlation


def noise_level(image: NDArray[np.floating]) -> float:
    """Standard deviation of an image's white noise, from the corners of its spectrum.

    There, beyond 0.9 of the Nyquist frequency along both axes (0.8 in images below 80 px), hardly
    any probe passes anything. The spectrum is the cosine transform, whose mirrored images have no
    jump at their edges, so that nothing is tapered and every pixel's noise counts alike: that of
    counts is where the atoms are.
    """
    data = np.asarray(image, dtype=float)
    far = [max(n // 10, min(FEW, n // 5)) for n in data.shape]
    corner = fft.dctn(data, norm="ortho")[-far[0] :, -far[1] :] if all(far) else np.empty(0)
    return float(np.median(np.abs(corner)) / MIDDLE) if corner.size else 0.0


def repeat_cost(metric: Metric, observed: Signal) -> float | None:
    """Cost of the image's middle against its own lattice repeat, both noisy; None without one.

    The repeat is the best correlated patch more than 2 Å away from where the middle was cut.
    """
    ny, nx = observed.data.shape
    height, width = ny // 2, nx // 2
    top, left = (ny - height) // 2, (nx - width) // 2
    middle = observed.data[window((top, left), (height, width))]
    ncc = normalized_cross_correlation(middle, observed.data).astype(float)
    row, column = np.indices(ncc.shape)
    away = np.hypot((row - top) * observed.sampling[0], (column - left) * observed.sampling[1])
    ncc[away < CLOSEST_REPEAT] = -2.0
    best = np.unravel_index(int(np.argmax(ncc)), ncc.shape)
    if ncc[best] < 0.3:
        return None
    other = observed.data[window((int(best[0]), int(best[1])), (height, width))]
    try:
        return float(local_costs(metric, middle, other.astype(float)).mean())
    except (EvaluationFailed, ValueError):
        return None


def _unit(data: Floats) -> Floats:
    """Zero mean and unit variance."""
    centered = data - data.mean()
    return np.asarray(centered / max(float(centered.std()), 1e-300))
