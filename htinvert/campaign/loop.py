"""A campaign: ask, evaluate, commit, tell, until a stop rule is met; the same call resumes."""

from __future__ import annotations

import heapq
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from htinvert.campaign.fork import Fork
from htinvert.campaign.funnel import sources
from htinvert.campaign.interrupt import interruptible
from htinvert.campaign.memory import ROW, Memory, terms
from htinvert.campaign.plan import Plan, provenance
from htinvert.campaign.progress import GOES_ON, Progress
from htinvert.campaign.resume import calibration, parameters, resumed, write_config
from htinvert.cluster.connect import open_pool
from htinvert.cluster.needs import require_room
from htinvert.config.campaign import TOTAL
from htinvert.core import (
    Candidate,
    Evaluation,
    Exhausted,
    Generator,
    Infeasible,
    Keep,
    region_mask,
    weighted_sum,
)
from htinvert.geometry.distances import clashes
from htinvert.pool.here import Pool
from htinvert.store import OutOfSpace, Run, snap, structure_key

FRUITLESS = 2000  # proposals refused in a row after which there is nothing new to be found
STOP = "stop"  # a file in the run's folder that ends the campaign when it appears
SPACE_SECONDS = 600.0  # how long to wait for a full disk before giving up
BEST, SAMPLE = 20, 200  # images are kept of so many of the best, and of every so many-th
TICK = 1.0  # s, how long to wait for a result before looking at the clock and for signals


Observer = Callable[[Progress], None]


def run(
    plan: Plan, path: Path, *, observer: Observer | None = None, fork: Path | None = None
) -> Progress:
    """Run or resume a campaign in the folder ``path`` until it stops; returns how it ended.

    Candidates of the run ``fork`` are taken over first, as far as its stages hold.

    SIGINT, SIGTERM, SIGHUP and SIGUSR1 end it cleanly: what was evaluated is committed and folded.
    Raises :class:`htinvert.core.UserError` where the folder belongs to another recipe or driver.
    """
    require_room(plan.config, plan.folder)
    plan = resumed(plan.calibrated(calibration(plan, path)), path)
    facts = provenance() | {
        "calibration": parameters(plan),
        "stages": sources(plan.config, path),
        "folder": os.path.relpath(plan.folder, path),
    }
    older = Fork(fork, plan) if fork is not None else None
    if older is not None:
        facts |= {"fork": {"run_id": older.run_id, "same": sorted(older.same)}}
    with (
        Run.create_or_open(path, recipe=plan.identity, provenance=facts) as store,
        interruptible() as interrupted,
    ):
        write_config(plan, path)
        campaign = Campaign(plan, store, observer or _ignore)
        campaign.replay()
        if older is not None or not campaign.finished():
            start = plan.space.template
            with open_pool(plan.config, plan.recipe, start, base=plan.folder, folder=path) as pool:
                campaign.go(pool, interrupted, older)
        campaign.save(now=True)
        store.event(event="stopped", reason=campaign.progress.reason)
        return campaign.progress


