"""The pool on Dask's workers, and what it does when those come to a standstill."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.cluster.connect import local
from htinvert.core import Candidate, Recipe, Relaxation, UserError
from htinvert.pool import on_dask as dask_pool
from htinvert.pool.here import JOB_SECONDS, LEAVE_AT, Connection, evaluate_block
from htinvert.pool.on_dask import DaskPool
from htinvert.pool.parcel import Parcel, pack


@dataclass(frozen=True)
class Slow:
    """Takes a while [s]; a structure of three atoms kills its process."""

    seconds: float = 0.0

    def __call__(self, atoms: Atoms) -> Relaxation:
        if len(atoms) == 3:
            os._exit(1)
        time.sleep(self.seconds)
        return Relaxation(atoms.copy(), -1.0, True, 1)


def candidate(index: int, atoms: int = 4) -> Candidate:
    positions = 2.5 * np.arange(atoms)[:, None] * [1, 0, 0] + [0, 0, 0.001 * index]
    return Candidate(index, Atoms([18] * atoms, positions, cell=[30] * 3, pbc=True), "random")


def packed(folder: Path, seconds: float = 0.0) -> Parcel:
    return pack(Recipe(Slow(seconds)), folder / "recipe")


def drain(pool: DaskPool, seconds: float = 120) -> dict[int, str]:
    """Collect until nothing is on its way; per candidate, why it failed."""
    end, found = time.monotonic() + seconds, {}
    while pool.busy():
        assert time.monotonic() < end
        for evaluation in pool.collect(0.2):
            assert evaluation.candidate.index not in found
            found[evaluation.candidate.index] = evaluation.error or ""
    return found


def test_a_finished_block_whose_workers_are_gone_is_evaluated_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for such a result, with no worker left to repeat it, once never ended."""
    monkeypatch.setattr(dask_pool, "NO_WORKER_SECONDS", 3.0)
    monkeypatch.setattr(dask_pool, "FETCH_SECONDS", 3.0)
    pool = DaskPool(lambda: local(1), packed(tmp_path))
    try:
        pool.submit([candidate(0)])
        client = pool._connection.client
        (future,) = pool._futures.values()
        deadline = time.monotonic() + 60
        while not future.done():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        client.cluster.scale(0)
        while client.cluster.scheduler.workers:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert drain(pool) == {0: ""}
        assert any("starting workers anew" in line for line in pool.news())
    finally:
        pool.close()


def test_a_scheduler_that_stops_answering_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "NO_ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(dask_pool, "FETCH_SECONDS", 2.0)
    stuck = threading.Event()
    pool = DaskPool(lambda: local(1), packed(tmp_path, seconds=0.2))
    try:
        loop = pool._connection.client.loop
        pool.submit([candidate(i) for i in range(4)])
        loop.add_callback(stuck.wait, 60)  # what a scheduler that hangs looks like from here
        found = drain(pool)
        assert found == dict.fromkeys(range(4), "")
        assert any("the scheduler has not answered" in line for line in pool.news())
    finally:
        stuck.set()
        pool.close()


def test_a_standstill_that_no_new_beginning_ends_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_pool, "NO_WORKER_SECONDS", 0.5)

    @contextmanager
    def unmanned() -> Iterator[Connection]:
        with local(0) as connection:  # ended at once: no worker has to be
            yield replace(connection, workers=1)

    pool = DaskPool(unmanned, packed(tmp_path))
    try:
        pool.submit([candidate(0)])
        with pytest.raises(UserError, match="no worker has been alive .* after 3 new beginnings"):
            drain(pool)
    finally:
        pool.close()


def test_the_one_that_kills_is_found_in_its_block(tmp_path: Path) -> None:
    pool = DaskPool(lambda: local(2), packed(tmp_path))
    try:
        pool._seconds = 0.05  # so that a block holds ten of them
        assert pool._block_size() == 10
        pool.submit([candidate(i, atoms=3 if i == 6 else 4) for i in range(20)])
        found = drain(pool)
    finally:
        pool.close()
    assert {index for index, error in found.items() if error} == {6}
    assert found[6] == "the worker was lost: it died under this candidate 2 times"
    assert sorted(found) == list(range(20))


