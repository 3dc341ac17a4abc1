"""What clusters do to a campaign, on real batch systems: nothing is lost, doubled or left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .batch import DEPLOY, Batch, both, only_grid_engine
from .conftest import (
    Driver,
    Writer,
    committed,
    environment,
    evaluations,
    processes,
    run_name,
    written,
)

Start = Callable[..., Driver]
Calm = tuple[dict[int, Any], set[int]]
TOTAL = 600  # candidates of the longest test


def running_jobs(batch: Batch, driver: Driver) -> list[str]:
    """Jobs that run, as soon as any does; asked once, for one may end between two questions."""
    found: list[str] = []

    def asked() -> bool:
        found[:] = batch.jobs(driver.name, "running")
        return bool(found)

    wait_until(asked, driver.log)
    return found


def a_worker(driver: Driver) -> int:
    """The process of a worker, as soon as there is one: jobs that were canceled come back."""
    found: list[int] = []

    def started() -> bool:
        for nanny in processes("distributed.cli.dask_worker", driver.name):
            found[:] = children(nanny)
        return bool(found)

    wait_until(started, driver.log)
    return found[-1]


@pytest.fixture(scope="module")
def without_poison(tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """What 60 evaluations come to where nothing kills, and those of them that poison would kill."""
    path = written(tmp_path_factory.mktemp("calm"), "calm", cluster=None, workers=0)
    calm = Driver(path)
    calm.end()
    innocent = evaluations(calm.run)
    culprits = {index for index, e in innocent.items() if number(e[0]) < 3}
    assert len(culprits) >= 2
    return innocent, culprits


@both
def test_lost_jobs_a_killed_worker_and_a_killed_driver_change_nothing(
    batch: Batch, campaign: Writer, start: Start
) -> None:
    many = {"evaluations": TOTAL}
    energy = {"seconds": 0.01}
    driver = start(campaign("stormy", stop=many, energy=energy))
    for canceled in range(5):
        driver.wait_until(TOTAL * 3 // 40 * (canceled + 1))
        running = running_jobs(batch, driver)
        batch.stop(running[canceled % len(running)])
    driver.wait_until(TOTAL * 9 // 20)
    victim = a_worker(driver)
    os.kill(victim, signal.SIGKILL)
    driver.wait_until(TOTAL * 11 // 20)
    driver.process.kill()
    driver.process.wait()
    again = start(campaign("stormy", stop=many, energy=energy))
    again.end()
    assert batch.none_left(again.name)
    wait_until(lambda: not processes("distributed.cli.dask_worker", again.name), again.log)
    calm = start(campaign("calm", stop=many, cluster=None, workers=2))
    calm.end()
    stormy, undisturbed = evaluations(again.run), evaluations(calm.run)
    assert len(stormy) == TOTAL
    assert [e[3] for e in stormy.values() if "worker" in (e[3] or "")] == []
    # What is refused as a known minimum depends on what has come back by then: 3 % differ by that.
    shared = stormy.keys() & undisturbed.keys()
    assert len(shared) > 0.925 * TOTAL
    assert {i: stormy[i] for i in shared} == {i: undisturbed[i] for i in shared}


def test_one_in_flight_repeats_itself_bit_for_bit(
    batch: Batch, campaign: Writer, start: Start
) -> None:
    """The genetic search learns from each candidate, so its order is all that matters."""
    search = {"generators": [{"use": "genetic", "random": 8}]}
    same = {"search": search, "stop": {"evaluations": 40}, "in_flight": 1}
    driver = start(campaign("stormy", energy={"seconds": 0.05}, **same))
    driver.wait_until(12)
    batch.stop(*batch.jobs(driver.name, "running")[:2])
    driver.wait_until(25)
    driver.process.kill()
    driver.process.wait()
    again = start(campaign("stormy", energy={"seconds": 0.05}, **same))
    again.end()
    calm = start(campaign("calm", cluster=None, **same | {"workers": 0}))
    calm.end()
    assert evaluations(again.run) == evaluations(calm.run)
    assert batch.none_left(again.name)


def test_poison_is_quarantined_and_nobody_else_is(
    batch: Batch, campaign: Writer, start: Start, without_poison: Calm
) -> None:
    energy = {"poison": True, "seconds": 0.3}  # blocks are short: a new worker takes long
    driver = start(campaign("poisoned", energy=energy, stop={"evaluations": 60}))
    driver.end()
    poisoned = evaluations(driver.run)
    innocent, culprits = without_poison
    assert set(poisoned) == set(innocent)
    lost = {index for index, e in poisoned.items() if "the worker was lost" in (e[3] or "")}
    assert lost == culprits
    assert all("died under this candidate 2 times" in poisoned[index][3] for index in culprits)


def test_two_nodes_with_two_processes_each_lose_nothing_either(
    batch: Batch, campaign: Writer, start: Start, without_poison: Calm
) -> None:
    """One worker per node; the processes inside it die of poison, and one node goes entirely."""
    path = campaign(
        "inner",
        site={"cores": 2, "processes": 1},
        terms={"inner": 2},
        energy={"poison": True, "seconds": 0.1},
        stop={"evaluations": 60},
    )
    driver = start(path)
    driver.wait_until(10)
    running = batch.jobs(driver.name, "running")
    assert len(running) == 2
    batch.stop(running[0])
    driver.end()
    assert batch.none_left(driver.name)
    poisoned = evaluations(driver.run)
    innocent, culprits = without_poison
    assert set(poisoned) == set(innocent)
    for index, found in poisoned.items():
        if index in culprits:
            assert "died under this candidate 2 times (exit status 1)" in found[3]
        else:
            assert found == innocent[index]


def test_a_driver_that_is_told_to_leave_takes_its_jobs_along(
    batch: Batch, campaign: Writer, start: Start
) -> None:
    """By SIGTERM; tests/integration/test_pool.py takes what batch systems send for the same."""
    driver = start(campaign(stop={"evaluations": 10**6}, energy={"seconds": 0.05}))
    driver.wait_until(10)
    begun = time.monotonic()
    driver.process.send_signal(signal.SIGTERM)
    assert "interrupted; the same command goes on from here" in driver.end(60)
    assert time.monotonic() - begun < 30  # Slurm's own grace is 30 s (KillWait)
    assert batch.none_left(driver.name, 20)
    assert not (driver.run / "tls").exists()


@only_grid_engine
def test_a_driver_in_a_job_that_is_killed_and_requeued_goes_on(
    batch: Batch, campaign: Writer
) -> None:
    """Grid Engine kills its job and puts it back; the second driver goes on."""
    path = campaign("requeued", stop={"evaluations": 80}, energy={"seconds": 0.2}, workers=3)
    script = DEPLOY / "gridengine" / "driver.qsub"
    command = ["qsub", "-N", "requeued-driver", "-o", "driver.log", str(script), path.name]
    subprocess.run(command, cwd=path.parent, env=environment(path.parent), check=True)
    run, log = path.parent / "runs" / "requeued", path.parent / "driver.log"
    wait_until(lambda: committed(run) >= 10, log)
    (job,) = batch.jobs("requeued-driver")
    subprocess.run(["qmod", "-rj", job], check=True)
    wait_until(lambda: not batch.jobs("requeued-driver"), log)
    text = log.read_text()
    assert text.count("campaign requeued in") == 2
    assert "80 evaluations are done" in text
    found = evaluations(run)
    assert len(found) == 80
    assert [e[3] for e in found.values() if e[3]] == []
    assert batch.none_left(run_name(run))


@only_grid_engine
def test_a_driver_in_a_job_whose_time_is_up_goes_back_into_the_queue(
    batch: Batch, campaign: Writer
) -> None:
    path = campaign("long", stop={"evaluations": 10**6}, energy={"seconds": 0.2}, workers=2)
    script = DEPLOY / "gridengine" / "driver.qsub"
    limits = ["-l", "s_rt=25,h_rt=85", "-o", "driver.log", "-N", "long-driver"]
    command = ["qsub", *limits, str(script), path.name]
    subprocess.run(command, cwd=path.parent, env=environment(path.parent), check=True)
    log = path.parent / "driver.log"
    wait_until(lambda: log.is_file() and "back into the queue" in log.read_text(), log)
    assert "interrupted; the same command goes on from here" in log.read_text()
    wait_until(lambda: log.read_text().count("campaign long in") == 2, log)
    batch.stop(*batch.jobs("long-driver"))
    assert batch.none_left("long-driver")
    assert batch.none_left(run_name(path.parent / "runs" / "long"))


@pytest.mark.skipif(
    os.environ.get("HTINVERT_TORTURE") != "full", reason="takes minutes: make torture runs it"
)
def test_jobs_of_one_minute_finish_a_longer_campaign(batch: Batch, campaign: Writer) -> None:
    """The driver's own job goes back into the queue; workers leave before their limit.

    Three workers need 40 s for 300 candidates of 0.4 s, and the driver is told to leave 20 s
    before its minute is over, by Slurm's grain of time often half a minute before.
    """
    stop = {"evaluations": 300}
    energy = {"seconds": 0.4}
    path = campaign("long", site={"walltime": "00:01:00"}, stop=stop, energy=energy, workers=3)
    command = ["sbatch", "--time=1", "--signal=B:USR1@20", "--mem=500", "--output=driver.log"]
    script = str(DEPLOY / "slurm" / "driver.sbatch")
    subprocess.run(
        [*command, "--job-name=long-driver", script, path.name],
        cwd=path.parent,
        env=environment(path.parent),
        check=True,
    )
    end = time.monotonic() + 800
    while batch.jobs("long-driver"):
        assert time.monotonic() < end, (path.parent / "driver.log").read_text()
        time.sleep(1)
    text = (path.parent / "driver.log").read_text()
    assert "300 evaluations are done" in text, text
    assert "time is up: back into the queue" in text
    found = evaluations(path.parent / "runs/long")
    assert len(found) == 300
    assert [e[3] for e in found.values() if "worker" in (e[3] or "")] == []


def wait_until(happened: Callable[[], bool], log: Path, seconds: float = 150) -> None:
    """Wait for something that a driver in a job does."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, log.read_text() if log.is_file() else "no log"
        time.sleep(0.5)


def number(positions: bytes) -> int:
    """The engine's number of a structure."""
    return int(abs(np.frombuffer(positions)).sum() * 1e4) % 60


def children(process: int) -> list[int]:
    """Ids of a process's children."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(word) for word in text.split()]
