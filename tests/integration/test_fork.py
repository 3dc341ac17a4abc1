"""A fork reuses energies, images of the best are kept, and a full disk is waited for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import htinvert as ht
from htinvert.campaign import knowledge, loop
from htinvert.campaign.loop import run
from htinvert.core import EvaluationFailed, UserError
from htinvert.energy.lammps import Lammps
from htinvert.store import OutOfSpace, RunStore
from htinvert.store.salvage import verify

from .conftest import Writer


def test_a_fork_with_another_metric_relaxes_nothing_again(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(ht.load(campaign(), stop={"evaluations": 10}), tmp_path / "old")
    raw = yaml.safe_load(campaign().read_text())["experiments"]["haadf"]
    changed = campaign(experiments={"haadf": raw | {"metrics": {"correlation": None}}})
    with pytest.raises(UserError, match=r"experiments\.haadf\.metrics.*--fork"):
        run(ht.load(changed), tmp_path / "old")

    def refuse(self: Lammps, atoms: object) -> None:
        raise EvaluationFailed("the energy was to be reused")

    monkeypatch.setattr(Lammps, "__call__", refuse)
    end = run(ht.load(changed, stop={"evaluations": 10}), tmp_path / "new", fork=tmp_path / "old")
    assert end.evaluated == 10
    with RunStore.open(tmp_path / "old") as old, RunStore.open(tmp_path / "new") as new:
        before, after = old.table(), new.table()
        assert np.array_equal(before["energy"], after["energy"], equal_nan=True)
        assert before["index"].tolist() == after["index"].tolist()
        assert "scores.haadf.correlation" in after and "scores.haadf.registration" not in after
    other = campaign(energy={"use": "lammps", "potential": "CdTe.sw", "fmax": 0.2})
    with pytest.raises(UserError, match=r"nothing of .* holds under this recipe, because energy"):
        run(ht.load(other), tmp_path / "third", fork=tmp_path / "old")


def test_images_of_the_best_are_kept(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(knowledge, "BEST", 2)
    run(ht.load(campaign(), stop={"evaluations": 14}), tmp_path / "run")
    with RunStore.open(tmp_path / "run") as store:
        table = store.table()
        good = table[table["ok"]]
        total = good["objectives.energy"] + 10 * good["objectives.haadf.registration"]
        best = int(good["index"][total.idxmin()])
        worst = int(good["index"][total.idxmax()])
        assert store.signal(best, "haadf").data.std() > 0
        kept = sum(bool(e.signals) for e in store.evaluations(signals=True))
        assert 2 <= kept < len(good)
        if worst not in good["index"].tolist()[:2] and worst % knowledge.SAMPLE:
            with pytest.raises(UserError, match="keeps no signal"):
                store.signal(worst)


def test_a_full_disk_is_waited_for(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, full = RunStore.commit, iter([True] * 3)

    def refuse_three_times(self: RunStore, evaluations: object) -> None:
        if next(full, False):
            raise OutOfSpace("the disk is full")
        commit(self, evaluations)

    monkeypatch.setattr(RunStore, "commit", refuse_three_times)
    news: list[str] = []
    end = run(
        ht.load(campaign(), stop={"evaluations": 4}),
        tmp_path / "run",
        observer=lambda progress: news.append(progress.news),
    )
    assert end.evaluated == 4
    assert sum("waiting for the disk" in line for line in news) == 1, "said once"
    monkeypatch.setattr(RunStore, "commit", lambda self, evaluations: refuse())
    monkeypatch.setattr(loop, "WRITER", 0.0)

    def refuse() -> None:
        raise OutOfSpace("the disk is full")

    with pytest.raises(OutOfSpace):
        run(ht.load(campaign(), stop={"evaluations": 6}), tmp_path / "run")


FORWARD = '''
"""An instrument that notes every image that it makes."""

from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution


@dataclass(frozen=True)
class Noted:
    """Incoherent imaging that is said to be costly."""

    record: str
    sampling: float | None = None
    shape: tuple[int, int] | None = None
    source_size: float = 0.8

    def __call__(self, atoms: Atoms) -> Signal:
        """One image."""
        with (Path(self.record) / "images.txt").open("a") as file:
            file.write("image\\n")
        microscope = StemConvolution(
            sampling=self.sampling, shape=self.shape, source_size=self.source_size, beam="x", up="z"
        )
        return microscope(atoms)
'''


def noted(tmp_path: Path, metric: str, keep: str, **forward: float) -> dict[str, Any]:
    """The tests' experiment with an instrument that notes its images, from outside the package."""
    (tmp_path / "noted.py").write_text(FORWARD, encoding="utf-8")
    component = {"use": "noted:Noted", "record": str(tmp_path), **forward}
    return {
        "haadf": {
            "image": "image.npy",
            "sampling": 0.3,
            "forward": component,
            "metrics": {metric: None},
            "keep": keep,
        }
    }


def images(tmp_path: Path) -> int:
    return (tmp_path / "images.txt").read_text().count("image")


def test_a_fork_with_another_metric_takes_exact_images_instead_of_simulating(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All figures are those of simulating again, bit for bit; a fork of the fork has them, too."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)  # some sealed, some not

    def made(name: str, metric: str, keep: str, fork: str = "", **forward: float) -> int:
        """Run a campaign; how many images it has made but two of the start: its fit and weight."""
        before = images(tmp_path)
        path = campaign(experiments=noted(tmp_path, metric, keep, **forward))
        older = tmp_path / fork if fork else None
        run(ht.load(path, stop={"evaluations": 7}), tmp_path / name, fork=older)
        return images(tmp_path) - before - 2

    (tmp_path / "images.txt").touch()
    good = made("old", "registration", "exact")
    made("plain", "registration", "best")
    assert made("taken", "correlation", "exact", fork="old") == 0
    assert made("back", "registration", "exact", fork="taken") == 0
    assert made("simulated", "correlation", "best", fork="plain") >= good > 3
    assert made("blurred", "correlation", "exact", fork="old", source_size=0.9) == good
    assert figures(tmp_path / "taken", "correlation") == figures(
        tmp_path / "simulated", "correlation"
    )
    assert figures(tmp_path / "back", "registration") == figures(tmp_path / "old", "registration")
    assert verify(tmp_path / "taken", full=True).problems == []


def figures(folder: Path, metric: str) -> list[tuple[Any, ...]]:
    """All that the image stage and what follows have found, as it was committed."""
    with RunStore.open(folder) as store:
        found = store.table()
    named = [name for name in found if name.endswith(metric) or ".haadf" in name]
    assert f"scores.haadf.{metric}" in named
    return [tuple(map(str, row)) for row in found[["index", "ok", "energy", *named]].to_numpy()]
