"""A campaign on EXAFS: `init`, `check`, `run`, resumed, `rank` and `report`; FEFF runs once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from htinvert.forward.exafs.model import Exafs

pytest.importorskip("larch", reason="pip install htinvert[xas]")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SIDE = 2.55  # Å

CAMPAIGN = """
name: rhombus
seed: 1
structure: {use: file, path: cu.xyz}
composition: {Cu: [4, 4]}
energy: {use: lennard_jones, epsilon: 0.4, sigma: 2.27}
experiments:
  exafs:
    data: cu.chi
    forward: {use: exafs, kmax: 12, rmax: 4.0, legs: 2, sigma2: 0.004}
    metrics: {rw: }
objectives: {energy: 0.0, exafs.rw: 1.0}
search: {generators: [{use: random}]}
stop: {evaluations: 2}
workers: 0
"""


@pytest.fixture
def square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Atoms:
    """Four copper atoms, and their chi(k) in a file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    corners = SIDE * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    atoms = Atoms("Cu4", positions=corners)
    model = Exafs(kmin=2.0, kmax=13.0, weight=0, legs=2, rmax=4.0, compare="k", sigma2=0.004)
    signal = model(atoms)
    rows = np.transpose([signal.coordinates(), signal.data])
    np.savetxt(tmp_path / "cu.chi", rows, header="k chi")
    write(tmp_path / "cu.xyz", atoms)
    return atoms


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("cache/htinvert/feff/*/*.npz")}


def test_a_run_goes_on_without_asking_feff_again(
    tmp_path: Path, square: Atoms, htinvert: Command
) -> None:
    (tmp_path / "cu.yaml").write_text(CAMPAIGN)
    seen = htinvert("check", "cu.yaml")
    assert seen.returncode == 0, seen.stderr
    assert (tmp_path / "rhombus-check.png").stat().st_size > 10_000
    done = htinvert("run", "cu.yaml", "-o", "run")
    assert done.returncode == 0, done.stderr
    before = files(tmp_path)
    assert before
    done = htinvert("run", "cu.yaml", "-o", "run", "--evaluations", "3")
    assert done.returncode == 0, done.stderr
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before
    ranked = htinvert("rank", "run")
    assert ranked.returncode == 0, ranked.stderr
    assert "exafs.rw" in ranked.stdout
    told = htinvert("report", "run")
    assert told.returncode == 0, told.stderr


def test_init_writes_a_campaign_that_check_accepts(
    tmp_path: Path, square: Atoms, htinvert: Command, shared_data: Path
) -> None:
    data = shared_data / "cu-exafs" / "cu_10k.xmu"
    options = ("--structure", "cu.xyz", "--curve", str(data), "--energy", "lennard_jones", "--yes")
    done = htinvert("init", "cu", *options)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cu.yaml").read_text()
    assert "use: exafs, absorber: Cu, kmin: 3, kmax: 19" in text
    assert re.search(r"sigma2\.Cu1: \[", text)
    seen = htinvert("check", "cu.yaml")
    assert seen.returncode == 0, seen.stderr
