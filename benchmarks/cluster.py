"""How well workers are kept busy, what a candidate costs the driver, and where one driver ends.

Two real workers with candidates that sleep; then crowds of Dask workers against the real scheduler,
pool and store in this process. A crowd's workers are real in all that they exchange with the
scheduler; their evaluations are timers, and what a machine of its own would do for each of them
(clocks, statistics of itself) is left out. ``python benchmarks/cluster.py`` runs all,
``--workers 1000 --inner 64 --candidate 40`` one crowd.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import logging
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

import htinvert.pool.here
from htinvert.cluster.connect import JOB_BLOCK_SECONDS, TASKS_PER_SECOND, local
from htinvert.core import Candidate, Evaluation, Recipe, Relaxation
from htinvert.pool.here import Connection, Share
from htinvert.pool.on_dask import DaskPool
from htinvert.pool.parcel import pack
from htinvert.pool.workers import SETTINGS
from htinvert.store import RunStore, snap, structure_key

ATOMS = 100
DIFFERENT = 2000  # structures; then they come again, under other keys
CROWD_PROCESSES = 2
CONNECT_SECONDS = 600.0
MEASURED = 30.0  # s, after a crowd has become busy
CROWDS = (  # workers, processes in each, s per candidate
    (10, 1, 0.02),
    (100, 1, 0.2),
    (100, 1, 2.0),
    (300, 1, 10.0),
    (1000, 1, 2.0),
    (1000, 1, 10.0),
    (1000, 64, 64.0),
    (1000, 64, 320.0),
)
QUIET = {  # what workers do for the machine that they would have to themselves
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.worker.profile.enabled": False,
    "distributed.worker.http.routes": [],
}


@dataclass(frozen=True)
class Sleep:
    """An energy that takes a while [s] and no processor time."""

    seconds: float

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Sleep; the structure stays as it is."""
        time.sleep(self.seconds)
        return Relaxation(atoms.copy(), -1.0, True, 1)


def structures() -> Iterator[tuple[Candidate, bytes]]:
    """Structures of a hundred atoms and their keys; who proposes them is another story."""
    rng = np.random.default_rng(1)
    grid = 2.5 * np.array(np.unravel_index(range(ATOMS), (5, 5, 4))).T
    positions = grid + rng.uniform(-0.2, 0.2, (DIFFERENT, *grid.shape))
    ready = [snap(Atoms([18] * ATOMS, p, cell=[15] * 3, pbc=True)) for p in positions]
    size = len(structure_key(ready[0], ""))
    for index in count():
        yield (
            Candidate(index, ready[index % DIFFERENT], "random"),
            index.to_bytes(size, "big"),
        )


@dataclass
class Work:
    """What came back of a pool in a while, and what that took, all in seconds.

    ``processor`` is of this process, ``main`` of it in the thread that proposes and commits; the
    rest is the scheduler's and its connections'.
    """

    done: int = 0
    wall: float = 0.0
    asleep: float = 0.0
    processor: float = 0.0
    main: float = 0.0


def work(pool: DaskPool, folder: Path, *, warm: float, measured: float) -> Work:
    """Pass candidates through pool and store; what comes after ``warm`` seconds counts."""
    source, found = structures(), Work()
    next(source)  # makes them
    begun = clocks()
    with RunStore.create_or_open(folder, recipe={"benchmark": "cluster"}, provenance={}) as store:
        while (now := clocks())[0] < begun[0] + warm + measured:
            if now[0] > begun[0] + warm and not found.wall:
                found, begun_counting = Work(wall=1.0), now
            sent = [next(source) for _ in range(pool.room())]
            if sent:
                store.propose(sent)
                pool.submit([candidate for candidate, _ in sent])
            ended = pool.collect(1.0)
            store.commit(ended)
            found.done += len(ended)
            found.asleep += sum(e.seconds for e in ended)
        passed = np.subtract(now, begun_counting)
    return replace(found, wall=passed[0], processor=passed[1], main=passed[2])


def clocks() -> tuple[float, float, float]:
    """Seconds by the clock, of this process, of this thread."""
    return time.perf_counter(), time.process_time(), time.thread_time()


async def timers(seconds: float, _: Any, block: bytes, __: float) -> bytes:
    """What a worker of a crowd does instead of evaluating: wait for as long as that would take.

    Each of its processes takes the next candidate when it has done with the one before.
    """
    from distributed import get_worker
    from distributed.protocol import pickle

    worker, now, candidates = get_worker(), time.time(), pickle.loads(block)
    if not hasattr(worker, "free_at"):
        worker.free_at = [0.0] * worker.state.nthreads
    for _ in candidates:
        last = max(now, worker.free_at[0]) + seconds
        heapq.heapreplace(worker.free_at, last)
    await asyncio.sleep(last - now)
    return bytes(pickle.dumps(Share([evaluated(candidate, seconds) for candidate in candidates])))


