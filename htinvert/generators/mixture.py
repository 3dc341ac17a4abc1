"""Several generators in one campaign, each with its share of the proposals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from htinvert.core import Candidate, Evaluation, Exhausted, Generator
from htinvert.declaration.abilities import Resumable


@dataclass
class Mixture:
    """Pass each index to one of the generators, at random by their shares; tell all of them all.

    One that is exhausted leaves its share to the others.
    """

    generators: tuple[Generator, ...]
    shares: tuple[float, ...]
    seed: int
    _spent: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose one candidate per index, each from the generator that the index draws.

        Raises :class:`Exhausted` where all of them are.
        """
        return [candidate for index in indices for candidate in self._propose(index)]

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Tell every generator of every evaluation."""
        evaluations = list(evaluations)
        for generator in self.generators:
            generator.tell(evaluations)

    def state(self) -> list[Any] | None:
        """What each generator needs to be restored; None where one of them must be told all."""
        known = [g for g in self.generators if isinstance(g, Resumable)]
        return [g.state() for g in known] if len(known) == len(self.generators) else None

    def restore(self, state: Sequence[Any]) -> None:
        """Let every generator go on from its state as if all had been told."""
        known: tuple[Any, ...] = self.generators
        for generator, found in zip(known, state, strict=True):
            generator.restore(found)

    def _propose(self, index: int) -> list[Candidate]:
        rng: np.random.Generator | None = None
        while left := [i for i in range(len(self.generators)) if i not in self._spent]:
            chosen = left[0]
            if len(left) > 1:
                rng = rng or np.random.default_rng([self.seed, index, 3])
                shares = np.array([s * (i in left) for i, s in enumerate(self.shares)])
                chosen = int(rng.choice(len(shares), p=shares / shares.sum()))
            try:
                return self.generators[chosen].ask([index])
            except Exhausted as end:
                self._spent[chosen] = str(end)
        raise Exhausted("; ".join(filter(None, self._spent.values())))
