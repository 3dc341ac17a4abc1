"""Several generators in one campaign, each with its share of the proposals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from htinvert.core import Candidate, Evaluation, Generator


@dataclass
class Mixture:
    """Pass each index to one of the generators, at random by their shares; tell all of them all."""

    generators: tuple[Generator, ...]
    shares: tuple[float, ...]
    seed: int

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one candidate per index, each from the generator that the index draws."""
        chances = np.array(self.shares) / sum(self.shares)
        candidates: list[Candidate] = []
        for index in indices:
            rng = np.random.default_rng([self.seed, index, 3])
            chosen = self.generators[int(rng.choice(len(self.generators), p=chances))]
            candidates += chosen.ask([index])
        return candidates

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Tell every generator of every evaluation."""
        evaluations = list(evaluations)
        for generator in self.generators:
            generator.tell(evaluations)
