"""The keeper: how many jobs there are after what happens to them, with a queue made of a dict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from htinvert.cluster import keeper as module
from htinvert.cluster.keeper import Keeper, last_words
from htinvert.cluster.queues import QueueError
from htinvert.cluster.site import parse_site


class Queue:
    """A batch system: jobs by id, and what it refuses."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.canceled: list[str] = []
        self.refuses = ""
        self.silent = False
        self._next = 100

    async def submit(self, job: Any) -> str:
        if self.refuses:
            raise QueueError(self.refuses)
        self._next += 1
        self.jobs[str(self._next)] = "running"
        return str(self._next)

    async def jobs_of(self, system: str, run: str) -> dict[str, str]:
        if self.silent:
            raise QueueError("squeue: error: unable to contact slurm controller")
        return dict(self.jobs)

    async def cancel(self, system: str, jobs: list[str]) -> None:
        self.canceled += jobs
        for job in jobs:
            self.jobs.pop(job, None)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    queue = Queue()
    monkeypatch.setattr(module, "submit", queue.submit)
    monkeypatch.setattr(module, "jobs_of", queue.jobs_of)
    monkeypatch.setattr(module, "cancel", queue.cancel)
    monkeypatch.setattr(module, "GRACE", -1.0)
    return queue


@pytest.fixture
def make(queue: Queue, tmp_path: Path) -> Callable[..., Keeper]:
    def make(most: int = 4, **terms: Any) -> Keeper:
        slurm = {"cores": 1, "processes": 1, "memory": "1GiB", "interface": "lo"}
        site = parse_site(
            {"jobqueue": {"slurm": slurm}, "htinvert": {"interval": 3600} | terms}, "test.yaml"
        )
        return Keeper(
            site,
            "hti-1",
            most=most,
            scheduler=SimpleNamespace(workers={}),
            address="tls://127.0.0.1:1",
            folder=tmp_path,
            security=None,
        )

    return make


def arrive(keeper: Keeper, *numbers: int) -> None:
    """Let the workers of these jobs be connected."""
    keeper._scheduler.workers.clear()
    for n in numbers:
        keeper._scheduler.workers[n] = SimpleNamespace(name=f"hti-1-{n}", processing={})


Story = Callable[[Keeper], Any]


def play(keeper: Keeper, story: Story) -> None:
    """Start a keeper, let things happen, close it."""

    async def whole() -> None:
        await keeper.start()
        await story(keeper)
        await keeper.close()

    asyncio.run(whole())


def test_lost_jobs_are_replaced_and_all_go_at_the_end(
    queue: Queue, make: Callable[..., Keeper]
) -> None:
    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1, 2, 3, 4)
        await keeper.look()
        del queue.jobs["102"], queue.jobs["103"]
        arrive(keeper, 1, 4)
        await keeper.look()
        assert sorted(queue.jobs) == ["101", "104", "105", "106"]
        assert "job 102 has ended; sending another" in keeper.news

    play(make(), story)
    assert queue.jobs == {}


def test_strays_of_an_earlier_driver_go_first(queue: Queue, make: Callable[..., Keeper]) -> None:
    queue.jobs |= {"7": "running", "8": "pending"}

    async def story(keeper: Keeper) -> None:
        assert sorted(queue.canceled) == ["7", "8"]
        assert keeper.news == ["canceled 2 jobs that an earlier driver of this run left"]
        assert len(queue.jobs) == 4

    play(make(), story)


def test_jobs_that_end_before_a_worker_comes_are_not_sent_for_ever(
    queue: Queue, make: Callable[..., Keeper], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "hti-1-103.err").write_text("a\nImportError: no such thing\nEnd\n")

    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1)
        await keeper.look()
        for _ in range(2):
            for job in sorted(queue.jobs)[1:]:
                del queue.jobs[job]
            await keeper.look()
        assert keeper.trouble is None
        for job in sorted(queue.jobs)[1:]:
            del queue.jobs[job]
        await keeper.look()
        assert "job(s) in a row ended before a worker arrived" in str(keeper.trouble)
        assert any("ImportError: no such thing" in line for line in keeper.news)

    play(make(most=2, failures=3), story)


