"""A run by its columns: everything is counted, only the best is read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Objective, Relaxation, UserError
from htinvert.ranking.rank import operator_yields, rank
from htinvert.ranking.survey import Survey
from htinvert.store import RunStore
from htinvert.watch.state import history

OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 10.0))


def evaluation(index: int, energy: float, cost: float = 0.2, apart: float = 2.8) -> Evaluation:
    """A dimer with given objectives."""
    atoms = Atoms("CdTe", positions=[[0, 0, 0], [apart, 0, 0]], cell=[9, 9, 9], pbc=True)
    atoms.set_tags([1, 0])
    return Evaluation(
        Candidate(index, atoms, "rattle" if index % 2 else "random", (index // 2,) * (index % 2)),
        Relaxation(atoms, energy, index % 5 > 0, 1),
        objectives={"energy": energy, "haadf.registration": cost},
        seconds=0.5,
    )


def stored(path: Path, evaluations: Iterable[Evaluation]) -> Path:
    """A run of these evaluations."""
    with RunStore.create_or_open(path, recipe={}, provenance={}) as store:
        made = list(evaluations)
        store.propose((e.candidate, e.candidate.index.to_bytes(32)) for e in made)
        store.commit(made)
    return path


def survey(path: Path, **settings: int) -> Survey:
    found = Survey(OBJECTIVES, **settings)
    with RunStore.open(path) as store:
        found.read(store)
    return found


def test_only_the_lowest_sums_are_held_but_all_is_counted(tmp_path: Path) -> None:
    energies = np.random.default_rng(0).permutation(1000).astype(float)
    run = stored(tmp_path / "run", (evaluation(i, e) for i, e in enumerate(energies.tolist())))
    found = survey(run, kept=10)
    assert found.good == 1000 and found.failed == 0
    assert found.seconds == pytest.approx(500.0)
    assert found.unconverged == 200
    assert [e.objectives["energy"] for e in found.best()] == energies[energies < 10].tolist()
    steps = found.steps()
    records = np.minimum.accumulate(energies)
    assert [step.total - 2.0 for step in steps] == sorted(set(records), reverse=True)
    best = int(np.argmin(energies))
    assert found.number_of(best) == steps[-1].after == best + 1
    assert found.number_of(1000) == 0
    for step in steps:
        index = step.candidate
        assert step.lineage == (f"rattle of #{index // 2}" if index % 2 else "random")


def test_of_a_short_run_it_says_what_a_pass_over_all_rows_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    made = [evaluation(i, *rng.uniform(0, 1, 2), 2.5 + rng.integers(9) / 10) for i in range(60)]
    made[7:20:4] = [replace(e, error=f"exploded: atom {e.candidate.index}") for e in made[7:20:4]]
    run, refused = stored(tmp_path / "run", made), {("rattle", "duplicate"): 3, ("none", "x"): 1}
    found = survey(run)
    assert found.yields(refused) == operator_yields(made, refused, OBJECTIVES)
    ours, theirs = rank(found.best(), OBJECTIVES), rank(made, OBJECTIVES)
    assert [(r.total, r.members, r.first) for r in ours] == [
        (r.total, r.members, r.first) for r in theirs
    ]
    counts, examples = found.failures()
    assert counts == {"exploded": 4} and examples == {"exploded": "exploded: atom 7"}


def test_the_pareto_front_is_held_whatever_its_sums(tmp_path: Path) -> None:
    plain = [evaluation(i, float(i), 0.2) for i in range(40)]
    exotic = evaluation(40, 90.0, 0.1)  # the best image, at 90 eV
    found = survey(stored(tmp_path / "run", [*plain, exotic]), kept=5)
    assert found.numbers.tolist() == [0, 1, 2, 3, 4, 40]


def test_read_again_it_reads_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = stored(tmp_path / "run", [evaluation(i, 50.0 - i) for i in range(20)])
    found = survey(run, kept=5)
    before = {e.candidate.index: e for e in found.best()}
    stored(run, [evaluation(i, 50.0 - i) for i in range(20, 22)])
    with RunStore.open(run) as store:
        found.read(store)
    after = {e.candidate.index: e for e in found.best()}
    assert sorted(after) == [17, 18, 19, 20, 21]
    assert all(after[i] is before[i] for i in (17, 18, 19))


def test_an_objective_that_a_run_lacks_is_a_mistake_with_a_sentence(tmp_path: Path) -> None:
    run = stored(tmp_path / "run", [evaluation(0, 1.0)])
    with pytest.raises(UserError, match=r"has no stm\.correlation, because it was made without"):
        Survey.of(run, (Objective("stm.correlation", 1.0),))


def test_a_run_without_evaluations_is_empty(tmp_path: Path) -> None:
    found = survey(stored(tmp_path / "run", []))
    assert found.best() == found.steps() == found.yields({}) == history(found) == []


def test_a_history_is_short_however_long_the_run() -> None:
    found = Survey(OBJECTIVES)
    found.totals = -2.0 * np.arange(2000)
    found._columns = {
        "index": np.arange(2000), "operator": np.full(2000, "x"), "parents": np.full((2000, 2), -1)
    }  # fmt: skip
    curve = history(found)
    assert len(curve) == 400
    assert curve[0] == (1, 0.0)
    assert curve[-1] == (2000, -3998.0)
