"""The loop of a campaign: what it waits for before it ends."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from ase import Atoms

import htinvert.campaign.loop as loop_module
from htinvert.campaign.load import changed
from htinvert.campaign.loop import Campaign, ask_to_stop, run
from htinvert.campaign.plan import Plan, make_plan
from htinvert.campaign.progress import Progress
from htinvert.config.campaign import parse
from htinvert.core import Candidate, Evaluation, Exhausted, UserError
from htinvert.evaluation.evaluate import evaluate
from htinvert.store import Busy, OutOfSpace, RunStore, patient

MINIMUM = 2.5 * 2 ** (1 / 6)  # Å, of two atoms of Lennard and Jones with the sigma of 2.5 Å


class Three:
    """A generator that knows three dimers, each by its distance [Å], and no more."""

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        if indices[0] >= 3:
            raise Exhausted
        return [Candidate(i, dimer(3.5 + i), "dimer", given=True) for i in indices]

    def tell(self, evaluations: Iterable[Evaluation]) -> None: ...


class Slow:
    """A pool with room for ten, which hands results out one by one, at every third call."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.calls = plan, 0
        self.waiting: deque[Candidate] = deque()

    def room(self) -> int:
        return 10 - len(self.waiting)

    def submit(self, candidates: Sequence[Candidate]) -> None:
        self.waiting.extend(candidates)

    def collect(self, timeout: float) -> list[Evaluation]:
        self.calls += 1
        if self.calls % 3 or not self.waiting:
            return []
        return [evaluate(self.waiting.popleft(), self.plan.recipe)]

    def busy(self) -> int:
        return len(self.waiting)

    def news(self) -> list[str]:
        return []


def dimer(distance: float) -> Atoms:
    return Atoms("Ar2", positions=[[5, 5, 5], [5, 5, 5 + distance]], cell=[20] * 3)


def campaign(folder: Path, **search: object) -> Plan:
    raw = {
        "name": "three",
        "structure": {"use": "box", "size": 20},
        "composition": {"Ar": [2, 2]},
        "energy": {"use": "lennard_jones"},
        "search": search,
    }
    return make_plan(parse(raw), folder=folder)


def test_what_is_in_flight_is_evaluated_though_there_is_nothing_more_to_propose(
    tmp_path: Path,
) -> None:
    """It once ended at the next look at its pool, and left two of three pending."""
    three = f"{__name__}:three"
    plan = campaign(tmp_path, generators=[{"use": three}])
    with RunStore.create_or_open(tmp_path / "run", recipe=plan.identity, provenance={}) as store:
        loop = Campaign(plan, store, lambda progress: None)
        loop.replay()
        loop.go(Slow(plan), threading.Event())
        assert store.counts().pending == 0
    assert loop.progress.evaluated == 3
    assert loop.progress.reason == "all that there was to propose is evaluated"


def test_a_search_without_relaxation_knows_no_minima(tmp_path: Path) -> None:
    """It once ended after 2 000 refusals: what is near a structure would not relax into it."""
    raw = campaign(tmp_path, generators=[{"use": "random"}]).config.model_dump()
    raw |= {"energy": {"use": "lennard_jones", "steps": 0}, "workers": 0}
    raw |= {"composition": {"Ar": (3, 3)}, "stop": {"evaluations": 60}}
    end = run(make_plan(parse(raw), folder=tmp_path), tmp_path / "run")
    assert end.reason == "60 evaluations are done"
    assert end.refused["known_minimum"] == 0


@contextmanager
def held(journal: Path) -> Iterator[subprocess.Popen[str]]:
    """Another program that holds the journal in a transaction, until it is sent a line."""
    code = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]);"
        "connection.execute('BEGIN EXCLUSIVE'); print('held', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(journal)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as browser:
        assert browser.stdout is not None and browser.stdout.readline() == "held\n"
        try:
            yield browser
        finally:
            browser.kill()


def test_a_program_that_holds_the_journal_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database browser's transaction of 45 s once ended the driver after 30 s."""
    monkeypatch.setattr(patient, "ROUND", 0.01)
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:three"}])
    folder, news = tmp_path / "run", []
    browser: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:

        def observe(progress: Progress) -> None:
            if progress.evaluated == 1 and not browser:
                browser.append(stack.enter_context(held(folder / "journal.sqlite")))
            if progress.news:
                news.append(progress.news)
                browser[0].kill()

        with RunStore.create_or_open(folder, recipe=plan.identity, provenance={}) as store:
            loop = Campaign(plan, store, observe)
            loop.replay()
            loop.go(Slow(plan), threading.Event())
            assert loop.progress.evaluated == 3 and store.counts().pending == 0
    assert len(news) == 1, "it is said once"
    assert f"(process {browser[0].pid})" in news[0] and "journal.sqlite is held by" in news[0]


def test_a_journal_that_is_held_for_good_ends_it_with_75_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patient, "ROUND", 0.01)
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:three"}])
    folder = tmp_path / "run"
    with RunStore.create_or_open(folder, recipe=plan.identity, provenance={}) as store:
        store._journal.connection.patience = 0.1
        loop = Campaign(plan, store, lambda progress: None)
        loop.replay()
        with held(folder / "journal.sqlite"), pytest.raises(Busy, match="end that program") as end:
            loop.go(Slow(plan), threading.Event())
    assert end.value.code == 75
    with RunStore.create_or_open(folder, recipe=plan.identity, provenance={}) as store:
        loop = Campaign(plan, store, lambda progress: None)
        loop.replay()
        loop.go(Slow(plan), threading.Event())
        assert loop.progress.evaluated == 3


