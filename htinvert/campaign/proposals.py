"""What a campaign proposes: asked of its generators, refused where it is invalid or known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from htinvert.campaign.known import KnownStructures
from htinvert.campaign.plan import Plan
from htinvert.campaign.progress import Progress
from htinvert.campaign.start import start_candidate
from htinvert.core import Candidate, Exhausted, Generator, Infeasible
from htinvert.geometry.distances import clashes
from htinvert.geometry.roles import region_mask
from htinvert.store import RunStore, snap, structure_key

FRUITLESS = 2000  # proposals refused in a row after which there is nothing new to be found


class Proposals:
    """The candidates of a campaign, one after the other, each worth an evaluation.

    The first of them, of index 0, is the start structure, unless it is left out; then come those
    that the plan has to be evaluated first, as far as the store does not know them.

    What is refused is counted by reason, in ``progress`` and in the store.
    """

    def __init__(
        self,
        plan: Plan,
        store: RunStore,
        *,
        generator: Generator,
        structures: KnownStructures,
        progress: Progress,
    ) -> None:
        self._plan, self._store, self._progress = plan, store, progress
        self._generator, self._structures = generator, structures
        self._context = json.dumps(plan.identity, sort_keys=True)
        screen = plan.config.search.screen
        self._tries = screen.tries if screen is not None else 1  # proposals for each index
        self._without = "screened" if screen is not None else "infeasible"  # why there is none
        self._next = store.next_index
        self._given = list(plan.first)
        self._spent = ""  # why nothing more is to be proposed
        self._fruitless: Counter[str] = Counter()  # refused since the last good one, by reason
        self._unsent: set[bytes] = set()  # keys of given structures that the store does not know

    @property
    def end(self) -> str:
        """Why nothing more is proposed, in words; empty where something may be."""
        if self._spent:
            return self._spent
        if self._fruitless.total() < FRUITLESS:
            return ""
        why = ", ".join(f"{count} {reason}" for reason, count in self._fruitless.most_common())
        return f"the last {self._fruitless.total()} proposals were nothing new ({why})"

    def next(self, count: int, *, leave: Callable[[], bool]) -> list[tuple[Candidate, bytes]]:
        """Up to ``count`` candidates with their keys; fewer at the :attr:`end`, or on ``leave``.

        They are to be on disk before the next are asked for: see :meth:`sent`.
        """
        chosen: list[tuple[Candidate, bytes]] = []
        while len(chosen) < count and not self.end and not leave():
            try:
                proposal = self._propose()
            except Exhausted as end:
                self._spent = str(end) or "all that there was to propose is evaluated"
                break
            if proposal is not None:
                self._fruitless.clear()
                chosen.append(proposal)
        return chosen

    def sent(self) -> None:
        """Take note that the store knows all that was proposed."""
        self._unsent.clear()
        self._structures.proposed_durably()

    def repeat(self, candidates: Iterable[Candidate]) -> None:
        """Know candidates that an earlier session has proposed."""
        for candidate in candidates:
            self._structures.propose(candidate)
        self._structures.proposed_durably()

    def adopt(self, candidate: Candidate) -> bytes:
        """Take a candidate of another run over, under its own index; returns its key here."""
        self._structures.propose(candidate)
        self._next = max(self._next, candidate.index + 1)
        return structure_key(candidate.atoms, self._context)

    def _propose(self) -> tuple[Candidate, bytes] | None:
        """Ask for one candidate; refuse it, and count that, where it is invalid or known."""
        index = self._next
        start = start_candidate(self._plan.space, self._plan.config) if index == 0 else None
        given = start or self._first(index)
        candidates = [given] if given else self._generator.ask([index])
        self._next += 1
        operator, reason = "none", self._without
        for candidate in candidates:
            operator = candidate.operator
            try:
                candidate = replace(candidate, atoms=snap(candidate.atoms))
            except Infeasible:
                break
            key = structure_key(candidate.atoms, self._context)
            reason = self._objection(candidate, key)
            if not reason:
                return candidate, key
        self._store.refuse(index, operator, reason)
        self._progress.refused[reason] += 1
        self._fruitless[reason] += self._tries
        return None

    def _first(self, index: int) -> Candidate | None:
        """The next unknown one of those that are evaluated first; None after the last."""
        while self._given:
            candidate = replace(self._given.pop(0), index=index)
            key = structure_key(snap(candidate.atoms), self._context)
            if not self._store.known(key) and key not in self._unsent:
                return candidate
        return None

    def _objection(self, candidate: Candidate, key: bytes) -> str:
        """Why a structure is not worth an evaluation, empty where it is; remembers it if so."""
        atoms, structures = candidate.atoms, self._structures
        if candidate.given:
            if self._store.known(key) or key in self._unsent:
                return "duplicate"
            self._unsent.add(key)
            structures.propose(candidate)
            return ""
        if clashes(atoms, region_mask(atoms), self._plan.space.min_distance):
            return "min_distance"
        if self._store.known(key) or structures.was_proposed(atoms):
            return "duplicate"
        if structures.leads_to_known(atoms):
            return "known_minimum"
        structures.propose(candidate)
        return ""
