"""A writer killed with SIGKILL at random moments loses nothing it acknowledged, doubles nothing.

The oracle is a pipe: the writer sends the numbers of a batch only after its commit has returned.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from htinvert.core import Candidate, Evaluation, Relaxation, Score, Signal
from htinvert.store import Run, archive, snap, structure_key
from htinvert.store.reading import read
from htinvert.store.salvage import verify

KILLS, SAMPLE = 200, 8
RECIPE = {"pseudo": {"version": 1}}


def pseudo_evaluation(index: int) -> tuple[Evaluation, bytes]:
    """What the candidate ``index`` always comes to: a known function of its number, and its key."""
    from ase import Atoms

    rng = np.random.default_rng([7, index])
    n = int(rng.integers(1, 9))
    atoms = snap(Atoms(numbers=rng.integers(1, 90, n), positions=rng.uniform(0, 9, (n, 3))))
    candidate = Candidate(index, atoms, "pseudo", (index - 1,) if index else ())
    key = structure_key(atoms, str(index))
    if index % 7 == 3:
        return Evaluation(candidate, error=f"pseudo failure {index}"), key
    relaxed = atoms.copy()
    relaxed.positions += rng.normal(0, 0.01, (n, 3))
    energy = float(rng.normal())
    return Evaluation(
        candidate,
        relaxation=Relaxation(relaxed, energy, True, index),
        scores={"c.m": Score(energy**2, {"d": energy / 3})},
        objectives={"energy": energy, "c.m": energy**2},
        parameters={"c": {"width": energy + 1}},
        signals={"c": Signal.image(rng.random((4, 4)), 0.1)} if index % 50 == 0 else {},
    ), key


def write(path: str) -> None:
    """The writer: resume, finish what is pending, go on, and say which are durable."""
    import htinvert.store.run

    htinvert.store.run.BLOCK = 200  # so that about half of the time is spent folding
    run = Run.create_or_open(path, recipe=RECIPE, provenance={})
    print("opened", flush=True)
    todo = [candidate.index for candidate in run.pending()]
    for batch in range(10**9):
        start = run.next_index
        proposed = [pseudo_evaluation(index) for index in range(start, start + 9)]
        run.propose((evaluation.candidate, key) for evaluation, key in proposed)
        todo += range(start, start + 9)
        done, todo = todo[:-2], todo[-2:]  # two stay in flight
        run.commit(pseudo_evaluation(index)[0] for index in done)
        print(*done, flush=True)
        if batch % 60 == 59:
            run.fold()


def run_and_kill(path: Path, *, batches: int, delay: float) -> set[int]:
    """Kill a writer ``delay`` seconds after it acknowledged so many batches; what it acknowledged.

    With -1 batches the delay counts from its start, before it has opened the run.
    """
    writer = subprocess.Popen(
        [sys.executable, __file__, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert writer.stdout is not None
    with writer, writer.stdout:
        lines = [writer.stdout.readline() for _ in range(batches + 1)]
        time.sleep(delay)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.read().splitlines(keepends=True)
        assert writer.wait() == -signal.SIGKILL
    whole = [line for line in lines if line.endswith("\n") and line != "opened\n"]
    return {int(word) for line in whole for word in line.split()}


def require_all(path: Path, acknowledged: set[int]) -> int:
    """Every acknowledged candidate is in the journal once, with its values."""
    reader = Run.open(path)
    found = [evaluation.candidate.index for evaluation in reader.evaluations()]
    reader.close()
    assert len(set(found)) == len(found)
    assert acknowledged <= set(found)
    return len(found)


def require_equal(found: Evaluation, expected: Evaluation) -> None:
    assert np.array_equal(found.atoms.positions, expected.atoms.positions)
    assert np.array_equal(found.candidate.atoms.positions, expected.candidate.atoms.positions)
    assert np.array_equal(found.atoms.numbers, expected.atoms.numbers)
    assert (found.error, found.objectives) == (expected.error, expected.objectives)
    assert (found.scores, found.parameters) == (expected.scores, expected.parameters)
    assert found.candidate.parents == expected.candidate.parents
    assert found.signals.keys() == expected.signals.keys()
    for name, kept in found.signals.items():
        data = expected.signals[name].data
        assert np.abs(kept.data - data).max() <= 0.501 * np.ptp(data) / 4095  # 12 bits


def test_kill_9_loses_no_acknowledged_result_and_doubles_none(full: bool, tmp_path: Path) -> None:
    kills = KILLS if full else SAMPLE
    rng = np.random.default_rng(20261120)
    path, acknowledged, folded = tmp_path / "run", set[int](), 0
    for kill in range(kills):
        if kill % 5 == 0:  # while it starts, opens or recovers
            acknowledged |= run_and_kill(path, batches=-1, delay=rng.uniform(0.2, 0.9))
        else:
            batches, delay = int(rng.integers(0, 40)), rng.uniform(0, 0.2)
            acknowledged |= run_and_kill(path, batches=batches, delay=delay)
        if (path / "journal.sqlite").exists() and acknowledged:
            require_all(path, acknowledged)
        folded += (path / "results.zarr").exists()
    assert (
        len(acknowledged) > 20 * kills and folded > kills / 4
    )  # the test has met what it is about
    with Run.create_or_open(path, recipe=RECIPE, provenance={}) as run:
        run.commit(pseudo_evaluation(candidate.index)[0] for candidate in run.pending())
        assert run.pending() == []
        total = run.counts().ok + run.counts().failed
    assert verify(path, full=True).problems == []
    reader = Run.open(path)
    assert "refold" not in (path / "log.jsonl").read_text()  # a torn fold costs that block only
    journal = list(reader.evaluations(signals=True))
    rows = list(read(path, signals=True))
    reader.close()
    assert len(journal) == len(rows) == total == len({row.key for row in rows})
    assert acknowledged <= {evaluation.candidate.index for evaluation in journal}
    for evaluation, row in zip(journal, rows, strict=True):
        expected, key = pseudo_evaluation(evaluation.candidate.index)
        require_equal(evaluation, expected)
        require_equal(row.evaluation, expected)
        assert row.key == key


CUTS = (
    "candidates/natoms",
    "candidates/atom_start",
    "atoms/position",
    "proposed/position",
    "candidates/key",
    "candidates/operator",
    "objectives/energy",
    "signals/c/row",
    "signals/c/data",
    "candidates/status",
)


@pytest.mark.parametrize("cut", CUTS)
def test_a_fold_cut_short_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    grown = archive._grown

    def grow_until_cut(group: Any, column: Any) -> Any:
        array = grown(group, column)
        if column.path == cut:  # the worst moment: the array is longer and nothing is in it
            raise KeyboardInterrupt
        return array

    path = tmp_path / "run"
    sample = [pseudo_evaluation(index) for index in (48, 49, 50, 51, 52, 99, 100, 150, 151)]
    with Run.create_or_open(path, recipe=RECIPE, provenance={}) as run:
        run.propose((evaluation.candidate, key) for evaluation, key in sample)
        run.commit(evaluation for evaluation, _ in sample[:5])
    run = Run.create_or_open(path, recipe=RECIPE, provenance={})
    run.commit(evaluation for evaluation, _ in sample[5:])
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_grown", grow_until_cut)
        with pytest.raises(KeyboardInterrupt):
            run.close()
    with Run.open(path) as reader:
        assert len(list(reader.evaluations())) == 9
    Run.create_or_open(path, recipe=RECIPE, provenance={}).close()
    assert verify(path, full=True).problems == []
    assert "refold" not in (path / "log.jsonl").read_text()
    for row, (expected, _) in zip(read(path, signals=True), sample, strict=True):
        require_equal(row.evaluation, expected)


if __name__ == "__main__":
    write(sys.argv[1])
