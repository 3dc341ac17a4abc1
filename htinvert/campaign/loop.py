"""A campaign: ask, evaluate, commit, tell, until a stop rule is met; the same call resumes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic

from htinvert.campaign.fork import Fork
from htinvert.campaign.funnel import sources
from htinvert.campaign.inputs import record
from htinvert.campaign.interrupt import interruptible
from htinvert.campaign.knowledge import Knowledge
from htinvert.campaign.plan import Plan, provenance
from htinvert.campaign.progress import GOES_ON, Progress
from htinvert.campaign.proposals import Proposals
from htinvert.campaign.resume import parameters, ready, resumed, write_config
from htinvert.campaign.room import require_proposals
from htinvert.cluster.connect import open_pool
from htinvert.cluster.needs import require_room
from htinvert.config.campaign import Stop
from htinvert.config.yaml_file import way
from htinvert.core import Evaluation
from htinvert.pool.here import Pool
from htinvert.store import OutOfSpace, RunStore, is_run
from htinvert.store.links import require_no_links
from htinvert.store.patient import WRITER

STOP = "stop"  # a file in the run's folder that ends the campaign when it appears
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
    if not is_run(path):
        require_proposals(plan)
    plan = resumed(ready(plan, path), path)
    facts = provenance(plan.config) | {
        "calibration": parameters(plan),
        "stages": sources(plan.config, path),
        "folder": way(plan.folder, path),
        "inputs": record(plan.config.model_dump(mode="json"), plan.folder),
    }
    older = Fork(fork, plan) if fork is not None else None
    if plan.references is not None:
        facts |= {"references": plan.references.state()}
    if older is not None:
        facts |= {"fork": {"run_id": older.run_id, "same": sorted(older.same)}}
    with (
        RunStore.create_or_open(path, recipe=plan.identity, provenance=facts) as store,
        interruptible() as interrupted,
    ):
        write_config(plan, path)
        campaign = Campaign(plan, store, observer or _ignore)
        campaign.replay()
        if older is not None or not campaign.finished():
            start = plan.space.template
            with open_pool(plan.config, plan.recipe, start, base=plan.folder, folder=path) as pool:
                campaign.go(pool, interrupted, older)
        campaign.knowledge.save(now=True)
        ended = partial(store.event, event="stopped", reason=campaign.progress.reason)
        campaign.durably(ended)
        return campaign.progress


class Campaign:
    """The loop between proposals, workers, store, and what is learned."""

    def __init__(self, plan: Plan, store: RunStore, observer: Observer) -> None:
        self.plan = plan
        self.store = store
        self.progress = progress = Progress()
        generator = plan.generator()
        self.knowledge = Knowledge(plan, store, generator=generator, progress=progress)
        structures = self.knowledge.structures
        self.proposals = Proposals(
            plan, store, generator=generator, structures=structures, progress=progress
        )
        self._observer = observer
        self._start = monotonic()
        self._interrupted = threading.Event()

    def replay(self) -> None:
        """Know all that was committed; see :meth:`htinvert.campaign.knowledge.Knowledge.replay`."""
        self.knowledge.replay()
        self._observer(self.progress)

    def go(self, pool: Pool, interrupted: threading.Event, older: Fork | None = None) -> None:
        """Keep the pool busy until a stop rule is met or a signal comes."""
        self._interrupted = interrupted
        self.store.wait_with(say=self._say_held, leave=interrupted.is_set)
        if older is not None:
            self._inherit(pool, older)
        pending = self.store.pending()
        self.proposals.repeat(pending)
        pool.submit([self.knowledge.briefed(candidate) for candidate in pending])
        self._asked_to_stop()  # in an earlier session
        while not interrupted.is_set():
            if self._asked_to_stop():
                self.progress.reason = f"asked to stop; {GOES_ON}"
                return
            if self.finished() or self._exhausted(pool):
                return
            full = self._fill(pool)
            self._take(pool.collect(TICK if full else 0.0))
            self._report(pool.news())
        self.progress.reason = f"interrupted; {GOES_ON}"
        self._observer(self.progress)

    def _asked_to_stop(self) -> bool:
        """Whether somebody has, which is then forgotten; not where the disk does not answer."""
        try:
            (self.store.path / STOP).unlink()
        except OSError:
            return False
        return True

    def finished(self) -> bool:
        """Whether a stop rule is met; its reason is then in the progress."""
        minutes = (monotonic() - self._start) / 60
        self.progress.reason = rule_met(self.plan.config.stop, self.progress, minutes=minutes)
        return bool(self.progress.reason)

    def _exhausted(self, pool: Pool) -> bool:
        """Whether nothing more is to come; the reason is then in the progress."""
        if pool.busy():
            return False
        self.progress.reason = self.proposals.end
        return bool(self.progress.reason)

    def _inherit(self, pool: Pool, older: Fork) -> None:
        """Take over an older run: what holds of each candidate is not evaluated again."""
        for candidate, known in older:
            if self._interrupted.is_set():
                return
            if self.store.has_result(candidate.index):
                continue
            key = self.proposals.adopt(candidate)
            self.durably(partial(self.store.propose, [(candidate, key)]))
            self.proposals.sent()
            if known is not None:
                self._take([known])
                continue
            while pool.room() < 1:
                self._take(pool.collect(TICK))
            pool.submit([replace(candidate, keep=self.knowledge.keep(candidate.index))])
        while pool.busy() and not self._interrupted.is_set():
            self._take(pool.collect(TICK))

    def _fill(self, pool: Pool) -> bool:
        """Propose until the pool is full; what is sent is on disk first.

        Returns False where there was no time for all: stop rules, results and whoever looks on do
        not wait for a proposal that may never come about.
        """
        end = monotonic() + TICK
        wanted, stop = pool.room(), self.plan.config.stop.evaluations
        if stop is not None:
            wanted = min(wanted, stop - self.progress.evaluated - pool.busy())
        chosen = self.proposals.next(
            wanted, leave=lambda: self._interrupted.is_set() or monotonic() >= end
        )
        if chosen or monotonic() >= end:  # what was refused is told, too
            self.durably(lambda: self.store.propose(chosen))
            self.proposals.sent()
        if chosen:
            pool.submit([self.knowledge.briefed(candidate) for candidate, _ in chosen])
        return len(chosen) >= wanted or bool(self.proposals.end)

    def _take(self, evaluations: list[Evaluation]) -> None:
        """Commit what has ended, then learn from it."""
        if not evaluations:
            self._observe()
            return
        thinned = [self.knowledge.thinned(evaluation) for evaluation in evaluations]
        self.durably(lambda: self.store.commit(thinned))
        for evaluation in evaluations:
            self.knowledge.learn(evaluation)
            self._observe()
        self.knowledge.save()

    def durably(self, write: Callable[[], None]) -> None:
        """Write; where the disk is full or fails wait for it, sending nothing new, then give up.

        What is in flight goes on meanwhile; what has ended is kept in memory.
        """
        begun, said = monotonic(), False
        while True:
            try:
                write()
                return
            except OutOfSpace as trouble:
                waited = monotonic() - begun
                if waited > WRITER or self._interrupted.is_set():
                    raise
                if not said:
                    self._say(f"waiting for the disk: {trouble}")
                    said = True
                self._interrupted.wait(min(10.0, 0.1 + waited / 2))

    def _report(self, news: list[str]) -> None:
        """Pass on and record what has happened to the workers."""
        for line in news:
            self.durably(partial(self.store.event, event="cluster", text=line))
            self._say(line)

    def _say_held(self, why: str) -> None:
        """Say who keeps the journal from being written; what is in flight goes on meanwhile."""
        self._say(f"waiting for up to {WRITER / 60:.0f} minutes: {why}")

    def _say(self, line: str) -> None:
        self.progress.news = line
        self._observe()
        self.progress.news = ""

    def _observe(self) -> None:
        self.progress.seconds = monotonic() - self._start
        self._observer(self.progress)
        self.progress.improved = None


def rule_met(stop: Stop, progress: Progress, *, minutes: float) -> str:
    """Which of the rules ends a campaign that has gone on for this many minutes; or empty."""
    if stop.evaluations is not None and progress.evaluated >= stop.evaluations:
        return f"{stop.evaluations} evaluations are done"
    if stop.minutes is not None and minutes >= stop.minutes:
        return f"{stop.minutes:g} minutes are over"
    if stop.core_seconds is not None and progress.core_seconds >= stop.core_seconds:
        return f"evaluations took {stop.core_seconds:g} core-seconds"
    if stop.patience is not None and progress.since_best >= stop.patience:
        return f"no improvement in {stop.patience} evaluations"
    if progress.reached:
        goals = ", ".join(f"{name} {value:g}" for name, value in stop.target.items())
        return f"the target is reached: {goals}"
    return ""


def ask_to_stop(folder: Path) -> None:
    """Ask the campaign that runs in a folder to end; what is being evaluated then is left out."""
    require_no_links(folder)
    (folder / STOP).touch()


def _ignore(progress: Progress) -> None:
    """Observe nothing."""
