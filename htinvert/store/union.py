"""The results of two runs in one folder: one was begun after the journal of the other was lost.

Those of the archive come first, then those of the journal that the archive does not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from htinvert.core import Candidate
from htinvert.store.record import Row
from htinvert.store.source import Observer, Remains


class Union:
    """What ``first``, an archive, and ``second``, a journal, hold together, each key once.

    A candidate whose index the first has for another is given a new one, and so are parents.
    """

    def __init__(self, first: Remains, second: Remains) -> None:
        self._first, self._second = first, second
        self.folder, self.recipe = first.folder, first.recipe
        self.total = first.total
        self.known = first.known
        self.lost = 0
        self.unknown = first.unknown or second.unknown
        self.notes = [
            "results.zarr and journal.sqlite are of two runs with the same recipe; the results of "
            "both are kept",
            *first.notes,
            *second.notes,
        ]
        self.again: list[tuple[Candidate, bytes]] = []
        self._held: dict[bytes, int] = {}
        self._indices: dict[int, int] = {}
        self.words: dict[str, Any] = {"run_id": first.words.get("run_id")}
        self.words["refused"] = second.words.get("refused", {})

    def close(self) -> None:
        """Let go of the journal."""
        self._first.close()
        self._second.close()

    def rows(self, observer: Observer) -> Iterator[Row]:
        """All rows that can be read of either."""
        for row in self._first.rows(observer):
            self._held[row.key] = row.evaluation.candidate.index
            yield row
        archived = dict(self._held)
        self._indices = self._numbered()
        for row in self._second.rows(observer):
            self._held[row.key] = self._indices[row.evaluation.candidate.index]
            if row.key not in archived:
                candidate = self._renamed(row.evaluation.candidate)
                yield replace(row, evaluation=replace(row.evaluation, candidate=candidate))
        self.again = [(c, key) for c, key in self._first.again if key not in self._held]
        found_again = len(self._first.again) - len(self.again)
        missed = {key for _, key in self.again}.union(self._held)
        gone = sum(key not in missed for key in self._second.dropped())
        self.lost = self._first.lost - found_again + self._second.lost + gone
        self.total = len(self._held) + self.lost
        if self.lost:
            self.notes.append(f"of {self.total} committed results {self.lost} are lost")

    def _numbered(self) -> dict[int, int]:
        """The index that each candidate of the second has here."""
        keys = self._second.keys()
        lost = {candidate.index for candidate, _ in self._first.again}
        taken = {*self._held.values(), *lost}
        free = max([-1, *taken, *(index for index, _ in keys)]) + 1
        found = {}
        known = self._held | {key: candidate.index for candidate, key in self._first.again}
        for index, key in keys:
            if key in known:
                found[index] = known[key]
            elif index not in taken:
                found[index] = index
            else:
                found[index], free = free, free + 1
        tries = self._second.words.get("attempts", [])
        self.words |= {
            "next_index": free,
            "attempts": [(found[i], w) for i, w in tries if i in found],
        }
        return found

    def _renamed(self, candidate: Candidate) -> Candidate:
        parents = tuple(self._indices[p] for p in candidate.parents if p in self._indices)
        return replace(candidate, index=self._indices[candidate.index], parents=parents)

    def pending(self) -> list[tuple[Candidate, bytes]]:
        """Proposals without a result in either; ask after the rows."""
        waiting = [(self._renamed(c), key) for c, key in self._second.pending()]
        return self.again + [(c, key) for c, key in waiting if key not in self._held]
