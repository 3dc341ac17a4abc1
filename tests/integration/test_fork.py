"""A fork reuses energies, images of the best are kept, and a full disk is waited for."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from htinvert import campaign as loop
from htinvert.campaign import run
from htinvert.cli.campaign import read_plan
from htinvert.core import EvaluationFailed, UserError
from htinvert.energy.lammps import Lammps
from htinvert.store import OutOfSpace, Run

from .conftest import Writer


def test_a_fork_with_another_metric_relaxes_nothing_again(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(read_plan(campaign(), evaluations=10), tmp_path / "old")
    raw = yaml.safe_load(campaign().read_text())["experiments"]["haadf"]
    changed = campaign(experiments={"haadf": raw | {"metrics": {"correlation": None}}})
    with pytest.raises(UserError, match=r"experiments\.haadf\.metrics.*--fork"):
        run(read_plan(changed), tmp_path / "old")

    def refuse(self: Lammps, atoms: object) -> None:
        raise EvaluationFailed("the energy was to be reused")

    monkeypatch.setattr(Lammps, "__call__", refuse)
    end = run(read_plan(changed, evaluations=10), tmp_path / "new", fork=tmp_path / "old")
    assert end.evaluated == 10
    with Run.open(tmp_path / "old") as old, Run.open(tmp_path / "new") as new:
        before, after = old.table(), new.table()
        assert np.array_equal(before["energy"], after["energy"], equal_nan=True)
        assert before["index"].tolist() == after["index"].tolist()
        assert "scores.haadf.correlation" in after and "scores.haadf.registration" not in after
    other = campaign(energy={"use": "lammps", "potential": "CdTe.sw", "fmax": 0.2})
    with pytest.raises(UserError, match=r"nothing of .* holds under this recipe, for energy"):
        run(read_plan(other), tmp_path / "third", fork=tmp_path / "old")


def test_images_of_the_best_are_kept(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "BEST", 2)
    run(read_plan(campaign(), evaluations=14), tmp_path / "run")
    with Run.open(tmp_path / "run") as store:
        table = store.table()
        good = table[table["ok"]]
        total = good["objectives.energy"] + 10 * good["objectives.haadf.registration"]
        best = int(good["index"][total.idxmin()])
        worst = int(good["index"][total.idxmax()])
        assert store.image(best, "haadf").data.std() > 0
        kept = sum(bool(e.signals) for e in store.evaluations(signals=True))
        assert 2 <= kept < len(good)
        if worst not in good["index"].tolist()[:2] and worst % loop.SAMPLE:
            with pytest.raises(UserError, match="keeps no image"):
                store.image(worst)


def test_a_full_disk_is_waited_for(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, full = Run.commit, iter([True] * 3)

    def refuse_three_times(self: Run, evaluations: object) -> None:
        if next(full, False):
            raise OutOfSpace("the disk is full")
        commit(self, evaluations)

    monkeypatch.setattr(Run, "commit", refuse_three_times)
    reasons: list[str] = []
    end = run(
        read_plan(campaign(), evaluations=4),
        tmp_path / "run",
        observer=lambda progress: reasons.append(progress.reason),
    )
    assert end.evaluated == 4
    assert sum("waiting for space" in reason for reason in reasons) == 3
    monkeypatch.setattr(Run, "commit", lambda self, evaluations: refuse())
    monkeypatch.setattr(loop, "SPACE_SECONDS", 0.0)

    def refuse() -> None:
        raise OutOfSpace("the disk is full")

    with pytest.raises(OutOfSpace):
        run(read_plan(campaign(), evaluations=6), tmp_path / "run")
