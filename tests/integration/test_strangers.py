"""What a stranger's configuration or run folder can make a command do: only to look at it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import experiment

Writer = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]

EVIL = """
from pathlib import Path
Path("ran").touch()  # on import already
from dataclasses import dataclass
from ase import Atoms
from htinvert.energy.lennard_jones import LennardJones as Engine
from htinvert.forward.stem_convolution import StemConvolution as Forward
from htinvert.metrics.correlation import Correlation as Metric
from htinvert.generators.random import Random as Generator

def structure() -> Atoms:
    return Atoms("Ar")
"""

WAYS: dict[str, dict[str, Any]] = {
    "structure": {"structure": {"use": "evil:structure"}},
    "a structure that is none": {"structure": {"use": "subprocess:getoutput", "cmd": "touch ran"}},
    "energy": {"energy": {"use": "evil:Engine"}},
    "forward": {"experiments": experiment(forward={"use": "evil:Forward"})},
    "metric": {"experiments": experiment(metrics={"evil:Metric": None})},
    "generator": {"search": {"generators": [{"use": "evil:Generator"}]}},
    "a command": {
        "energy": {"use": "espresso", "command": "touch ran", "pseudopotentials": "."},
    },
    "ASE's name": {"energy": {"use": "ase", "name": "evil:Engine"}},
    "ASE's parameters": {
        "energy": {"use": "ase", "name": "gulp", "parameters": {"command": "touch ran"}},
    },
    "a pickled model": {"energy": {"use": "ase", "name": "emt", "model": "evil.py"}},
}


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A module that leaves a file where it is imported, and the file."""
    (tmp_path / "evil.py").write_text(EVIL)
    return tmp_path / "ran"


@pytest.mark.parametrize("way", WAYS)
def test_check_runs_no_code_that_a_file_names(
    way: str, campaign: Writer, htinvert: Command, evil: Path
) -> None:
    done = htinvert("check", campaign(**WAYS[way]))
    assert done.returncode == 2 and "add --trust" in done.stderr
    assert not evil.exists()


def test_check_and_run_run_it_for_who_trusts_it(
    campaign: Writer, htinvert: Command, evil: Path
) -> None:
    path = campaign(**WAYS["forward"], stop={"evaluations": 1})
    assert htinvert("check", path, "--trust").returncode == 0 and evil.exists()
    evil.unlink()
    assert htinvert("run", path).returncode == 0 and evil.exists()


@pytest.mark.parametrize("verb", ["locate", "register", "fit"])
def test_readers_of_one_experiment_take_the_advice_they_give(
    verb: str, tmp_path: Path, htinvert: Command, evil: Path
) -> None:
    """They said "add --trust", and two of them had no such option."""
    block = {"data": "a.npy", "forward": {"use": "evil:Forward"}, "metrics": {"correlation": {}}}
    (tmp_path / "block.yaml").write_text(yaml.safe_dump(block))
    names = ["none.vasp", "block.yaml"]
    names = names[::-1] if verb == "locate" else names
    assert "add --trust" in htinvert(verb, *names).stderr and not evil.exists()
    done = htinvert(verb, *names, "--trust")
    assert evil.exists() and done.returncode == 2 and "trust" not in done.stderr


def test_not_even_run_calls_what_cannot_be_a_component(
    campaign: Writer, htinvert: Command, evil: Path
) -> None:
    done = htinvert("run", campaign(**WAYS["a structure that is none"]))
    assert "structure subprocess:getoutput is no structure" in done.stderr
    assert not evil.exists()


def test_readers_of_a_run_need_no_code_that_it_names(
    campaign: Writer, htinvert: Command, evil: Path, tmp_path: Path
) -> None:
    assert htinvert("run", campaign(stop={"evaluations": 3}), "-o", "sent").returncode == 0
    config = tmp_path / "sent" / "config.yaml"
    raw = yaml.safe_load(config.read_text())
    raw["experiments"]["haadf"]["forward"]["use"] = "evil:Forward"
    raw |= WAYS["structure"] | WAYS["energy"] | WAYS["generator"]
    config.write_text(yaml.safe_dump(raw))
    for words in (
        ("rank", "sent"),
        ("status", "sent"),
        ("export", "sent", "best.xyz"),
        ("report", "sent"),
        ("watch", "sent", "--text", "--minutes", "0.01"),
        ("watch", "sent", "--port", "0", "--minutes", "0.01"),
    ):
        done = htinvert(*words)
        assert done.returncode == 0, done.stderr
        assert not evil.exists(), words
    assert "add --trust" in (tmp_path / "sent" / "report.html").read_text()


def test_pictures_and_logs_replace_links_and_never_follow_them(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    """A run's folder that somebody sent may hold links to files of the one who looks at it."""
    path = campaign(stop={"evaluations": 3})
    assert htinvert("run", path, "-o", "sent").returncode == 0
    mine = tmp_path / "mine"
    mine.write_text("mine")
    for name in ("pareto.png", "potentials.png", "report.html", "best-haadf.png"):
        (tmp_path / "sent" / name).unlink(missing_ok=True)
        (tmp_path / "sent" / name).symlink_to(mine)
    assert htinvert("rank", "sent", "--scan", "Te=-2.6:-2.1").returncode == 0
    assert htinvert("report", "sent").returncode == 0
    assert mine.read_text() == "mine"
    assert not (tmp_path / "sent" / "pareto.png").is_symlink()
    assert not (tmp_path / "sent" / "report.html").is_symlink()


def test_a_run_is_not_written_through_a_link(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    path = campaign(stop={"evaluations": 2})
    assert htinvert("run", path, "-o", "sent").returncode == 0
    mine = tmp_path / "mine"
    for name in ("journal.sqlite", "results.zarr", "log.jsonl", "lock", "stop", "tls"):
        place = tmp_path / "sent" / name
        place.rename(mine) if place.exists() else mine.write_text("mine")
        place.symlink_to(mine)
        before = _content(mine)
        done = htinvert("run", path, "-o", "sent", "--evaluations", "4")
        assert done.returncode == 2 and f"{name} is a link" in done.stderr
        assert _content(mine) == before
        place.unlink()
        mine.rename(place)


def test_nobody_else_can_write_into_a_run(
    campaign: Writer, process: Command, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        assert process("run", campaign(stop={"evaluations": 2}, workers=1)).returncode == 0
        assert process("report", "runs/tiny").returncode == 0
    finally:
        os.umask(before)
    found = {path: path.stat().st_mode for path in (tmp_path / "runs").rglob("*")}
    assert len(found) > 20
    assert [path for path, mode in found.items() if mode & 0o002] == []


def _content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {str(file): file.read_bytes() for file in files}
