"""Near-edge spectra from data to report: `fit`, `init`, `check`, `run`, resumed; FEFF stands in."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from htinvert.forward.xanes.feff import read_xmu
from htinvert.forward.xanes.unbroadened import broadened

from .conftest import fit as run
from .conftest import mistake as said

pytest.importorskip("xraydb", reason="pip install htinvert[xas]")

RECORDED = Path(__file__).parents[1] / "unit" / "forward" / "recorded" / "mgo_feff10_xmu.dat"
EDGE = 537.0  # eV, of the data; the tables have 543.1
CAMPAIGN = """
name: oxide
seed: 1
structure: {use: file, path: O.xyz}
composition: {O: [4, 4]}
energy: {use: lennard_jones, epsilon: 0.4, sigma: 1.8}
experiments:
  edge:
    data: edge.xmu
    forward: {use: xanes, absorber: O, radius: 3.0}
    metrics: {rw: }
    free: {shift: [-8, 8], resolution: [0.1, 5.0]}
    method: least-squares
objectives: {energy: 0.0, edge.rw: 1.0}
search: {generators: [{use: random}]}
stop: {evaluations: 3}
workers: 0
"""


@pytest.fixture
def feff(tmp_path, monkeypatch):
    """A program that counts its runs and writes what FEFF10 once wrote of MgO."""
    path = tmp_path / "feff-of-the-test"
    path.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\ncp {RECORDED} xmu.dat\n")
    path.chmod(0o755)
    monkeypatch.setenv("HTINVERT_FEFF", str(path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "runs"


@pytest.fixture
def data(tmp_path):
    """The recorded spectrum with other widths, on a line, with noise; and the crystal."""
    energy = np.arange(480.0, 575.0, 0.25)
    values = broadened(read_xmu(RECORDED), energy - EDGE, lifetime=0.3, growth=0.0, resolution=1.2)
    values = 0.4 + 2.0 * values + 1e-3 * (energy - 480.0)
    values += 0.01 * np.random.default_rng(1).normal(size=len(energy))
    np.savetxt(tmp_path / "edge.xmu", np.transpose([energy, values]), header="energy mu")
    corners = 2.0 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    write(tmp_path / "O.xyz", Atoms("O4", positions=corners))
    write(tmp_path / "MgO.cif", bulk("MgO", "rocksalt", a=4.212, cubic=True))
    return tmp_path / "edge.xmu"


def test_fit_finds_where_the_edge_lies_and_how_broad_it_is(data, feff, tmp_path):
    result = run(
        tmp_path / "MgO.cif", data, "--model", "xanes", "--set", "absorber=O",
        "--set", "growth=0.0", "--free", "shift=-8:8", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, (result.output, result.exception)
    assert float(re.search(r"rw ([\d.]+)", result.output)[1]) < 0.03
    assert feff.read_text().count("run") == 1
    assert (tmp_path / "out" / "fit.png").stat().st_size > 10_000


def test_a_campaign_runs_and_goes_on_without_asking_feff_again(data, feff, tmp_path, htinvert):
    (tmp_path / "oxide.yaml").write_text(CAMPAIGN)
    done = htinvert("run", "oxide.yaml", "-o", "run")
    assert done.returncode == 0, done.stderr
    before = feff.read_text()
    done = htinvert("run", "oxide.yaml", "-o", "run", "--evaluations", "4")
    assert done.returncode == 0, done.stderr
    assert feff.read_text().count("run") <= before.count("run") + 4  # those of one more structure
    told = htinvert("report", "run")
    assert told.returncode == 0, told.stderr


def test_init_names_the_absorber_whose_edge_the_data_show(data, feff, tmp_path, htinvert):
    done = htinvert(
        "init", "oxide", "--structure", "O.xyz", "--curve", "edge.xmu", "--forward", "xanes",
        "--energy", "lennard_jones", "-y",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "oxide.yaml").read_text()
    assert "forward: {use: xanes, absorber: O}" in text
    assert "shift: [-8, 8]" in text


def test_a_missing_program_and_a_wrong_edge_are_sentences(data, feff, tmp_path, monkeypatch):
    crystal = tmp_path / "MgO.cif"
    wrong = run(crystal, data, "--model", "xanes", "--set", "absorber=Mg", "-o", tmp_path / "out")
    assert "the K edge of Mg" in said(wrong)
    monkeypatch.setenv("HTINVERT_FEFF", str(tmp_path / "nowhere"))
    gone = run(crystal, data, "--model", "xanes", "--set", "absorber=O", "-o", tmp_path / "out")
    assert "pip install feff10-rs" in said(gone)
