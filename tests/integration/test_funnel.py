"""A funnel: campaigns that evaluate the best of the one before them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import htinvert as ht
from htinvert.campaign.funnel import families, history, objectives_of, stages
from htinvert.campaign.loop import run
from htinvert.core import UserError
from htinvert.store import RunStore

from .conftest import writer

ROOT = Path(__file__).resolve().parents[2]
Writer = Callable[..., Path]
REFINED = {
    "extends": "tiny.yaml",
    "name": "refined",
    "energy": {"use": "lammps", "potential": "CdTeZnSeHgS0.sw"},
    "search": {"generators": [{"use": "store", "run": "runs/tiny", "top": 3}]},
}


@pytest.fixture
def funnel(campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The files of two stages, in the folder that will hold their runs."""
    monkeypatch.chdir(tmp_path)
    screen = campaign(stop={"evaluations": 20})
    refine = tmp_path / "refined.yaml"
    refine.write_text(yaml.safe_dump(REFINED))
    return screen, refine


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished first stage."""
    folder = tmp_path_factory.mktemp("first")
    run(ht.load(writer(folder)(stop={"evaluations": 20})), folder / "runs/tiny")
    return folder


@pytest.fixture
def screened(funnel: tuple[Path, Path], first: Path, tmp_path: Path) -> Path:
    """The second stage's file, beside a first one that has been run."""
    shutil.copytree(first / "runs", tmp_path / "runs")
    return funnel[1]


def test_the_second_stage_evaluates_the_best_of_the_first_and_ends(screened: Path) -> None:
    end = run(ht.load(screened), Path("runs/refined"))
    assert end.reason == "all that there was to propose is evaluated"
    best = families(Path("runs/tiny"), objectives_of(Path("runs/tiny")))[:3]
    with RunStore.open("runs/refined") as store:
        found = list(store.evaluations())
    assert [e.candidate.operator for e in found] == ["store"] * 3
    for entry, evaluation in zip(best, found, strict=True):
        gap = entry.evaluation.atoms.positions - evaluation.candidate.atoms.positions
        assert abs(gap).max() < 1e-6  # Å, the grid of the store
    again = run(ht.load(screened), Path("runs/refined"))
    assert (again.evaluated, again.session) == (3, 0)


def test_every_stage_is_known_to_the_last_one(screened: Path) -> None:
    run(ht.load(screened), Path("runs/refined"))
    chain = stages(Path("runs/refined"))
    assert [stage.folder.name for stage in chain] == ["tiny", "refined"]
    places = [history(entry, chain) for entry in chain[-1].ranked]
    assert all(first is not None for first, _ in places)
    assert {first.rank for first, _ in places if first} <= {1, 2, 3}
    assert stages(Path("runs/tiny"))[0].folder == Path("runs/tiny")


def test_a_resumed_stage_goes_on_behind_what_it_has(screened: Path) -> None:
    run(ht.load(screened, stop={"evaluations": 1}), Path("runs/refined"))
    end = run(ht.load(screened), Path("runs/refined"))
    assert (end.evaluated, end.session) == (3, 2)
    assert not end.refused


def test_a_stage_without_its_source_says_what_to_run(funnel: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="runs/tiny, which is not a run; run that campaign first"):
        run(ht.load(funnel[1]), Path("runs/refined"))


def test_the_workflow_shows_the_stages_side_by_side(
    funnel: tuple[Path, Path], tmp_path: Path
) -> None:
    script = ROOT / "workflows" / "screen_then_refine.py"
    command = [sys.executable, str(script), *map(str, funnel), "--smoke", "--workers", "0"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "stage by stage" in done.stdout
    assert (tmp_path / "runs" / "refined" / "stages.png").is_file()


def test_checking_a_dft_stage_estimates_instead_of_trying(
    funnel: tuple[Path, Path], tmp_path: Path, htinvert: Callable[..., subprocess.CompletedProcess]
) -> None:
    pytest.importorskip("gpaw", reason="GPAW is not installed")
    changes = {"extends": "tiny.yaml", "name": "dft", "energy": {"use": "gpaw", "steps": 5}}
    path = tmp_path / "dft.yaml"
    path.write_text(yaml.safe_dump(changes))
    done = htinvert("check", path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "an order of magnitude; no trial was made" in said
    assert funnel[0].is_file()
    assert (tmp_path / "dft-check.png").is_file()
