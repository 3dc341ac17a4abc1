"""A generator whose proposals are a list: each once, then nothing more."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Exhausted, Space, UserError


class Listed(ABC):
    """Propose structures of a list that were not evaluated, so that others go on from there."""

    operator: ClassVar[str]

    @abstractmethod
    def structures(self) -> Iterable[Atoms]:
        """All of the list, in the order in which they are to be proposed."""

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        """Propose the next ones; raises :class:`Exhausted` when there are no more."""
        found = [
            Candidate(index, atoms, self.operator)
            for index, atoms in zip(indices, self._left, strict=False)
        ]
        if indices and not found:
            raise Exhausted
        return found

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember what was evaluated, so that a resumed campaign goes on after it."""
        told = (one.candidate for one in evaluations)
        self._told.update(_key(one.atoms) for one in told if one.operator == self.operator)

    def state(self) -> list[str]:
        """What was evaluated, for :meth:`restore`."""
        return sorted(self._told)

    def restore(self, state: Sequence[str]) -> None:
        """Go on after what a :meth:`state` says was evaluated."""
        self._told = set(state)

    @cached_property
    def _told(self) -> set[str]:
        return set()

    @cached_property
    def _left(self) -> Iterator[Atoms]:
        return self._untold()

    def _untold(self) -> Iterator[Atoms]:
        for atoms in self.structures():
            if _key(atoms) not in self._told:
                yield atoms


def require_atoms(space: Space, name: str) -> None:
    """Raise :class:`UserError` where the generator of this name has no atoms to put anywhere."""
    if not space.puts_atoms:
        raise UserError(
            f"{name} has no atoms to propose; give composition, or leave {name} out of "
            "search.generators"
        )


def _key(atoms: Atoms) -> str:
    """What tells structures apart, to 1e-4 Å."""
    digest = hashlib.sha256(atoms.numbers.tobytes() + np.round(atoms.positions, 4).tobytes())
    return digest.hexdigest()[:32]
