"""Whatever a component says, the run can be read; also one that an earlier version has kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation, Score
from htinvert.report.terminal import terminal
from htinvert.store import RunStore, journal, snap, structure_key
from htinvert.store.columns import escaped, unescaped
from htinvert.store.salvage import verify

LONE = "bad \udc80 byte"
FORMER = {"objectives": {}, "scores": {}, "parameters": {}, "error": None, "seconds": 0.1}
POISONS: dict[str, dict[str, Any]] = {
    "a byte that is not UTF-8": {"error": LONE},
    "a terminal's escape": {"error": "\x1b[2J\x07"},
    "a megabyte": {"error": "x" * 10**6},
    "too many steps": {"relaxation": [-1.0, True, 2**70, None]},
    "too few steps": {"relaxation": [-1.0, True, -(2**70), None]},
    "names": {"scores": {"a.b": [0.5, {LONE: 1.0, "..": 2.0, "": 3.0, "/": 4.0, "y" * 999: 5.0}]}},
    "parameters": {"parameters": {LONE: {"..": 1.0}}},
}


def candidate(index: int) -> Candidate:
    return Candidate(index, snap(Atoms("Cu", [[0, 0, 0.1 * index]])), "random")


def readable(folder: Path) -> list[Evaluation]:
    """All that is in a run, by every way that leads there; the texts can be printed."""
    with RunStore.open(folder) as run:
        found = list(run.evaluations())
        rows = run.table()
        assert len(rows) == len(found)
    for evaluation in found:
        terminal().print(evaluation.error)
        assert "\x1b" not in (evaluation.error or "")
        assert len(evaluation.error or "") <= 2000
        str(evaluation.error).encode()
    return found


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
def test_a_run_that_is_poisoned_already_becomes_readable(
    tmp_path: Path, poison: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It died of UnicodeEncodeError or OverflowError at its end, in status and in rank."""
    text = json.dumps(FORMER | {"relaxation": None} | poison)
    monkeypatch.setattr(journal, "pack_result", lambda evaluation: text)
    relaxation = Relaxation(candidate(0).atoms, -1.0, True, 1) if "relaxation" in poison else None
    folder = tmp_path / "run"
    with RunStore.create_or_open(folder, recipe={}, provenance={}) as run:
        run.propose([(candidate(0), structure_key(candidate(0).atoms, "test"))])
        run.commit([Evaluation(candidate(0), relaxation)])
        before = readable(folder)
    after = readable(folder)  # from the archive
    assert [e.error for e in before] == [e.error for e in after]
    assert [e.scores for e in before] == [e.scores for e in after]
    assert [e.parameters for e in before] == [e.parameters for e in after]
    assert not verify(folder, full=True).problems


def test_what_is_committed_is_clean(tmp_path: Path) -> None:
    """Operators, refusals, attempts and the log are texts of components, too."""
    folder, one = tmp_path / "run", candidate(0)
    odd = Candidate(0, one.atoms, LONE + "z" * 10**6)
    with RunStore.create_or_open(folder, recipe={}, provenance={}) as run:
        run.propose([(odd, structure_key(one.atoms, "test"))])
        run.attempt(0, LONE + "z" * 10**6)
        run.refuse(1, LONE, "\x1b[2J")
        run.event(event="cluster", text=LONE)
        scores = {LONE: Score(1.0, {LONE: 2.0, "..": 3.0})}
        run.commit([Evaluation(odd, scores=scores, error=LONE + "z" * 10**6)])
    (found,) = readable(folder)
    assert found.candidate.operator.startswith("bad \\udc80 byte")
    assert len(found.candidate.operator) <= 120
    with RunStore.open(folder) as run:
        assert run.counts().refused == {"\\x1b[2J": 1}
    (folder / "log.jsonl").read_text()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "%2F", "%00", "%2E", "...", "Å/%", "\\ud"])
def test_any_name_is_one_part_of_a_path_and_comes_back(name: str) -> None:
    part = escaped(name)
    assert part.strip(".") and "/" not in part
    assert unescaped(part) == name
