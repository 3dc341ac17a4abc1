"""What a campaign has learned of its evaluations, and the checkpoint from which a driver goes on.

All of it follows from the results in the order of their commits. A checkpoint spares the next
driver being told of them again; it is void where anything but recipe and results has changed.
"""

from __future__ import annotations

import heapq
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from htinvert.campaign.known import ROW, KnownStructures
from htinvert.campaign.plan import Plan
from htinvert.campaign.progress import Progress
from htinvert.config.campaign import TOTAL
from htinvert.core import Candidate, Evaluation, Generator, Keep, weighted_sum
from htinvert.declaration.abilities import LooksAlong, Resumable
from htinvert.metrics.likelihood import as_plain
from htinvert.store import OutOfSpace, RunStore

FORMAT = 4  # of a checkpoint; to be raised with every change of what generators keep
BEST, SAMPLE = 20, 200  # images are kept of this many of the best, and of every 200th


class Knowledge:
    """What follows from the evaluations: known structures, the best so far, generators that know.

    ``structures`` are those known; ``progress`` is kept up with every evaluation.
    """

    def __init__(
        self, plan: Plan, store: RunStore, *, generator: Generator, progress: Progress
    ) -> None:
        search, channels = plan.config.search, plan.recipe.channels
        copies = search.equivalents or ("apart" if channels else "same")
        self.structures = KnownStructures(
            store,
            apart=copies == "apart",
            novelty=search.novelty,
            refits=any(channel.free for channel in channels),
            turn=copies == "same" or not any(isinstance(c.forward, LooksAlong) for c in channels),
        )
        self.progress = progress
        self._plan, self._store = plan, store
        self._generator: Any = generator
        self._best: list[float] = []  # weighted sums of the best, negative, as a heap
        self._last = -1  # the candidate whose evaluation was learned of last

    def replay(self) -> None:
        """Learn all that was committed since the last checkpoint, in that order."""
        self._recall()
        for evaluation in self._store.evaluations(self.progress.evaluated):
            self.structures.propose(evaluation.candidate)
            self.structures.proposed_durably()
            self.learn(evaluation)
            self.save()
        self.progress.refused = Counter(self._store.counts().refused)
        self.progress.improved, self.progress.session = None, 0

    def learn(self, evaluation: Evaluation) -> None:
        """Tell the generators of an evaluation, remember its structures, count it."""
        progress = self.progress
        progress.evaluated += 1
        progress.session += 1
        progress.since_best += 1
        progress.core_seconds += evaluation.seconds
        self._last = evaluation.candidate.index
        progress.improved = None
        self._generator.tell([evaluation])
        progress.duplicates += self.structures.take(evaluation)
        if not evaluation.ok:
            progress.failed += 1
            return
        total = weighted_sum(evaluation.objectives, self._plan.objectives)
        heapq.heappush(self._best, -total)
        if len(self._best) > BEST:
            heapq.heappop(self._best)
        if total < progress.best:
            progress.best, progress.improved, progress.since_best = total, evaluation, 0
        goals = self._plan.config.stop.target
        values = {**evaluation.objectives, TOTAL: total}
        progress.reached |= bool(goals) and all(values[name] <= goals[name] for name in goals)

    def briefed(self, candidate: Candidate) -> Candidate:
        """A candidate whose fits start from what its first parent's ended with."""
        ends = (self.structures.fitted(parent) for parent in candidate.parents)
        start = next((parameters for parameters in ends if parameters is not None), {})
        return replace(candidate, start=start, keep=self.keep(candidate.index))

    def keep(self, index: int) -> Keep | None:
        """Of which results the images are to be kept: the best so far, and every 200th."""
        if not self._plan.recipe.channels:
            return None
        whole = index % SAMPLE == 0 or len(self._best) < BEST
        return Keep(self._plan.objectives, float("inf") if whole else -self._best[0])

    def thinned(self, evaluation: Evaluation) -> Evaluation:
        """The same without images to look at where it is none of the best any more."""
        keep = self.keep(evaluation.candidate.index)
        if not evaluation.signals or keep is None:
            return evaluation
        if weighted_sum(evaluation.objectives, keep.objectives) <= keep.below:
            return evaluation
        exact = {name: evaluation.signals[name] for name in evaluation.exact}
        return replace(evaluation, signals=exact)

    def save(self, *, now: bool = False) -> None:
        """Leave a checkpoint where one is due, so that who resumes need not be told all again."""
        checkpoint, structures = self._store.checkpoint, self.structures
        if not structures.unsaved or not (now or checkpoint.is_due(structures.unsaved)):
            return
        state = self.state()
        if state is None:
            structures.saved()
            return
        with suppress(OSError, OutOfSpace):  # nothing is lost but time
            checkpoint.save(state, structures.rows().tobytes())
            structures.saved()

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint holds besides rows; None where a generator has to be told all."""
        learned = self._generator.state() if isinstance(self._generator, Resumable) else None
        return learned and {
            "terms": self._terms(),
            "told": self.progress.evaluated,
            "last": self._last,
            "progress": self.progress.state(),
            "best": self._best,
            "structures": self.structures.state(),
            "generator": learned,
        }

    def _recall(self) -> None:
        """Know what the driver before knew, where it has left a checkpoint of this campaign."""
        state, rows = self._store.checkpoint.load()
        due = state and state["terms"] == self._terms()
        if not due or self._store.number(state["last"]) != state["told"] - 1:
            self._store.checkpoint.forget()
            return
        self.progress.restore(state["progress"])
        self._best = state["best"]
        self.structures.restore(state["structures"], np.frombuffer(rows, ROW))
        self._generator.restore(state["generator"])

    def _terms(self) -> dict[str, Any]:
        """What a checkpoint depends on besides recipe and results; void where these differ."""
        return {
            "format": FORMAT,
            "run": self._store.run_id,
            "version": version("htinvert"),
            "objectives": [[aim.name, as_plain(aim)] for aim in self._plan.objectives],
            "target": dict(self._plan.config.stop.target),
        }
