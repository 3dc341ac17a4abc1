"""The pool inside a worker: where a process dies, only the candidate that killed it is to blame."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.cluster.connect import local
from htinvert.core import Candidate, Recipe, Relaxation, UserError
from htinvert.pool import inner
from htinvert.pool.here import INNER, JOB_SECONDS, LEAVE_AT, Connection, evaluate_block
from htinvert.pool.inner import InnerPool
from htinvert.pool.on_dask import DaskPool
from htinvert.pool.parcel import Parcel, pack

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Moody:
    """Says in which process it was; three atoms kill that, five take 400 MB and time."""

    seconds: float = 0.0
    mark: str = ""

    def __call__(self, atoms: Atoms) -> Relaxation:
        if self.mark:
            Path(self.mark).write_text(str(os.getpid()))
        if len(atoms) == 3:
            os._exit(7)
        if len(atoms) == 5:
            hog = np.ones(50_000_000)
            time.sleep(20 * hog[0])
        time.sleep(self.seconds)
        return Relaxation(atoms.copy(), -float(os.getpid()), True, 1)


def candidate(index: int, atoms: int = 4) -> Candidate:
    positions = 2.5 * np.arange(atoms)[:, None] * [1, 0, 0] + [0, 0, 0.001 * index]
    return Candidate(index, Atoms([18] * atoms, positions, cell=[30] * 3, pbc=True), "random")


def packed(folder: Path, seconds: float = 0.0) -> Parcel:
    return pack(Recipe(Moody(seconds)), folder / "recipe")


def always() -> bool:
    return True


def test_two_processes_share_what_there_is(tmp_path: Path) -> None:
    with closing(InnerPool(packed(tmp_path, seconds=0.05), 2)) as pool:
        found = pool.evaluate([candidate(i) for i in range(40)], always)
    assert sorted(e.candidate.index for e in found) == list(range(40))
    processes = {e.relaxation.energy for e in found if e.relaxation}
    assert len(processes) == 2
    assert -os.getpid() not in processes


def test_only_the_candidate_that_kills_is_given_up(tmp_path: Path) -> None:
    with closing(InnerPool(packed(tmp_path), 2)) as pool:
        found = pool.evaluate([candidate(i, atoms=3 if i == 4 else 4) for i in range(12)], always)
    assert {e.candidate.index: e.error for e in found if e.error} == {
        4: "the worker was lost: it died under this candidate 2 times (exit status 7)"
    }
    assert len(found) == 12


def test_a_process_that_takes_more_than_its_share_of_memory_is_ended(tmp_path: Path) -> None:
    """400 MB and what Python and its libraries take are more than 350 MB."""
    with closing(InnerPool(packed(tmp_path), 1, memory=350e6)) as pool:
        modest, greedy = pool.evaluate([candidate(0, atoms=5), candidate(1)], always)
    assert modest.error is None
    assert "died under this candidate 2 times (it took" in (greedy.error or "")


def test_two_blocks_at_a_time_get_their_own_back(tmp_path: Path) -> None:
    pool = InnerPool(packed(tmp_path, seconds=0.02), 2)
    found: dict[int, list[int]] = {}

    def block(first: int) -> None:
        mine = pool.evaluate([candidate(first + i) for i in range(10)], always)
        found[first] = sorted(e.candidate.index for e in mine)

    threads = [threading.Thread(target=block, args=(first,)) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    pool.close()
    assert found == {0: list(range(10)), 100: list(range(100, 110))}


def test_a_recipe_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    parcel = packed(tmp_path)
    Path(parcel.path).unlink()
    with pytest.raises(UserError, match="put the run on a file system that all nodes share"):
        InnerPool(parcel, 1).evaluate([candidate(0)], always)


def test_a_process_that_does_not_start_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inner, "STARTS", 1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="does not start: exit status 1; look into the job's log"):
        InnerPool(packed(tmp_path), 1).evaluate([candidate(0)], always)


def test_what_there_is_no_time_for_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INNER, "2")
    monkeypatch.setenv(JOB_SECONDS, "1000")
    monkeypatch.setenv(LEAVE_AT, str(time.time() + 5.0))
    share = evaluate_block(packed(tmp_path), [candidate(i) for i in range(4)], 10.0)
    assert share.evaluations == []


def test_blocks_and_their_number_follow_the_processes_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(INNER, "2")

    @contextmanager
    def one_worker() -> Iterator[Connection]:
        with local(1) as connection:
            yield replace(connection, inner=2)

    pool = DaskPool(one_worker, packed(tmp_path))
    try:
        assert pool.room() == 3  # one for each process, one that waits
        pool._seconds = 0.05
        assert pool.room() == 40  # two blocks of half a second for two processes
        pool._seconds = 100.0
        assert pool.room() == 3
        pool.submit([candidate(i, atoms=3 if i == 1 else 4) for i in range(3)])
        found = {}
        while pool.busy():
            found |= {e.candidate.index: e.error or "" for e in pool.collect(1.0)}
    finally:
        pool.close()
    assert found[1].endswith("died under this candidate 2 times (exit status 7)")
    assert sorted(found) == [0, 1, 2] and found[0] == found[2] == ""


def test_the_processes_end_with_a_worker_that_is_killed(tmp_path: Path) -> None:
    """Also in the midst of an evaluation: this one would take a minute."""
    mark = tmp_path / "mark"
    parcel = pack(Recipe(Moody(60, str(mark))), tmp_path / "recipe")
    code = (
        "from tests.integration.test_inner import *; "
        f"InnerPool({parcel!r}, 1).evaluate([candidate(0)], always)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    end = time.monotonic() + 60
    try:
        while not mark.exists() or not mark.read_text():
            assert worker.poll() is None and time.monotonic() < end
            time.sleep(0.05)
    finally:
        worker.kill()
        worker.wait()
    while Path(f"/proc/{mark.read_text()}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
