"""Structural similarity of two images in the two definitions that are in circulation.

Wang et al., IEEE Trans. Image Process. 13, 600 (2004): means, variances and the covariance (of a
sample: n - 1) over a uniform window, K1 = 0.01, K2 = 0.03, averaged where the window fits inside.
A value means nothing without its definition: 0.82 in one can be 0.71 in the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from htinvert.core import EvaluationFailed, Reals
from htinvert.metrics.linear import gain_of
from htinvert.metrics.patch import window

Moments = tuple[Reals, Reals]

_K1, _K2 = 0.01, 0.03


@dataclass(frozen=True)
class SsimDefinition:
    """A window [px], the range that an image is scaled to, and whether to whole numbers."""

    window: int
    data_range: float
    quantized: bool


SSIM_DEFINITIONS: Mapping[str, SsimDefinition] = MappingProxyType(
    {
        "float7": SsimDefinition(window=7, data_range=1.0, quantized=False),
        "uint8-35": SsimDefinition(window=35, data_range=255.0, quantized=True),
    }
)


def ssim(
    first: NDArray[np.floating], second: NDArray[np.floating], *, definition: str = "float7"
) -> float:
    """Structural similarity [1] of two images of one shape (ny, nx), 1 for identical ones.

    Args:
        first: an image, at least as large as the window in both directions.
        second: another of the same shape.
        definition: "float7" (scaled to [0, 1], 7 px; as scikit-image with ``data_range=1``) or
            "uint8-35" (scaled to whole numbers 0 to 255, 35 px).

    Raises:
        EvaluationFailed: where an image is constant or not finite.
        ValueError: where shapes differ, an image is too small or the definition is unknown.
    """
    chosen = ssim_definition(definition)
    if first.shape != second.shape:
        raise ValueError(f"image shapes {first.shape} and {second.shape} differ; crop one of them")
    if min(first.shape) < chosen.window:
        raise ValueError(
            f"image shape {first.shape} is smaller than the {chosen.window} px window of SSIM "
            f'"{definition}"; take a larger image or another definition'
        )
    return _similarity(_scaled(first, chosen), _scaled(second, chosen), chosen)


def ssim_definition(name: str) -> SsimDefinition:
    """The definition called ``name``. Raises ValueError for an unknown name."""
    if name not in SSIM_DEFINITIONS:
        known = ", ".join(SSIM_DEFINITIONS)
        raise ValueError(f'SSIM definition "{name}" is unknown; choose one of {known}')
    return SSIM_DEFINITIONS[name]


def _scaled(image: NDArray[np.floating], definition: SsimDefinition) -> Reals:
    """The image with its extremes at 0 and the data range."""
    data = np.asarray(image, dtype=np.float64)
    low, high = float(data.min()), float(data.max())
    if not np.isfinite(high - low):
        raise EvaluationFailed("image holds numbers that are not finite")
    if high <= low:
        raise EvaluationFailed(f"image is constant ({low:g}); its similarity is undefined")
    scaled = (data - low) * (definition.data_range / (high - low))
    return np.floor(scaled) if definition.quantized else scaled


def _similarity(first: Reals, second: Reals, definition: SsimDefinition) -> float:
    """Mean of the local similarity over all windows inside the images."""
    moments1, moments2 = (local_moments(image, definition.window) for image in (first, second))
    product = box_mean(first * second, definition.window)
    return _mean_similarity(moments1, moments2, product, definition)


def ssim_map(
    first: NDArray[np.floating], second: NDArray[np.floating], *, definition: str = "float7"
) -> Reals:
    """Local similarity [1] of each window inside two images, of which :func:`ssim` is the mean.

    Shape (ny - window + 1, nx - window + 1); raises as :func:`ssim` does for what is no image.
    """
    chosen = ssim_definition(definition)
    images = _scaled(first, chosen), _scaled(second, chosen)
    moments1, moments2 = (local_moments(image, chosen.window) for image in images)
    product = box_mean(images[0] * images[1], chosen.window)
    return _local_similarity(moments1, moments2, product, chosen)


def _mean_similarity(
    first: Moments, second: Moments, product: Reals, definition: SsimDefinition
) -> float:
    """Mean of the local similarity [1] over all windows."""
    return float(np.mean(_local_similarity(first, second, product, definition), dtype=np.float64))


def _local_similarity(
    first: Moments, second: Moments, product: Reals, definition: SsimDefinition
) -> Reals:
    """Local similarity [1], eq. 13, from local moments and the local mean product."""
    (mean1, variance1), (mean2, variance2) = first, second
    c1, c2 = (_K1 * definition.data_range) ** 2, (_K2 * definition.data_range) ** 2
    means = mean1 * mean2
    structure = product - means
    structure *= 2 * _sample_factor(definition.window)
    structure += c2
    means *= 2
    means += c1
    means *= structure
    brightness = mean1**2
    brightness += mean2**2
    brightness += c1
    contrast = variance1 + variance2
    contrast += c2
    brightness *= contrast
    means /= brightness
    return means


def local_moments(image: Reals, size: int) -> Moments:
    """Mean and sample variance over each size x size window inside ``image``."""
    mean = box_mean(image, size)
    return mean, (box_mean(image**2, size) - mean**2) * _sample_factor(size)


def box_mean(image: Reals, size: int) -> Reals:
    """Mean over each size x size window inside ``image``."""
    ny, nx = image.shape
    sums = _sums(_sums(image.ravel(), size, step=nx), size, step=1)
    # Rows lie nx apart; sums that run over a row's end are left out.
    shape, strides = (ny - size + 1, nx - size + 1), (nx * sums.itemsize, sums.itemsize)
    return np.asarray(as_strided(sums, shape, strides) * sums.dtype.type(1 / size**2))


def _sums(values: Reals, count: int, *, step: int) -> Reals:
    """Sums of each ``count`` values ``step`` apart, put together from those of 1, 2, 4, ..."""
    size = len(values) - (count - 1) * step
    total, run, span, done = np.zeros(size, values.dtype), values, 1, 0
    while True:
        if count & span:
            total += run[done * step : done * step + size]
            done += span
        if done == count:
            return total
        run = run[: -span * step] + run[span * step :]
        span *= 2


def _sample_factor(size: int) -> float:
    """Turn a variance over the n pixels of a window into that of a sample: n / (n - 1)."""
    return size**2 / (size**2 - 1)


class PatchSimilarity:
    """SSIM [1] of one simulated image with many patches of an observed one, to 1e-6 and quick.

    Scaling a patch by its extremes only shifts and scales its local moments, so those of the whole
    observed image serve all patches. Whole-number definitions have no such short cut.
    """

    def __init__(
        self,
        simulated: NDArray[np.floating],
        observed: Reals,
        moments: Moments,
        *,
        definition: str,
        matched: bool = False,
    ) -> None:
        """Take the observed image, shape (H, W), and its :func:`local_moments`, all float32.

        ``matched``: the simulation is not scaled by its own extremes but brought to each patch by
        the gain and offset of least squares, and both are scaled by the patch's extremes.
        """
        self._definition = ssim_definition(definition)
        self._matched = matched
        self._simulated = single(_scaled(simulated, self._definition))
        self._own = local_moments(self._simulated, self._definition.window)
        self._observed, self._moments = observed, moments

    def at(self, row: int, column: int) -> float:
        """SSIM with the patch whose top-left is at (row, column) [px].

        Raises:
            EvaluationFailed: where the patch is constant.
        """
        ny, nx = self._simulated.shape
        size = self._definition.window
        patch = self._observed[window((row, column), (ny, nx))]
        if self._definition.quantized:
            scaled = single(_scaled(patch, self._definition))
            moments = local_moments(scaled, size)
        else:
            low, high = float(patch.min()), float(patch.max())
            if high <= low:
                raise EvaluationFailed("patch of the observed image is constant")
            gain = self._definition.data_range / (high - low)
            inner = window((row, column), (ny - size + 1, nx - size + 1))
            scaled = single(patch - np.float32(low))
            scaled *= gain
            mean = self._moments[0][inner] - np.float32(low)
            mean *= gain
            moments = mean, self._moments[1][inner] * gain**2
        simulated, own = self._brought_to(scaled) if self._matched else (self._simulated, self._own)
        product = box_mean(simulated * scaled, size)
        return _mean_similarity(own, moments, product, self._definition)

    def _brought_to(self, patch: Reals) -> tuple[Reals, Moments]:
        """The simulation with the gain and offset closest to a scaled patch, and its moments."""
        mean = self._simulated.mean(dtype=np.float64)
        centered = self._simulated - np.float32(mean)
        gain = np.float32(max(gain_of(centered, patch), 0.0))
        image = gain * centered + np.float32(patch.mean(dtype=np.float64))
        if self._definition.quantized:
            image = np.floor(np.clip(image, 0.0, self._definition.data_range))
            return image, local_moments(image, self._definition.window)
        offset = image.flat[0] - gain * self._simulated.flat[0]
        return image, (gain * self._own[0] + offset, gain**2 * self._own[1])


def single(image: Reals) -> NDArray[np.float32]:
    """The image in single precision."""
    return image.astype(np.float32, copy=False)
