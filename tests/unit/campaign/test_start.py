"""The start structure is the first candidate of a campaign."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from htinvert.campaign.loop import run
from htinvert.campaign.plan import Plan, make_plan
from htinvert.campaign.start import left_out, start_candidate
from htinvert.config.campaign import parse
from htinvert.ranking.rank import rank
from htinvert.report.start import better_start, start_words
from htinvert.store import RunStore

RING = 3.82  # Å, twelve atoms around one: the icosahedron of Lennard-Jones, near its minimum


def icosahedron() -> Atoms:
    golden = 0.5 * (1 + np.sqrt(5.0))
    corners = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    places = [np.roll(corner, turn) for corner in corners for turn in range(3)]
    shell = RING / np.hypot(1.0, golden) * np.array(places)
    return Atoms("Ar13", np.vstack([np.zeros(3), shell]) + 15.0, cell=[30.0] * 3)


def campaign(folder: Path, **changes: Any) -> Plan:
    write(folder / "start.xyz", icosahedron())
    raw: dict[str, Any] = {
        "name": "cluster",
        "structure": {"use": "file", "path": "start.xyz"},
        "energy": {"use": "lennard_jones"},
        "search": {"generators": [{"use": "basin_hopping"}]},
        "stop": {"evaluations": 4},
        "workers": 0,
    }
    return make_plan(parse(raw | changes), folder=folder)


def evaluations(folder: Path) -> list[Any]:
    with RunStore.open(folder) as store:
        return list(store.evaluations())


def test_it_is_candidate_0_and_one_of_those_that_the_stop_rule_counts(tmp_path: Path) -> None:
    end = run(campaign(tmp_path), tmp_path / "run")
    found = evaluations(tmp_path / "run")
    assert end.evaluated == len(found) == 4
    first = found[0].candidate
    assert (first.index, first.operator, first.parents) == (0, "start", ())
    assert np.allclose(first.atoms.positions, icosahedron().positions, atol=2e-6)


def test_a_walk_goes_on_from_it(tmp_path: Path) -> None:
    """One that began at random ended 17 eV above a cluster that was given."""
    run(campaign(tmp_path), tmp_path / "run")
    second = evaluations(tmp_path / "run")[1].candidate
    assert second.parents == (0,)
    assert second.operator != "hop.start"


def test_it_is_ranked_like_any_other(tmp_path: Path) -> None:
    """The icosahedron is the lowest minimum of 13 atoms: Hoare & Pal, Adv. Phys. 20, 161 (1971)."""
    plan = campaign(tmp_path)
    run(plan, tmp_path / "run")
    ranked = rank(evaluations(tmp_path / "run"), plan.objectives)
    assert ranked[0].has_start
    words = start_words(ranked, plan.objectives)
    assert words == "The start structure is rank 1: nothing better was found."


def test_a_resumed_run_does_not_evaluate_it_again(tmp_path: Path) -> None:
    run(campaign(tmp_path, stop={"evaluations": 1}), tmp_path / "run")
    run(campaign(tmp_path), tmp_path / "run")
    split = evaluations(tmp_path / "run")
    run(campaign(tmp_path), tmp_path / "at-once")
    whole = evaluations(tmp_path / "at-once")
    assert [e.candidate.operator for e in split] == [e.candidate.operator for e in whole]
    assert [e.objectives for e in split] == [e.objectives for e in whole]


def test_what_composition_does_not_allow_is_no_candidate(tmp_path: Path) -> None:
    plan = campaign(tmp_path, composition={"Ar": [14, 15]})
    assert start_candidate(plan.space, plan.config) is None
    reason = left_out(plan.space, plan.config)
    assert reason == "the part that may change holds 13 Ar but composition asks for 14 to 15"


@pytest.mark.parametrize("total", [-1e3, 1e3])
def test_a_better_start_that_is_no_candidate_is_warned_of(tmp_path: Path, total: float) -> None:
    plan = campaign(tmp_path)
    run(plan, tmp_path / "run")
    [best, *_] = rank(evaluations(tmp_path / "run"), plan.objectives)
    objectives = {"energy": best.evaluation.objectives["energy"] + total}
    start = replace(best.evaluation, objectives=objectives)
    warning = better_start(start, best, plan.objectives, "it holds too much")
    assert ("has the lower weighted sum" in warning) == (total < 0)


def test_a_structure_without_atoms_leaves_index_0_to_the_generators(tmp_path: Path) -> None:
    box = {"use": "box", "size": 20}
    run(campaign(tmp_path, structure=box, composition={"Ar": [3, 3]}), tmp_path / "run")
    assert evaluations(tmp_path / "run")[0].candidate.operator == "hop.start"
