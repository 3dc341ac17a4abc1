"""Whether the best match is the right one, or none of the library is.

Thickness and brightness differ from place to place, so each place is compared with a gain and
offset of its own, and the image's own noise does not count as unexplained. What a right structure
then leaves is little, much the same everywhere; a wrong one fits in one grain and fails in the
other, or at the boundary. How the limits were chosen: docs/matching.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from htinvert.core import Floats
from htinvert.matching.pose import FittedPose

WINDOW = 14.0  # Å: side of the places that are looked at, a few columns
SMOOTH = 0.3  # Å: noise from pixel to pixel counts little
RESAMPLED = 0.4  # of a pixel: the Gaussian that an image is resampled with, matching.target
UNEVEN = 0.11  # unexplained share of a bad place (98th percentile) less that of a good one (20th)
WORSE = 3.0  # and at least this many times as much; the renderer's errors are everywhere
NOWHERE = 0.5  # unexplained share of a good place beyond which the fit is bad everywhere


@dataclass(frozen=True)
class Verdict:
    """Whether none of the candidates is what the image shows, and the numbers that say so.

    ``good`` and ``bad`` are the shares of the image's variance that the best candidate leaves
    unexplained beyond its noise where it fits well and where it does not: the 20th and 98th
    percentile of places.
    """

    none_of_these: bool
    good: float
    bad: float

    @property
    def even(self) -> bool:
        """Whether the best explains the image so evenly that no other place need be looked for."""
        return not self.none_of_these and self.bad - self.good < UNEVEN / 2

    @property
    def reason(self) -> str:
        """What speaks against the best candidate."""
        if self.good > NOWHERE:
            return f"the best leaves {100 * self.good:.0f} % of the image unexplained everywhere"
        return (
            f"the best leaves {100 * self.bad:.0f} % of the image unexplained in one place, its "
            f"noise apart, and {100 * self.good:.0f} % in others"
        )


def judge(fitted: FittedPose, sampling: float, *, noise: float) -> Verdict:
    """Judge the best fit.

    Args:
        fitted: in square pixels.
        sampling: their size [Å].
        noise: variance of the image's white noise times the area of its own pixels [Å²].
    """
    left, variance, mean, _ = _unexplained(fitted, sampling)
    left -= _noise_share(left, variance, mean, noise / _averaged(sampling))
    good, bad = np.percentile(left, (20, 98))
    good = max(float(good), 0.0)
    uneven = bad - good > UNEVEN and bad > WORSE * good
    none = bool(uneven or good > NOWHERE)
    return Verdict(none, good, float(bad))


def best_part(fitted: FittedPose, sampling: float, *, side: float) -> Floats:
    """Middle, (right, down) [Å] from the image's, of the square part that is explained best.

    Of a bicrystal that is one column off that is the middle of one grain.
    """
    left, _, _, edge = _unexplained(fitted, sampling)
    size = min(round(side / sampling), *left.shape)
    means = uniform_filter(left, size, mode="nearest")
    within = tuple(slice(size // 2, n - (size - 1) // 2) for n in left.shape)
    at = np.unravel_index(int(np.argmin(means[within])), means[within].shape)
    half = (np.array(fitted.observed.shape) - 1) / 2
    place = np.array(at) + size // 2 + edge - half
    return np.asarray(fitted.region.middle + place[::-1] * sampling)


def _unexplained(fitted: FittedPose, sampling: float) -> tuple[Floats, Floats, Floats, int]:
    """Of each place: the share of its variance that is not explained, that variance, its mean.

    Also how many pixels at each edge are no place's middle and left out.
    """
    observed, simulated = (
        gaussian_filter(image, SMOOTH / sampling) for image in (fitted.observed, fitted.simulated)
    )
    size = max(3, round(min(WINDOW / sampling, min(observed.shape) / 3)))
    mean, other = uniform_filter(observed, size), uniform_filter(simulated, size)
    variance = uniform_filter(observed**2, size) - mean**2
    its = uniform_filter(simulated**2, size) - other**2
    common = np.maximum(uniform_filter(observed * simulated, size) - mean * other, 0.0)
    floor = 1e-9 * max(float((variance * its).max()), 1e-300)
    unexplained = 1 - common**2 / np.maximum(variance * its, floor)
    edge = slice(size // 2, -(size // 2))
    left, variance, mean = (part[edge, edge] for part in (unexplained, variance, mean))
    return left, variance, mean, size // 2


def _averaged(sampling: float) -> float:
    """Area [Å²] over which noise is averaged in pixels of ``sampling`` [Å] that are smoothed.

    That of two Gaussians: the one here and the one before resampling, whatever the size of the
    image's own pixels.
    """
    return float(4 * np.pi * (SMOOTH**2 + (RESAMPLED * sampling) ** 2))


def _noise_share(unexplained: Floats, variance: Floats, mean: Floats, noise: float) -> Floats:
    """The share of each place's variance that noise of that variance makes.

    The noise of counts grows with their mean. Noise that is not white is overrated where it is
    measured: never more of it than good places leave unexplained.
    """
    level = float(mean.mean())
    brighter = np.clip(mean / level, 0.2, 5.0) if level > 0 and mean.min() >= 0 else 1.0
    share = np.minimum(noise * brighter / np.maximum(variance, 1e-300), 1.0)
    if noise <= 0 or not share.any():
        return np.zeros_like(unexplained)
    return np.asarray(share * min(1.0, float(np.percentile(unexplained / share, 20))))
