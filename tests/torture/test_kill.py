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

from htinvert.store import RunStore, archive
from htinvert.store.reading import read
from htinvert.store.salvage import verify

from .pseudo import RECIPE, pseudo_evaluation, same

KILLS, SAMPLE = 200, 8
WRITER = Path(__file__).with_name("pseudo.py")


def run_and_kill(path: Path, *, batches: int, delay: float) -> set[int]:
    """Kill a writer ``delay`` seconds after it acknowledged so many batches; what it acknowledged.

    With -1 batches the delay counts from its start, before it has opened the run.
    """
    writer = subprocess.Popen(
        [sys.executable, str(WRITER), str(path)],
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
    reader = RunStore.open(path)
    found = [evaluation.candidate.index for evaluation in reader.evaluations()]
    reader.close()
    assert len(set(found)) == len(found)
    assert acknowledged <= set(found)
    return len(found)


def test_kill_9_loses_no_acknowledged_result_and_doubles_none(full: bool, tmp_path: Path) -> None:
    kills = KILLS if full else SAMPLE
    rng = np.random.default_rng(20261120)
    path, acknowledged, folded = tmp_path / "run", set[int](), 0
    for kill in range(4 * kills):
        met = len(acknowledged) > 20 * kills and folded > kills / 4
        if kill >= kills and met:  # on a busy machine fewer folds are met
            break
        if kill % 5 == 0:  # while it starts, opens or recovers
            acknowledged |= run_and_kill(path, batches=-1, delay=rng.uniform(0.2, 0.9))
        else:
            batches, delay = int(rng.integers(0, 40)), rng.uniform(0, 0.2)
            acknowledged |= run_and_kill(path, batches=batches, delay=delay)
        if (path / "journal.sqlite").exists() and acknowledged:
            require_all(path, acknowledged)
        folded += (path / "results.zarr").exists()
    assert met
    with RunStore.create_or_open(path, recipe=RECIPE, provenance={}) as run:
        run.commit(pseudo_evaluation(candidate.index)[0] for candidate in run.pending())
        assert run.pending() == []
        total = run.counts().ok + run.counts().failed
    assert verify(path, full=True).problems == []
    reader = RunStore.open(path)
    assert "refold" not in (path / "log.jsonl").read_text()  # a torn fold costs that block only
    journal = list(reader.evaluations(signals=True))
    rows = list(read(path, signals=True))
    reader.close()
    assert len(journal) == len(rows) == total == len({row.key for row in rows})
    assert acknowledged <= {evaluation.candidate.index for evaluation in journal}
    for evaluation, row in zip(journal, rows, strict=True):
        expected, key = pseudo_evaluation(evaluation.candidate.index)
        assert same(evaluation, expected)
        assert same(row.evaluation, expected)
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

    def grow_until_cut(array: Any, column: Any) -> Any:
        array = grown(array, column)
        if column.path == cut:  # the worst moment: the array is longer and nothing is in it
            raise KeyboardInterrupt
        return array

    path = tmp_path / "run"
    sample = [pseudo_evaluation(index) for index in (48, 49, 50, 51, 52, 99, 100, 150, 151)]
    with RunStore.create_or_open(path, recipe=RECIPE, provenance={}) as run:
        run.propose((evaluation.candidate, key) for evaluation, key in sample)
        run.commit(evaluation for evaluation, _ in sample[:5])
    run = RunStore.create_or_open(path, recipe=RECIPE, provenance={})
    run.commit(evaluation for evaluation, _ in sample[5:])
    with monkeypatch.context() as patch:
        patch.setattr(archive, "_grown", grow_until_cut)
        with pytest.raises(KeyboardInterrupt):
            run.close()
    with RunStore.open(path) as reader:
        assert len(list(reader.evaluations())) == 9
    RunStore.create_or_open(path, recipe=RECIPE, provenance={}).close()
    assert verify(path, full=True).problems == []
    assert "refold" not in (path / "log.jsonl").read_text()
    for row, (expected, _) in zip(read(path, signals=True), sample, strict=True):
        assert same(row.evaluation, expected)
