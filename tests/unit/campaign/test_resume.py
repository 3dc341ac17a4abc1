"""A resumed campaign goes on from what it was begun with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from htinvert.campaign import resume
from htinvert.campaign.knowledge import Knowledge
from htinvert.campaign.load import load
from htinvert.campaign.loop import Campaign, run
from htinvert.core import Evaluation
from htinvert.geometry import near
from htinvert.store import RunStore

CHEAP: dict[str, Any] = {
    "name": "cheap",
    "structure": {"use": "box", "size": 12.0},
    "composition": {"Cu": [6, 6]},
    "energy": {"use": "lennard_jones", "epsilon": 0.4, "sigma": 2.3, "steps": 0},
    "search": {"generators": [{"use": "random"}]},
    "stop": {"evaluations": 200},
    "workers": 0,
}


def test_a_parameter_without_a_value_at_first_has_none_after_a_resume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From an empty box nothing is fitted before the first candidate, as an EXAFS' widths."""
    told = {"exafs": {"zoom": 1.0, "sigma2.Cu1": None}, "haadf": {}}
    monkeypatch.setattr(resume, "read_provenance", lambda _: {"calibration": told})
    plan: Any = None
    assert resume.calibration(plan, Path()) == {"exafs": {"zoom": 1.0}}


def test_without_a_checkpoint_the_last_results_are_learned_with_no_more_work_than_earlier_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in known structures whose codes are looked at; all of them were 2.3 times as many."""
    for name, few in {"TAIL": 32, "FEW": 4, "MANY": 32}.items():  # as if they were thousands
        monkeypatch.setattr(near, name, few)
    plan, looked = load(CHEAP), [0]
    run(plan, tmp_path / "run")
    (tmp_path / "run" / "checkpoint.json").unlink()

    def count(owner: type, name: str, rows: Callable[..., int]) -> None:
        inner = getattr(owner, name)

        def counted(*given: Any) -> Any:
            looked[0] += rows(*given)
            return inner(*given)

        monkeypatch.setattr(owner, name, counted)

    count(near._Plain, "reached", lambda plain, *_: plain._count)
    count(near._Table, "_plainly", lambda _, tree, *__: tree.stop - tree.start)
    count(near._Bounds, "of", lambda values, *_: len(values))
    learn, after = Knowledge.learn, [0]

    def learned(self: Knowledge, evaluation: Evaluation) -> None:
        learn(self, evaluation)
        after.append(looked[0])

    monkeypatch.setattr(Knowledge, "learn", learned)
    with RunStore.create_or_open(tmp_path / "run", recipe=plan.identity, provenance={}) as store:
        Campaign(plan, store, lambda _: None).replay()
    assert len(after) == 201
    assert after[200] - after[150] < 1.5 * (after[100] - after[50])