class Campaign:
    """The loop between generators, workers and store."""

    def __init__(self, plan: Plan, store: Run, observer: Observer) -> None:
        self.plan = plan
        self.store = store
        self.progress = Progress()
        self._observer = observer
        self._generator: Generator = plan.generator()
        self._context = json.dumps(plan.identity, sort_keys=True)
        search = plan.config.search
        copies = search.equivalents or ("apart" if plan.recipe.channels else "same")
        self._memory = Memory(
            store,
            apart=copies == "apart",
            novelty=search.novelty,
            refits=any(channel.free for channel in plan.recipe.channels),
        )
        self._next = store.next_index
        self._last = -1  # the candidate whose evaluation was learned of last
        self._fruitless = 0
        self._refusals: Counter[str] = Counter()  # of the fruitless ones, by reason
        self._unsent: set[bytes] = set()  # keys of given structures that the store does not know
        self._spent = False  # all there is to propose was proposed
        self._start = monotonic()
        self._interrupted = threading.Event()
        self._best: list[float] = []  # weighted sums of the best, negative, as a heap

    def replay(self) -> None:
        """Tell the generators all that was committed since the last checkpoint, in that order."""
        self._recall()
        for evaluation in self.store.evaluations(self.progress.evaluated):
            self._memory.proposed.add(evaluation.candidate.atoms)
            self._learn(evaluation)
            self.save()
        self.progress.refused = Counter(self.store.counts().refused)
        self.progress.improved, self.progress.session = None, 0
        self._observer(self.progress)

    def _recall(self) -> None:
        """Know what the driver before knew, where it has left a checkpoint of this campaign."""
        state, rows = self.store.checkpoint.load()
        due = state and state["terms"] == terms(self.plan, self.store.run_id)
        if not due or self.store.number(state["last"]) != state["told"] - 1:
            self.store.checkpoint.forget()
            return
        self.progress.restore(state["progress"])
        self._best = state["best"]
        self._memory.restore(state["memory"], np.frombuffer(rows, ROW))
        restored: Any = self._generator
        restored.restore(state["generator"])

    def save(self, *, now: bool = False) -> None:
        """Leave a checkpoint where one is due, so that who resumes need not be told all again."""
        checkpoint, memory = self.store.checkpoint, self._memory
        if not memory.unsaved or not (now or checkpoint.is_due(memory.unsaved)):
            return
        state = self.state()
        if state is None:
            memory.saved()
            return
        with suppress(OSError):  # nothing is lost but time
            checkpoint.save(state, memory.rows().tobytes())
            memory.saved()

    def state(self) -> dict[str, Any] | None:
        """What a checkpoint holds besides rows; None where a generator has to be told all."""
        learned = getattr(self._generator, "state", lambda: None)()
        return learned and {
            "terms": terms(self.plan, self.store.run_id),
            "told": self.progress.evaluated,
            "last": self._last,
            "progress": self.progress.state(),
            "best": self._best,
            "memory": self._memory.state(),
            "generator": learned,
        }

    def go(self, pool: Pool, interrupted: threading.Event, older: Fork | None = None) -> None:
        """Keep the pool busy until a stop rule is met or a signal comes."""
        self._interrupted = interrupted
        if older is not None:
            self._inherit(pool, older)
        pending = self.store.pending()
        for candidate in pending:
            self._memory.proposed.add(candidate.atoms)
        pool.submit([self._warm(candidate) for candidate in pending])
        asked = self.store.path / STOP
        asked.unlink(missing_ok=True)  # of an earlier session
        while not interrupted.is_set():
            if asked.exists():
                asked.unlink()
                self.progress.reason = f"asked to stop; {GOES_ON}"
                return
            if self.finished() or (self._exhausted() and not pool.busy()):
                return
            self._fill(pool)
            self._take(pool.collect(TICK))
            self._report(pool.news())
        self.progress.reason = f"interrupted; {GOES_ON}"
        self._observer(self.progress)

    def _inherit(self, pool: Pool, older: Fork) -> None:
        """Take over an older run: what holds of each candidate is not evaluated again."""
        for candidate, known in older:
            if self._interrupted.is_set():
                return
            if self.store.has_result(candidate.index):
                continue
            key = structure_key(candidate.atoms, self._context)
            self._durably(partial(self.store.propose, [(candidate, key)]))
            self._memory.proposed.add(candidate.atoms)
            self._next = max(self._next, candidate.index + 1)
            if known is not None:
                self._take([known])
                continue
            while pool.room() < 1:
                self._take(pool.collect(TICK))
            pool.submit([replace(candidate, keep=self._keep(candidate.index))])
        while pool.busy() and not self._interrupted.is_set():
            self._take(pool.collect(TICK))

    def finished(self) -> bool:
        """Whether a stop rule is met; its reason is then in the progress."""
        stop, progress = self.plan.config.stop, self.progress
        minutes = (monotonic() - self._start) / 60
        if stop.evaluations is not None and progress.evaluated >= stop.evaluations:
            progress.reason = f"{stop.evaluations} evaluations are done"
        elif stop.minutes is not None and minutes >= stop.minutes:
            progress.reason = f"{stop.minutes:g} minutes are over"
        elif stop.core_seconds is not None and progress.core_seconds >= stop.core_seconds:
            progress.reason = f"evaluations took {stop.core_seconds:g} core-seconds"
        elif stop.patience is not None and progress.since_best >= stop.patience:
            progress.reason = f"no improvement in {stop.patience} evaluations"
        elif progress.reached:
            goals = ", ".join(f"{name} {value:g}" for name, value in stop.target.items())
            progress.reason = f"the target is reached: {goals}"
        return bool(progress.reason)

    def _exhausted(self) -> bool:
        if self._spent:
            self.progress.reason = "all that there was to propose is evaluated"
            return True
        if self._fruitless < FRUITLESS:
            return False
        why = ", ".join(f"{count} {reason}" for reason, count in self._refusals.most_common())
        self.progress.reason = f"the last {FRUITLESS} proposals were nothing new ({why})"
        return True

    def _fill(self, pool: Pool) -> None:
        """Propose until the pool is full; what is sent is on disk first."""
        wanted, leave = 0 if self._spent else pool.room(), self._interrupted.is_set
        stop = self.plan.config.stop.evaluations
        if stop is not None:
            wanted = min(wanted, stop - self.progress.evaluated - pool.busy())
        chosen: list[tuple[Candidate, bytes]] = []
        while len(chosen) < wanted and self._fruitless < FRUITLESS and not leave():
            try:
                proposal = self._propose()
            except Exhausted:
                self._spent = True
                break
            if proposal is None:
                self._fruitless += 1
            else:
                self._fruitless = 0
                self._refusals.clear()
                chosen.append(proposal)
        if chosen:
            self._durably(lambda: self.store.propose(chosen))
            self._unsent.clear()
            pool.submit([self._warm(candidate) for candidate, _ in chosen])

    def _warm(self, candidate: Candidate) -> Candidate:
        """A candidate whose fits start from what its first parent's ended with."""
        ends = (self._memory.fitted(parent) for parent in candidate.parents)
        known = next((found for found in ends if found is not None), {})
        return replace(candidate, start=known, keep=self._keep(candidate.index))

    def _keep(self, index: int) -> Keep | None:
        """Of which results the images are to be kept: the best so far, and every 200th."""
        if not self.plan.recipe.channels:
            return None
        whole = index % SAMPLE == 0 or len(self._best) < BEST
        return Keep(self.plan.objectives, float("inf") if whole else -self._best[0])

    def _without_image(self, evaluation: Evaluation) -> Evaluation:
        """The same without images to look at where it is none of the best any more."""
        keep = self._keep(evaluation.candidate.index)
        if not evaluation.signals or keep is None:
            return evaluation
        if weighted_sum(evaluation.objectives, keep.objectives) <= keep.below:
            return evaluation
        exact = {name: evaluation.signals[name] for name in evaluation.exact}
        return replace(evaluation, signals=exact)

    def _durably(self, write: Callable[[], None]) -> None:
        """Write; where the disk is full wait for space, sending nothing new, then give up.

        What is in flight goes on meanwhile; what has ended is kept in memory.
        """
        begun = monotonic()
        while True:
            try:
                write()
                return
            except OutOfSpace as trouble:
                waited = monotonic() - begun
                if waited > SPACE_SECONDS or self._interrupted.is_set():
                    raise
                self.progress.reason = f"waiting for space: {trouble}"
                self._observe()
                self._interrupted.wait(min(10.0, 0.1 + waited / 2))
                self.progress.reason = ""

    def _propose(self) -> tuple[Candidate, bytes] | None:
        """Ask for one candidate; refuse it, and count that, where it is invalid or known."""
        index = self._next
        candidates = self._generator.ask([index])
        self._next += 1
        operator, reason = "none", "infeasible"
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
        self.store.refuse(index, operator, reason)
        self.progress.refused[reason] += 1
        self._refusals[reason] += 1
        return None

    def _objection(self, candidate: Candidate, key: bytes) -> str:
        """Why a structure is not worth an evaluation, empty where it is; remembers it if so."""
        atoms = candidate.atoms
        if candidate.given:
            if self.store.known(key) or key in self._unsent:
                return "duplicate"
            self._unsent.add(key)
            self._memory.proposed.add(atoms)
            return ""
        if clashes(atoms, region_mask(atoms), self.plan.space.min_distance):
            return "min_distance"
        if self.store.known(key) or self._memory.proposed.find(atoms) is not None:
            return "duplicate"
        if self._memory.relaxed.find(atoms) is not None:
            return "known_minimum"
        self._memory.proposed.add(atoms)
        return ""

    def _take(self, evaluations: list[Evaluation]) -> None:
        """Commit what has ended, then let the generators learn from it."""
        if not evaluations:
            self._observe()
            return
        kept = [self._without_image(evaluation) for evaluation in evaluations]
        self._durably(lambda: self.store.commit(kept))
        for evaluation in evaluations:
            self._learn(evaluation)
            self._observe()
        self.save()

    def _learn(self, evaluation: Evaluation) -> None:
        progress = self.progress
        progress.evaluated += 1
        progress.session += 1
        progress.since_best += 1
        progress.core_seconds += evaluation.seconds
        self._last = evaluation.candidate.index
        progress.improved = None
        self._generator.tell([evaluation])
        progress.duplicates += self._memory.take(evaluation)
        if not evaluation.ok:
            progress.failed += 1
            return
        total = weighted_sum(evaluation.objectives, self.plan.objectives)
        heapq.heappush(self._best, -total)
        if len(self._best) > BEST:
            heapq.heappop(self._best)
        if total < progress.best:
            progress.best, progress.improved, progress.since_best = total, evaluation, 0
        goals = self.plan.config.stop.target
        found = {**evaluation.objectives, TOTAL: total}
        progress.reached |= bool(goals) and all(found[name] <= goals[name] for name in goals)

    def _report(self, news: list[str]) -> None:
        """Pass on and record what has happened to the workers."""
        for line in news:
            self.store.event(event="cluster", text=line)
            self.progress.news = line
            self._observe()
            self.progress.news = ""

    def _observe(self) -> None:
        self.progress.seconds = monotonic() - self._start
        self._observer(self.progress)
        self.progress.improved = None


def ask_to_stop(folder: Path) -> None:
    """Ask the campaign that runs in a folder to end; what is being evaluated then is left out."""
    (folder / STOP).touch()


def _ignore(progress: Progress) -> None:
    """Observe nothing."""
