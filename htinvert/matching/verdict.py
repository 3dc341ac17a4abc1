"""Whether the best match is the right one, or none of the library is.

Thickness and brightness differ from place to place, so each place is compared with a gain and
offset of its own. What a right structure then leaves of the image is noise, much the same
everywhere; a wrong one fits in one grain and fails in the other, or at the boundary. How the limits
were chosen: docs/matching.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter

from htinvert.matching.pose import FittedPose

WINDOW = 14.0  # Å: side of the places that are looked at, a few columns
SMOOTH = 0.3  # Å: noise from pixel to pixel does not count
UNEVEN = 0.11  # unexplained share of a bad place (98th percentile) less that of a good one (20th)
WORSE = 3.0  # and at least so many times as much; noise and the renderer's errors are everywhere
NOWHERE = 0.5  # unexplained share of a good place beyond which the fit is bad everywhere


@dataclass(frozen=True)
class Verdict:
    """Whether none of the candidates is what the image shows, and the numbers that say so.

    ``good`` and ``bad`` are the shares of the image's variance that the best candidate leaves
    unexplained where it fits well and where it does not: the 20th and 98th percentile of places.
    """

    none_of_these: bool
    good: float
    bad: float

    @property
    def reason(self) -> str:
        """What speaks against the best candidate."""
        if self.good > NOWHERE:
            return f"the best leaves {100 * self.good:.0f} % of the image unexplained everywhere"
        return (
            f"the best leaves {100 * self.bad:.0f} % of the image unexplained in one place and "
            f"{100 * self.good:.0f} % in others"
        )


def judge(fitted: FittedPose, sampling: float) -> Verdict:
    """Judge the best fit; ``sampling`` is the pixel size of its images [Å]."""
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
    edge = size // 2
    good, bad = np.percentile(unexplained[edge:-edge, edge:-edge], (20, 98))
    uneven = bad - good > UNEVEN and bad > WORSE * good
    none = bool(uneven or good > NOWHERE)
    return Verdict(none, float(good), float(bad))
