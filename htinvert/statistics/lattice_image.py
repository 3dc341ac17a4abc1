"""One image of a lattice, as a fit of interactions sees it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.statistics.clusters import Cluster, around, reach
from htinvert.statistics.ising import Spins
from htinvert.statistics.lattice import CERTAIN, Occupations


class LatticeImage:
    """One image with a margin of unseen sites around it, and what the data say of each site."""

    def __init__(
        self,
        image: Occupations,
        interacting: Sequence[Cluster],
        rates: tuple[float, float] | None,
        factor: float,
    ) -> None:
        self.interacting, self.factor = interacting, factor
        self.margin = reach(interacting)
        self.pad = 3 * self.margin  # two of sites that are not seen, one of none
        seen = np.pad(image.seen, self.pad)
        self.spins: Spins = np.pad(image.spins, self.pad)
        complete = around(seen.astype(np.int8), interacting).sum(axis=0)
        self.judged = seen & (complete == sum(map(len, interacting)))
        self.evidence = np.pad(_evidence(image, rates), self.pad)
        self.state = self.spins.copy()

    def inside(self, grid: Spins) -> Spins:
        """A grid without the margin; what is not seen is 0."""
        part = (slice(self.pad, -self.pad),) * 2
        return np.asarray(np.where(self.spins[part] != 0, grid[part], 0), dtype=np.int8)

    def scatter_unseen(self, rng: np.random.Generator) -> None:
        """Give every site but the outermost a spin; those in the image keep the likelier one."""
        random = rng.choice(np.array([-1, 1], dtype=np.int8), self.spins.shape)
        self.state = np.where(self.spins != 0, self.spins, random).astype(np.int8)
        for edge in (slice(None, self.margin), slice(-self.margin, None)):
            self.state[edge] = 0
            self.state[:, edge] = 0

    def design(self, spins: Spins, index: int, images: int) -> NDArray[np.float32]:
        """What each parameter multiplies at each site, shape (p, i, j)."""
        felt = np.float32(self.factor) * around(spins, self.interacting)
        ones = np.zeros((images, *spins.shape), dtype=np.float32)
        ones[index] = 1.0
        return np.concatenate([felt, ones])


def _evidence(image: Occupations, rates: tuple[float, float] | None) -> Floats:
    """Half the log of how much likelier the data are of the second species; 0 where unseen."""
    if rates is None:
        p = np.clip(np.where(image.seen, image.probability, 0.5), CERTAIN, 1.0 - CERTAIN)
        prior = float(np.clip(image.probability[image.seen].mean(), 0.01, 0.99))
        known = 0.5 * (np.log(p / (1.0 - p)) - np.log(prior / (1.0 - prior)))
    else:
        first, second = np.clip(rates, 1e-12, None)
        up = 0.5 * np.log((1.0 - second) / first)
        down = 0.5 * np.log(second / (1.0 - first))
        known = np.where(image.spins > 0, up, down)
    return np.where(image.seen, known, 0.0)
