"""Random structures: the baseline every search has to beat, and where the others start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htinvert.core import Candidate, Evaluation, Infeasible, Objective, Space
from htinvert.generators.operators import random_structure


@dataclass
class Random:
    """Fill the region at random, each candidate independent of all others.

    ``blocked`` counts, by the sentence that says which constraint it was, the indices that came to
    nothing.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23, 053201 (2011), "
        "doi:10.1088/0953-8984/23/5/053201.",
    )

    space: Space
    objectives: tuple[Objective, ...]
    seed: int

    def __post_init__(self) -> None:
        self.blocked: Counter[str] = Counter()

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one random structure per index."""
        candidates = []
        for index in indices:
            rng = np.random.default_rng([self.seed, index])
            try:
                atoms = random_structure(self.space, rng=rng)
            except Infeasible as reason:
                self.blocked[str(reason)] += 1
                continue
            candidates.append(Candidate(index, atoms, "random"))
        return candidates

    def state(self) -> None:
        """Nothing to remember."""

    def restore(self, state: None) -> None:
        """Nothing to remember."""

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Nothing to learn: the candidates are independent."""