def test_jobs_that_will_never_begin_are_canceled_and_count_as_ended(
    queue: Queue, make: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def why(system: str, job: str) -> str:
        return f"no folder for {system} job {job}"

    monkeypatch.setattr(module, "why_broken", why)

    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1)
        queue.jobs["102"] = "broken"
        await keeper.look()
        assert queue.canceled == ["102"]
        assert sorted(queue.jobs) == ["101", "103"]
        assert "arrived: no folder for slurm job 102" in keeper.news[-1]

    play(make(most=2, failures=3), story)


def test_a_first_round_that_fails_altogether_is_enough(
    queue: Queue, make: Callable[..., Keeper]
) -> None:
    async def story(keeper: Keeper) -> None:
        queue.jobs.clear()
        await keeper.look()
        assert keeper.trouble is not None
        assert queue.jobs == {}

    play(make(most=2, failures=5), story)


def test_a_refused_first_job_is_trouble_and_a_later_one_is_news(
    queue: Queue, make: Callable[..., Keeper]
) -> None:
    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1, 2)
        await keeper.look()
        queue.refuses = "sbatch: error: QOSMaxJobsPerUserLimit"
        del queue.jobs["102"]
        await keeper.look()
        assert keeper.trouble is None
        assert (
            "a job was refused: sbatch: error: QOSMaxJobsPerUserLimit; trying again" in keeper.news
        )
        queue.refuses = ""
        await keeper.look()
        assert len(queue.jobs) == 2

    play(make(most=2), story)
    queue.refuses = "sbatch: error: invalid partition"

    async def refused(keeper: Keeper) -> None:
        assert "the batch system refused a job: sbatch: error: invalid" in str(keeper.trouble)

    play(make(), refused)


def test_a_queue_that_does_not_answer_loses_no_job(
    queue: Queue, make: Callable[..., Keeper]
) -> None:
    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1, 2, 3, 4)
        queue.silent = True
        for _ in range(3):
            await keeper.look()
        assert len(queue.jobs) == 4
        (said,) = keeper.news
        assert "unable to contact slurm controller; trying again" in said
        queue.silent = False

    play(make(), story)


def test_jobs_without_work_are_given_back_the_waiting_ones_first(
    queue: Queue, make: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHRINK_AFTER", -1.0)

    async def story(keeper: Keeper) -> None:
        arrive(keeper, 1, 2, 4)
        keeper._scheduler.workers[1].processing = {"task": 1}
        queue.jobs["103"] = "pending"
        await keeper.look()
        keeper.useful(2)
        await keeper.look()
        assert queue.canceled == ["103", "102"]
        keeper.useful(100)
        await keeper.look()
        assert len(queue.jobs) == 4

    play(make(least=1), story)


def test_a_worker_whose_job_runs_on_has_died_alone(
    queue: Queue, make: Callable[..., Keeper]
) -> None:
    async def story(keeper: Keeper) -> None:
        assert await keeper.survived("hti-1-1")
        queue.jobs["101"] = "leaving"
        assert not await keeper.survived("hti-1-1")
        del queue.jobs["102"]
        assert not await keeper.survived("hti-1-2")
        assert not await keeper.survived("hti-1-11")
        queue.silent = True
        assert not await keeper.survived("hti-1-3")
        queue.silent = False

    play(make(), story)


def test_the_last_words_of_a_job_are_its_exception(tmp_path: Path) -> None:
    log = "Traceback:\n  File x\nModuleNotFoundError: No module named 'distributed'\nbye\n"
    (tmp_path / "hti-1-17.err").write_text(log)
    assert last_words(tmp_path, "17") == "ModuleNotFoundError: No module named 'distributed'"
    assert "it has no log" in last_words(tmp_path, "18")


def test_the_log_of_a_job_is_its_own(tmp_path: Path) -> None:
    """Grid Engine counts jobs from 1, and names of runs have digits too."""
    (tmp_path / "hti-1f0a1b1c.o1").write_text("RuntimeError: mine\n")
    (tmp_path / "hti-1f0a1b1c.o21").write_text("RuntimeError: of another\n")
    assert last_words(tmp_path, "1") == "RuntimeError: mine"
    assert "it has no log" in last_words(tmp_path, "2")