def evaluated(candidate: Candidate, seconds: float) -> Evaluation:
    """A result of the size that results have."""
    relaxation = Relaxation(candidate.atoms.copy(), -1.0, True, 1)
    return Evaluation(candidate, relaxation, objectives={"energy": -1.0}, seconds=seconds)


def crowd_process(address: str, first: int, workers: int, inner: int, seconds: float) -> None:
    """Many Dask workers in one process and event loop, until the scheduler goes."""
    import dask
    from distributed import Worker

    htinvert.pool.here.evaluate_packed = partial(timers, seconds)  # type: ignore[assignment]
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def serve() -> None:
        options = {"nthreads": inner, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
        names = range(first, first + workers)
        them = [Worker(address, host="127.0.0.1", name=n, **options) for n in names]
        for worker in them:
            await worker
        await asyncio.gather(*(worker.finished() for worker in them))

    with dask.config.set(SETTINGS | QUIET), tempfile.TemporaryDirectory() as folder:
        dask.config.set({"temporary_directory": folder})
        asyncio.run(serve())


@contextmanager
def crowd(workers: int, inner: int, seconds: float) -> Iterator[Connection]:
    """A scheduler in this process and a crowd of workers in a few others."""
    import dask
    from distributed import Client, LocalCluster

    spawn = multiprocessing.get_context("spawn")
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        begun = time.perf_counter()
        each = -(-workers // CROWD_PROCESSES)
        processes = [
            spawn.Process(
                target=crowd_process,
                args=(cluster.scheduler_address, first, min(each, workers - first), inner, seconds),
                daemon=True,
            )
            for first in range(0, workers, each)
        ]
        for process in processes:
            process.start()
        while (here := len(cluster.scheduler.workers)) < workers:
            if time.perf_counter() - begun > CONNECT_SECONDS:
                raise TimeoutError(f"only {here} of {workers} workers have connected")
            time.sleep(0.1)
        print(f"{workers:5d} workers connected in {time.perf_counter() - begun:.0f} s", flush=True)
        block = min(10.0, max(JOB_BLOCK_SECONDS, workers / TASKS_PER_SECOND))
        alive = partial(_alive, cluster)
        yield Connection(client, workers, alive=alive, inner=inner, block_seconds=block)
        for process in processes:
            process.terminate()


def _alive(cluster: Any) -> int:
    return len(cluster.scheduler.workers)


def two_workers() -> None:
    """Candidates of 20 ms on two real worker processes."""
    with tempfile.TemporaryDirectory() as folder:
        parcel = pack(Recipe(Sleep(0.02)), Path(folder) / "recipe")
        pool = DaskPool(partial(local, 2), parcel)
        found = work(pool, Path(folder) / "run", warm=3.0, measured=20.0)
        pool.close()
    print(
        f"2 workers, 20 ms: {found.done / found.wall:.0f}/s, busy "
        f"{100 * found.asleep / 2 / found.wall:.0f} % of the time, {cost(found)}",
        flush=True,
    )


def simulated(workers: int, inner: int, seconds: float) -> None:
    """One crowd, when each of its processes has had its first candidates."""
    with tempfile.TemporaryDirectory() as folder:
        parcel = pack(Recipe(Sleep(seconds)), Path(folder) / "recipe")
        pool = DaskPool(partial(crowd, workers, inner, seconds), parcel)
        pool._seconds = seconds  # else the first blocks are of one candidate each
        warm = max(10.0, 1.5 * seconds)
        found = work(pool, Path(folder) / "run", warm=warm, measured=max(MEASURED, seconds))
        pool.close()
    ideal = workers * inner / seconds
    print(
        f"{workers:5d} workers x {inner:2d}, {seconds:6.2f} s: {found.done / found.wall:7.1f}/s of "
        f"{ideal:7.1f}/s ideal, busy {100 * found.done / found.wall / ideal:3.0f} %, {cost(found)}",
        flush=True,
    )


def cost(found: Work) -> str:
    """What candidates cost this process, in words."""
    each = 1e3 / max(found.done, 1)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"driver {each * found.processor:.2f} ms of processor per candidate "
        f"({each * found.main:.2f} without the scheduler), "
        f"{100 * found.processor / found.wall:.0f} % of a core; {largest:.1f} GB at most"
    )


def main() -> None:
    """Run the benchmark's parts."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--inner", type=int, default=1, help="processes in each worker")
    arguments.add_argument("--candidate", type=float, default=2.0, help="seconds per candidate")
    given = arguments.parse_args()
    if given.workers:
        simulated(given.workers, given.inner, given.candidate)
        return
    two_workers()
    for crowd_of in CROWDS:
        simulated(*crowd_of)


if __name__ == "__main__":
    main()
