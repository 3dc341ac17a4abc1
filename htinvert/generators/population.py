"""The best unlike structures known so far, which several generators breed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from htinvert.geometry import LIKE, difference, fingerprint


@dataclass(frozen=True, eq=False)
class Member:
    """An evaluated structure: its candidate's index, relaxed atoms, weighted sum (low is good)."""

    index: int
    atoms: Atoms
    value: float


class Population:
    """At most ``size`` members, sorted by value, no two of them alike."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.members: list[Member] = []
        self._fingerprints: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.members)

    def add(self, member: Member) -> bool:
        """Let a member in; of two alike ones the better stays. Returns whether it is in."""
        if len(self.members) >= self.size and member.value >= self.members[-1].value:
            return False
        vector = fingerprint(member.atoms)
        alike = [
            i for i, known in enumerate(self._fingerprints) if difference(known, vector) < LIKE
        ]
        if any(self.members[i].value <= member.value for i in alike):
            return False
        for i in reversed(alike):
            del self.members[i], self._fingerprints[i]
        place = int(np.searchsorted([known.value for known in self.members], member.value))
        self.members.insert(place, member)
        self._fingerprints.insert(place, vector)
        del self.members[self.size :], self._fingerprints[self.size :]
        return True

    def tournament(self, rounds: int, rng: np.random.Generator) -> Member:
        """Draw ``rounds`` members at random and return the best of them."""
        return self.members[int(rng.integers(len(self.members), size=rounds).min())]
