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


def test_the_wheel_runs_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")  # noqa: S202  (our own)
    desk = tmp_path / "desk"
    desk.mkdir()
    said = subprocess.run(
        [sys.executable, "-c", DESK],
        cwd=desk,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert str(tmp_path / "installed") in said.stdout
    assert (desk / "runs" / "curve" / "config.yaml").is_file()
    assert (desk / "runs" / "curve" / "report.html").is_file()


DESK = """
import sys
import htinvert
print(htinvert.__file__)
from htinvert.cli import main
for line in (
    "example curve",
    "run curve/curve.yaml --evaluations 2 --workers 0",
    "report runs/curve",
):
    sys.argv = ["htinvert", *line.split()]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""
