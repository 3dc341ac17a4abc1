"""What is uploaded holds everything: the wheel runs in an empty folder, the sdist can be tested."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = (
    "import sys; from setuptools import build_meta as b; out = sys.argv[1]; "
    "b.build_wheel(out); b.build_sdist(out)"
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.py[cod]", "*.egg-info", "_build")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that wheel and sdist are built into, from a copy and without a network."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for folder in ("htinvert", "configs"):
        shutil.copytree(ROOT / folder, source / folder, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def ours(folder: str) -> set[str]:
    """Files of a folder of the repository, by their paths in it."""
    paths = (path for path in (ROOT / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix()
        for path in paths
        if not {"__pycache__", "_build"} & set(path.parts) and path.suffix != ".pyc"
    }


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name for name in held if ".dist-info/" not in name} == ours("htinvert")
    assert any(name.endswith("entry_points.txt") for name in held)
    assert any("licenses/LICENSE" in name for name in held)
    assert wheel.stat().st_size < 3_000_000


def test_the_sdist_holds_the_configurations_too(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert ours("htinvert") | ours("configs") <= held
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"} <= held


def test_the_installed_wheel_runs_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    """Installed by pip into a fresh environment on top of this one, for what it depends on.

    `benchmarks/install.py` does so without this one, and types all that the README says.
    """
    (wheel,) = built.glob("*.whl")
    venv, desk = tmp_path / "venv", tmp_path / "desk"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = (venv / "lib").glob("python*/site-packages")
    here = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "this.pth").write_text("\n".join(f"import site; site.addsitedir({p!r})" for p in here))
    pip = [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--force-reinstall", wheel], check=True)
    desk.mkdir()
    lines = ("example curve", "run curve/curve.yaml --evaluations 2 --workers 0 --quiet")
    said = [typed(venv / "bin" / "htinvert", *line.split(), cwd=desk) for line in lines]
    assert "htinvert run curve/curve.yaml" in said[0] and said[1] == ""
    code = "import htinvert; print(htinvert.__file__, htinvert.open('runs/curve').counts().ok)"
    assert (
        typed(venv / "bin" / "python", "-c", code, cwd=desk) == f"{site}/htinvert/__init__.py 2\n"
    )


def typed(*words: str | Path, cwd: Path) -> str:
    """What a command prints; it must end well."""
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"COLUMNS": "100"}
    done = subprocess.run(words, cwd=cwd, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