def test_a_folder_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    """A driver once said that another had taken over the run that somebody had moved."""
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:three"}])
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    news = []

    def observe(progress: Progress) -> None:
        if progress.evaluated == 1 and not news and not elsewhere.exists():
            folder.rename(elsewhere)
        if progress.news:
            news.append(progress.news)
            elsewhere.rename(folder)

    assert run(changed(plan, workers=0), folder, observer=observe).evaluated == 3
    assert len(news) == 1, "it is said once"
    assert "waiting for the disk: " in news[0] and "bring it back to this place" in news[0]
    with RunStore.open(folder) as store:
        assert [one.candidate.index for one in store.evaluations()] == [0, 1, 2]


def test_a_folder_that_stays_away_ends_it_with_75_and_goes_on_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "WRITER", 0.0)
    plan = changed(campaign(tmp_path, generators=[{"use": f"{__name__}:three"}]), workers=0)
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"

    def observe(progress: Progress) -> None:
        if progress.evaluated == 1 and folder.exists():
            folder.rename(elsewhere)

    with pytest.raises(OutOfSpace, match="is not there any more") as end:
        run(plan, folder, observer=observe)
    assert end.value.code == 75
    assert run(plan, elsewhere).evaluated == 3


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO, errno.ESTALE])
def test_a_configuration_that_cannot_be_kept_may_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The name of the file is lost where a write or a sync fails: it was a traceback."""
    plan = changed(campaign(tmp_path, generators=[{"use": f"{__name__}:three"}]), workers=0)

    def fail(path: Path, data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("htinvert.campaign.resume.write_durably", fail)
        with pytest.raises(OutOfSpace, match=os.strerror(number)):
            run(plan, tmp_path / "run")
    assert run(plan, tmp_path / "run").evaluated == 3


def three() -> Three:
    return Three()


class Repeating:
    """A generator that proposes dimers by their distance [Å], and says nothing of repeats."""

    distances = (4.5, 4.5, 4.5001, MINIMUM + 0.001, 6.0)

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        if indices[0] >= len(self.distances):
            raise Exhausted
        return [Candidate(i, dimer(self.distances[i]), "dimer") for i in indices]

    def tell(self, evaluations: Iterable[Evaluation]) -> None: ...


class Never:
    """A generator whose every attempt comes to nothing, each after a while."""

    def ask(self, indices: Sequence[int]) -> list[Candidate]:
        time.sleep(0.02)
        return []

    def tell(self, evaluations: Iterable[Evaluation]) -> None: ...


def never() -> Never:
    return Never()


def repeating() -> Repeating:
    return Repeating()


def test_what_was_proposed_and_what_a_proposal_has_relaxed_to_is_refused(tmp_path: Path) -> None:
    """The second is the first, the third nearly so, and the first relaxes into the fourth."""
    raw = campaign(tmp_path, generators=[{"use": f"{__name__}:repeating"}]).config.model_dump()
    end = run(make_plan(parse(raw | {"workers": 0}), folder=tmp_path), tmp_path / "run")
    assert end.refused == {"duplicate": 2, "known_minimum": 1}
    assert end.evaluated == 2
    with RunStore.open(tmp_path / "run") as store:
        assert [one.candidate.index for one in store.evaluations()] == [0, 4]


def test_stop_rules_hold_while_nothing_is_to_be_proposed(tmp_path: Path) -> None:
    """Two thousand attempts took their time, whatever the stop rules said, and nobody saw one."""
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:never"}])
    plan = changed(plan, stop={"minutes": 0.05}, workers=0)
    folder, seen = tmp_path / "run", []

    def look(progress: Progress) -> None:
        with RunStore.open(folder) as store:
            seen.append((progress.refused["infeasible"], store.counts().refused))

    end = run(plan, folder, observer=look)
    assert end.reason == "0.05 minutes are over"
    assert 2.9 < end.seconds < 10
    told = [(count, held) for count, held in seen if count]
    assert len(told) >= 2 and told[-1][1] == {"infeasible": told[-1][0]}


def test_a_run_is_asked_to_stop_while_nothing_is_to_be_proposed(tmp_path: Path) -> None:
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:never"}])
    folder = tmp_path / "run"

    def stop(progress: Progress) -> None:
        if progress.refused:
            ask_to_stop(folder)

    assert run(changed(plan, workers=0), folder, observer=stop).reason.startswith("asked to stop")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_region_without_room_is_refused_before_anything_begins(
    workers: int, tmp_path: Path
) -> None:
    plan = campaign(tmp_path, min_distance=30.0)
    with pytest.raises(UserError, match="none of the first 4 proposals came about: the region has"):
        run(changed(plan, workers=workers), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_generator_that_knows_better_is_asked(tmp_path: Path) -> None:
    plan = campaign(tmp_path, generators=[{"use": f"{__name__}:three"}], min_distance=30.0)
    assert run(changed(plan, workers=0), tmp_path / "run").evaluated == 3