def test_a_large_crowd_is_filled_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first workers begin while candidates for the others are still being proposed."""
    monkeypatch.setattr(dask_pool, "AT_ONCE", 10)

    @contextmanager
    def crowd() -> Iterator[Connection]:
        with local(1) as connection:
            yield replace(connection, workers=12)

    pool = DaskPool(crowd, packed(tmp_path, seconds=10.0))
    try:
        pool._seconds = 10.0  # so that a block is of one
        for first, room in ((0, 10), (10, 10), (20, 4)):
            assert pool.room() == room
            pool.submit([candidate(first + i) for i in range(room)])
            assert pool.collect(0.0 if room == 4 else 100.0) == []  # without waiting
        assert (pool.room(), pool.busy()) == (0, 24)
    finally:
        pool.close()


def test_results_are_taken_in_bit_by_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand at once once took longer than results may take, and were asked for again."""
    monkeypatch.setattr(dask_pool, "FETCHED", 2)
    pool = DaskPool(lambda: local(1), packed(tmp_path))
    try:
        pool._seconds = 10.0  # so that a block is of one
        pool.submit([candidate(i) for i in range(5)])
        deadline = time.monotonic() + 60
        while pool._done.qsize() < 5:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        sizes = [len(pool.collect(1.0)) for _ in range(3)]
        assert (sizes, pool.busy()) == ([2, 2, 1], 0)
    finally:
        pool.close()


def test_one_in_flight_leaves_room_for_one(tmp_path: Path) -> None:
    pool = DaskPool(lambda: local(1), packed(tmp_path), in_flight=1)
    try:
        assert pool.room() == 1
        pool.submit([candidate(0)])
        assert pool.room() == 0
        drain(pool)
        assert pool.room() == 1
    finally:
        pool.close()


def test_a_recipe_that_no_worker_can_read_ends_the_pool(tmp_path: Path) -> None:
    parcel = packed(tmp_path)
    Path(parcel.path).unlink()
    pool = DaskPool(lambda: local(1), parcel)
    try:
        pool.submit([candidate(0)])
        with pytest.raises(UserError, match="put the run on a file system that all nodes share"):
            drain(pool)
    finally:
        pool.close()


def test_nothing_is_begun_that_the_job_has_no_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = packed(tmp_path, seconds=0.3)
    candidates = [candidate(i) for i in range(5)]
    monkeypatch.setenv(JOB_SECONDS, "100")
    monkeypatch.setenv(LEAVE_AT, str(time.time() + 1.0))
    share = evaluate_block(parcel, candidates, 0.3)
    assert 1 <= len(share.evaluations) <= 3
    monkeypatch.setenv(LEAVE_AT, str(time.time() + 10.0))
    assert evaluate_block(parcel, candidates, 6.0).evaluations == []
    monkeypatch.setenv(LEAVE_AT, str(time.time() + 100.0))  # as long as a job can be
    assert len(evaluate_block(parcel, candidates[:1], 1000.0).evaluations) == 1


def test_what_a_job_had_no_time_for_is_done_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first worker may stay for a moment only; the pool begins anew when it has left."""
    monkeypatch.setattr(dask_pool, "NO_WORKER_SECONDS", 2.0)
    monkeypatch.setenv(JOB_SECONDS, "1000")
    monkeypatch.setenv(LEAVE_AT, str(time.time() + 1.0))
    pool = DaskPool(lambda: local(1), packed(tmp_path))
    try:
        monkeypatch.delenv(LEAVE_AT)
        pool._seconds = 10.0
        pool.submit([candidate(0)])
        assert drain(pool) == {0: ""}
    finally:
        pool.close()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGHUP])
def test_signals_of_batch_systems_are_taken_as_a_wish_to_leave(number: signal.Signals) -> None:
    from htinvert.campaign.interrupt import interruptible

    with interruptible() as interrupted:
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        assert interrupted.is_set()
