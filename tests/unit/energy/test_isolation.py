"""Engines that hang, crash, eat memory or lie: the candidate fails by name, the worker lives on."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk

from htinvert import plugins
from htinvert.core import Candidate, EvaluationFailed, Recipe, UserError
from htinvert.energy import isolation
from htinvert.energy.isolation import Isolated, Limits
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.validity import STATUSES

SPEC = importlib.util.spec_from_file_location(
    "misbehaving", Path(__file__).with_name("misbehaving.py")
)
misbehaving: Any = importlib.util.module_from_spec(SPEC)
LIMITS = Limits(seconds=20.0, memory=0.25, disk=0.05)


@pytest.fixture(autouse=True, scope="module")
def importable():
    """The children, too, must find the module."""
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["misbehaving"] = misbehaving
    SPEC.loader.exec_module(misbehaving)
    yield
    sys.path.remove(str(Path(__file__).parent))
    del sys.modules["misbehaving"]
    isolation.end_children()


def good() -> Atoms:
    return bulk("CdTe", "zincblende", a=6.48, cubic=True)


def evil() -> Atoms:
    return good()[1:]


@pytest.fixture(scope="module")
def marked() -> Isolated:
    """An engine that does what its structure names; after a crash it has another child."""
    return Isolated(misbehaving.Misbehaving("as_marked"), LIMITS)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("hang", "timed out: no answer within 1 s"),
        ("segfault", "crashed: the engine's process ended with SIGSEGV"),
        ("leave", "crashed: the engine's process ended with exit status 3"),
        ("eat", "out of memory: the engine asked for more than its limit of 0.25 GB"),
        ("eat_elsewhere", "out of memory: the engine took "),
        ("fill", "out of disk: the engine took "),
        ("fill_one", "out of disk: the engine asked for more than its limit of 0.05 GB"),
        ("nan", "not finite: the energy is not finite"),
        ("nowhere", "not finite: a relaxed position is not finite"),
        ("garbage", "garbage: the engine returned a str instead of a relaxation"),
        ("unsendable", "garbage: the answer cannot be sent"),
        ("transmute", "garbage: the engine made Au of Cd3Te4"),
        ("abyss", "implausible energy: "),
    ],
)
def test_the_culprit_is_named_and_all_others_are_evaluated(
    marked: Isolated, how: str, reason: str
) -> None:
    model = replace(marked, limits=replace(LIMITS, seconds=1.0)) if how == "hang" else marked
    culprit = evil()
    culprit.info["how"] = how
    _require_named(model, culprit, reason)


def _require_named(model: Isolated, culprit: Atoms, reason: str) -> None:
    recipe = Recipe(model, chemical_potentials={"Cd": -2.0, "Te": -2.0})
    structures = [good(), culprit, good()]
    found = [evaluate(Candidate(i, a, "random"), recipe) for i, a in enumerate(structures)]
    assert [evaluation.ok for evaluation in found] == [True, False, True]
    assert reason in found[1].error
    assert found[1].error.startswith(STATUSES)


def test_the_process_group_ends_with_the_evaluation_and_its_folder_is_gone() -> None:
    model = Isolated(misbehaving.Misbehaving("hang"), Limits(seconds=1.0))
    model(good())
    child = isolation._children[id(model)]
    with pytest.raises(EvaluationFailed, match="timed out"):
        model(evil())
    deadline = time.monotonic() + 10.0  # a kill takes effect a little later
    while child.process.pid in _living_groups() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert child.process.pid not in _living_groups()
    assert not child.folder.exists()


def test_a_child_is_kept_and_one_that_died_of_its_past_is_replaced() -> None:
    model = Isolated(misbehaving.Stateful())
    found = [model(good()) for _ in range(3)]
    assert [relaxation.steps for relaxation in found] == [1, 2, 1]
    assert len({relaxation.energy for relaxation in found}) == 2  # processes
    assert found[0].energy != os.getpid()


@pytest.mark.parametrize(("retries", "times"), [(0, r"3$"), (1, r"\(2 times\)$")])
def test_a_crash_is_tried_again_as_often_as_allowed(retries: int, times: str) -> None:
    model = Isolated(misbehaving.Misbehaving("leave"), Limits(retries=retries))
    with pytest.raises(EvaluationFailed, match=rf"crashed: .* exit status 3?.*{times}"):
        model(evil())


def test_an_engine_that_does_not_start_says_why() -> None:
    with pytest.raises(EvaluationFailed, match="does not start .* libmkl.so is missing"):
        Isolated(misbehaving.Stillborn())(good())


def test_a_child_ends_when_its_worker_is_gone() -> None:
    model = Isolated(misbehaving.Misbehaving("hang"))
    model(good())
    child = isolation._children.pop(id(model))
    child.connection.close()  # as the kernel does for a killed worker
    assert child.process.wait(timeout=20) == 0
    assert not child.folder.exists()


def test_limits_are_a_part_of_every_energy_block() -> None:
    block = {"use": "misbehaving:Misbehaving", "how": "hang", "limits": {"seconds": 5, "memory": 1}}
    model = plugins.build("energy", block, Path())
    assert model == Isolated(misbehaving.Misbehaving("hang"), Limits(5.0, 1.0))
    with pytest.raises(UserError, match="seconds: give a number above 0"):
        plugins.build("energy", {**block, "limits": {"seconds": 0}}, Path())


def _living_groups() -> set[int]:
    """Groups of all processes but zombies, which nobody may be there to collect."""
    groups = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, _, group, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
                groups |= {int(group)} if state != "Z" else set()
    return groups
