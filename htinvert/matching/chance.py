"""How well a structure that an image does not show correlates with it, by chance.

Decoys are the structure itself, distorted by far more than a scan distorts, at turns spread over
the circle: as many columns, as bright, of a lattice that is not the image's. Each is placed and
fitted as the structure is. The largest of many correlations follows Gumbel's distribution (Gumbel,
*Statistics of Extremes*, 1958, section 5.2), whose two parameters the decoys' mean and spread give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from htinvert.core import EvaluationFailed, Signal
from htinvert.matching.pose import Pose, Renderer, place, refine

DECOYS = 20
RARE = 1e-4  # how often chance may do as well as what is called found
TRIED = 20  # poses of a structure that are placed, about
LEAST_SPREAD = 0.004  # of the decoys' correlations: few of them do not tell a smaller one
GOLDEN = 0.618034
STRETCHES = (0.20, 0.34)  # of the logarithm of a decoy's stretch, along one side and back
SHEAR = 0.3  # most of a decoy's
_EULER = 0.577216


@dataclass(frozen=True)
class Chance:
    """Correlations of decoys: their mean, standard deviation and largest.

    ``level`` is what chance reaches once in ten thousand searches.
    """

    mean: float
    spread: float
    largest: float

    @property
    def level(self) -> float:
        """Correlation below which what was found means nothing, at most 0.9."""
        scale = max(self.spread, LEAST_SPREAD) * np.sqrt(6) / np.pi
        usual = self.mean - _EULER * scale
        rare = usual + scale * np.log(TRIED / RARE)
        return float(min(max(rare, 1.2 * self.largest), 0.9))

    @classmethod
    def of(cls, correlations: Sequence[float]) -> Chance:
        """Of the decoys' correlations."""
        values = np.asarray(correlations, dtype=float)
        return cls(float(values.mean()), float(values.std(ddof=1)), float(values.max()))


def decoy_poses(count: int = DECOYS) -> Iterator[Pose]:
    """Poses in which a lattice is not itself, evenly spread; the same ones always."""
    low, high = STRETCHES
    for number in range(count):
        part, other, third = (((number + 1) * GOLDEN**power) % 1 for power in (1, 2, 3))
        stretch = np.exp((low + (high - low) * part) * (1 if number % 2 else -1))
        bent = np.array([[1.0, SHEAR * (2 * other - 1)], [0.0, 1.0]])
        turn = Pose.turned(360 * ((number + third) / count), 1.0).matrix
        yield Pose(np.diag([stretch, 1 / stretch]) @ bent @ turn, np.zeros(2))


def chance(candidates: Sequence[Renderer], image: Signal, *, half: float) -> Chance:
    """Place and fit decoys of the candidates in an image, ``half`` [Å] to each side compared."""
    found = []
    for number, pose in enumerate(decoy_poses()):
        candidate = candidates[number % len(candidates)]
        placed = place(candidate, pose, image, half=half)[0]
        try:
            fitted = refine(candidate, placed.pose, image, half=half, iterations=5)
        except (EvaluationFailed, ValueError):  # fitted beyond what a model may be distorted
            found.append(placed.correlation)
        else:
            found.append(max(placed.correlation, fitted.correlation))
    return Chance.of(found)
