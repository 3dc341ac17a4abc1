"""The store against a dictionary, whatever is done to it in whatever order."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import htinvert.store.run
from htinvert.store import Held, OutOfSpace, RunStore
from htinvert.store.salvage import verify

from .pseudo import RECIPE, pseudo_evaluation, same

FULL = os.environ.get("HTINVERT_TORTURE") == "full"


class Store(RuleBasedStateMachine):
    """What was acknowledged is there, once, as it was, in the order of commits."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(htinvert.store.run, "BLOCK", 4)
        self.home = Path(tempfile.mkdtemp())
        self.path = self.home / "run"
        self.committed: list[int] = []
        self.pending: list[int] = []
        self.next = 0
        self.start()

    def start(self) -> None:
        self.run = RunStore.create_or_open(self.path, recipe=RECIPE, provenance={})

    @rule(count=st.integers(1, 4))
    def propose(self, count: int) -> None:
        made = [pseudo_evaluation(index) for index in range(self.next, self.next + count)]
        self.run.propose((evaluation.candidate, key) for evaluation, key in made)
        self.pending += range(self.next, self.next + count)
        self.next += count

    # What is drawn may not depend on the disk, or no failure could be repeated: whether a result
    # fits into the last page does, so rules that need one pending do nothing where none is.

    @rule(bits=st.integers(1, 255), backwards=st.booleans())
    def commit(self, bits: int, backwards: bool) -> None:
        """Results, good and failed, in any order; one of those there already is ignored."""
        chosen = [index for n, index in enumerate(self.pending) if bits >> n % 8 & 1]
        chosen = chosen[::-1] if backwards else chosen
        repeated = self.committed[:1]
        self.run.commit(pseudo_evaluation(index)[0] for index in (*chosen, *repeated))
        self.committed += chosen
        self.pending = [index for index in self.pending if index not in chosen]

    @rule()
    def fold(self) -> None:
        self.run.fold()

    @rule()
    def close_and_reopen(self) -> None:
        self.run.close()
        self.start()

    @rule()
    def crash_and_reopen(self) -> None:
        self.run._shut()
        self.start()

    @rule()
    def a_second_driver_is_refused(self) -> None:
        with pytest.raises(Held):
            RunStore.create_or_open(self.path, recipe=RECIPE, provenance={})

    @rule()
    def the_disk_is_full(self) -> None:
        if not self.pending:
            return
        connection = self.run._journal.connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        if free:
            return
        connection.execute(f"PRAGMA max_page_count = {pages}")
        try:
            self.run.commit([pseudo_evaluation(self.pending[0])[0]])
            self.committed.append(self.pending.pop(0))  # it fitted into the last page
        except OutOfSpace:
            pass
        connection.execute("PRAGMA max_page_count = 1000000")

    @rule(number=st.integers(0, 10**6), bit=st.integers(0, 7))
    def a_copy_is_damaged(self, number: int, bit: int) -> None:
        """A flipped bit in the archive of a copy is found, and costs nothing where it can be."""
        self.run.close()
        copy = self.home / "copy" / "run"
        shutil.copytree(self.path, copy)
        self.start()
        files = sorted(p for p in (copy / "results.zarr").rglob("*") if p.is_file())
        if files:
            victim = files[number % len(files)]
            raw = bytearray(victim.read_bytes())
            raw[number % len(raw)] ^= 1 << bit
            victim.write_bytes(raw)
            found = verify(copy, repair=True)
            assert found.problems
            with RunStore.open(copy) as run:
                kept = list(run.evaluations())
            assert len(kept) == len(self.committed) - found.lost
        shutil.rmtree(copy.parent)

    @rule()
    def rank(self) -> None:
        if not self.committed:
            return
        table = self.run.table()
        good = table[table["ok"]]
        known = {i: pseudo_evaluation(i)[0].objectives.get("energy") for i in self.committed}
        expected = sorted(value for value in known.values() if value is not None)
        assert np.array_equal(np.sort(good["objectives.energy"]), expected)

    @invariant()
    def everything_acknowledged_is_there(self) -> None:
        found: list[Any] = list(self.run.evaluations())
        assert [e.candidate.index for e in found] == self.committed
        assert all(
            e.objectives == pseudo_evaluation(e.candidate.index)[0].objectives for e in found
        )
        for evaluation in self.run.evaluations(max(0, len(found) - 2), signals=True):
            assert same(evaluation, pseudo_evaluation(evaluation.candidate.index)[0])
        assert sorted(c.index for c in self.run.pending()) == sorted(self.pending)

    def teardown(self) -> None:
        self.run._shut()
        self.patch.undo()
        shutil.rmtree(self.home)


Store.TestCase.settings = settings(
    max_examples=100 if FULL else 4,
    stateful_step_count=25 if FULL else 12,
    deadline=None,
    derandomize=not FULL,
    suppress_health_check=list(HealthCheck),
    database=None,
)
TestStore = Store.TestCase
