"""How well workers are kept busy, what a candidate costs the driver, and where one driver ends.

Two real workers with candidates that sleep; then crowds of Dask workers, each a thread that sleeps
for as long as its block would take, against the real scheduler, pool and store in this process.
``python benchmarks/cluster.py`` runs all, ``--workers 1000 --candidate 2`` one crowd.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

import htinvert.graph
from htinvert.cluster.connect import JOB_BLOCK_SECONDS, SETTINGS, TASKS_PER_SECOND, local
from htinvert.core import Candidate, Evaluation, Recipe, Relaxation
from htinvert.dask_pool import DaskPool
from htinvert.graph import Connection, Share
from htinvert.parcel import pack
from htinvert.store import Run, snap, structure_key

ATOMS = 100
PER_PROCESS = 125  # workers of a crowd in one process
CROWDS = ((10, 0.02), (10, 0.2), (100, 0.2), (100, 2.0), (300, 10.0))  # workers, s


@dataclass(frozen=True)
class Sleep:
    """An energy that takes a while [s] and no processor time."""

    seconds: float

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Sleep; the structure stays as it is."""
        time.sleep(self.seconds)
        return Relaxation(atoms, -1.0, True, 1)


def structures() -> Iterator[Candidate]:
    """Structures of a hundred atoms, all different."""
    rng = np.random.default_rng(1)
    grid = 2.5 * np.array(np.unravel_index(range(ATOMS), (5, 5, 4))).T
    for index in count():
        positions = grid + rng.uniform(-0.2, 0.2, grid.shape)
        atoms = snap(Atoms([18] * ATOMS, positions, cell=[15] * 3, pbc=True))
        yield Candidate(index, atoms, "random")


def work(pool: DaskPool, folder: Path, *, evaluations: int) -> dict[str, float]:
    """Pass candidates through pool and store; seconds by the clock and of this process."""
    source, done, asleep, sent = structures(), 0, 0.0, 0
    ready = [next(source) for _ in range(evaluations + 4)]  # who proposes them is another story
    keys = [structure_key(candidate.atoms, "") for candidate in ready]
    with Run.create_or_open(folder, recipe={"benchmark": "cluster"}, provenance={}) as store:
        pool.submit(ready[evaluations:])  # to learn how long they take
        while not pool.collect(1.0):
            pass
        begun, processor = time.perf_counter(), time.process_time()
        while done < evaluations:
            part = slice(sent, sent + max(0, min(pool.room(), evaluations - sent)))
            sent = part.stop
            if ready[part]:
                store.propose(list(zip(ready[part], keys[part], strict=True)))
                pool.submit(ready[part])
            ended = [e for e in pool.collect(1.0) if e.candidate.index < evaluations]
            store.commit(ended)
            done += len(ended)
            asleep += sum(e.seconds for e in ended)
        wall, processor = time.perf_counter() - begun, time.process_time() - processor
    return {"done": done, "wall": wall, "processor": processor, "asleep": asleep}


def sleeping_block(seconds: float, _: Any, candidates: Sequence[Candidate], __: float) -> Share:
    """What a worker of a crowd does instead of evaluating."""
    time.sleep(seconds * len(candidates))
    return Share(
        [
            Evaluation(
                c,
                Relaxation(c.atoms, -1.0, True, 1),
                objectives={"energy": -1.0},
                seconds=seconds,
            )
            for c in candidates
        ]
    )


def crowd_process(address: str, workers: int, seconds: float) -> None:
    """Many Dask workers of one thread in one process and event loop, until the scheduler goes."""
    import dask
    from distributed import Worker

    htinvert.graph.evaluate_block = partial(sleeping_block, seconds)  # type: ignore[assignment]
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def serve() -> None:
        options = {"nthreads": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
        them = [Worker(address, host="127.0.0.1", **options) for _ in range(workers)]
        await asyncio.gather(*them)
        await asyncio.gather(*(worker.finished() for worker in them))

    with dask.config.set(SETTINGS), tempfile.TemporaryDirectory() as folder:
        dask.config.set({"temporary_directory": folder})
        asyncio.run(serve())


@contextmanager
def crowd(workers: int, seconds: float) -> Iterator[Connection]:
    """A scheduler in this process and a crowd of sleeping workers in a few others."""
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
        shares = [PER_PROCESS] * (workers // PER_PROCESS) + [workers % PER_PROCESS]
        address = cluster.scheduler_address
        processes = [
            spawn.Process(target=crowd_process, args=(address, n, seconds), daemon=True)
            for n in shares
            if n
        ]
        for process in processes:
            process.start()
        client.wait_for_workers(workers, timeout=300)
        block = min(10.0, max(JOB_BLOCK_SECONDS, workers / TASKS_PER_SECOND))
        alive = partial(_alive, cluster)
        yield Connection(client, workers, alive=alive, block_seconds=block)
        for process in processes:
            process.terminate()


def _alive(cluster: Any) -> int:
    return len(cluster.scheduler.workers)


def two_workers() -> None:
    """Candidates of 20 ms on two real worker processes."""
    with tempfile.TemporaryDirectory() as folder:
        parcel = pack(Recipe(Sleep(0.02)), Path(folder) / "recipe")
        pool = DaskPool(partial(local, 2), parcel)
        found = work(pool, Path(folder) / "run", evaluations=1500)
        pool.close()
    busy = found["asleep"] / 2 / found["wall"]
    print(
        f"2 workers, 20 ms: busy {100 * busy:.0f} % of the time, "
        f"{1e3 * found['processor'] / found['done']:.2f} ms of the driver per candidate, "
        f"{found['done'] / found['wall']:.0f}/s"
    )


def simulated(workers: int, seconds: float) -> None:
    """One crowd: as many candidates as it ends in some twenty seconds, or two rounds."""
    evaluations = min(round(workers * max(20.0 / seconds, 3)), 8000)
    with tempfile.TemporaryDirectory() as folder:
        parcel = pack(Recipe(Sleep(seconds)), Path(folder) / "recipe")
        pool = DaskPool(partial(crowd, workers, seconds), parcel)
        found = work(pool, Path(folder) / "run", evaluations=evaluations)
        pool.close()
    cost = found["processor"] / found["done"]
    busy = found["asleep"] / workers / found["wall"]
    print(
        f"{workers:5d} workers, {seconds:5.2f} s: {found['done'] / found['wall']:7.1f}/s of "
        f"{workers / seconds:7.1f}/s ideal, busy {100 * busy:3.0f} %, driver {1e3 * cost:.2f} ms "
        f"of processor per candidate, so at most {1 / cost:.0f}/s",
        flush=True,
    )


def main() -> None:
    """Run the benchmark's parts."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--candidate", type=float, default=2.0, help="seconds per candidate")
    given = arguments.parse_args()
    if given.workers:
        simulated(given.workers, given.candidate)
        return
    two_workers()
    for workers, seconds in CROWDS:
        simulated(workers, seconds)


if __name__ == "__main__":
    main()
