"""A small real campaign: zinc-blende CdTe with a gap, Stillinger-Weber, a noisy image."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write
from numpy.typing import NDArray
from typer.testing import CliRunner

from htinvert.cli import app, main
from htinvert.core import UserError
from htinvert.forward.stem_convolution import StemConvolution

Writer = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]


def fit(*arguments: Any) -> Any:
    """`htinvert fit` in this process, its exceptions kept."""
    return CliRunner().invoke(app, ["fit", *map(str, arguments)], catch_exceptions=True)


def mistake(result: Any) -> str:
    """What the command line would print of a user's mistake: one line."""
    assert isinstance(result.exception, UserError) and result.exception.code == 2, result.exception
    text = str(result.exception)
    assert "\n" not in text
    return text


def experiment(**changes: Any) -> dict[str, Any]:
    """The campaign's experiments with something else in the only one's block; None removes."""
    haadf: dict[str, Any] = {
        "image": "image.npy",
        "sampling": 0.3,
        "forward": {"use": "stem_convolution"},
        "metrics": {"registration": None},
    }
    return {"haadf": {k: v for k, v in (haadf | changes).items() if v is not None}}


@pytest.fixture
def campaign(tmp_path: Path) -> Writer:
    """Write a campaign file with its structure and image; keywords replace parts of it."""
    return writer(tmp_path)


@lru_cache
def seen(ny: int, nx: int) -> NDArray[np.floating]:
    """The whole crystal's image without noise, shape (ny, nx), float32."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
    return StemConvolution(sampling=0.3, shape=(ny, nx), beam="x", up="z")(crystal).data


def writer(folder: Path) -> Writer:
    """What ``campaign`` is in any folder."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
    image = seen(60, 40)
    noisy = np.random.default_rng(0).poisson(200 * image / image.max())
    np.save(folder / "image.npy", noisy)
    np.save(folder / "wide.npy", seen(256, 256))
    write(folder / "crystal.vasp", crystal, format="vasp")
    gap = (crystal.positions[:, 2] > 7.0) & (crystal.positions[:, 2] < 12.0)
    write(folder / "start.vasp", crystal[~gap], format="vasp")

    def make(**changes: Any) -> Path:
        raw: dict[str, Any] = {
            "name": "tiny",
            "structure": {"use": "file", "path": "start.vasp"},
            "region": {"axis": "z", "lower": 7.0, "upper": 12.0, "margin": 2.0},
            "composition": {"Cd": [3, 5], "Te": [3, 5]},
            "energy": {"use": "lammps", "potential": "CdTe.sw"},
            "chemical_potentials": {"Cd": -2.06, "Te": -2.06},
            "experiments": {
                "haadf": {
                    "image": "image.npy",
                    "sampling": 0.3,
                    "forward": {"use": "stem_convolution"},
                    "metrics": {"registration": None},
                }
            },
            "search": {"generators": [{"use": "genetic", "random": 8}, {"use": "basin_hopping"}]},
            "stop": {"evaluations": 30},
            "workers": 0,
        }
        raw |= changes
        path = folder / "tiny.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in raw.items() if v is not None}))
        return path

    return make


@pytest.fixture
def htinvert(tmp_path: Path) -> Command:
    """The command line in this process, as if started in the empty folder; see `process`."""

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = ["htinvert", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with as_a_process(tmp_path, words), redirect_stdout(out), redirect_stderr(err):
            code = typed()
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def process(tmp_path: Path) -> Command:
    """The command line in a process of its own, for what only one can show: signals, workers."""

    def call(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


def typed() -> int:
    """Enter the program as the command does; return the code that its process would end with."""
    try:
        main()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def as_a_process(folder: Path, words: list[str]) -> Iterator[None]:
    """Lend this process what a new one would have; take it back, and the folder's modules, too."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setattr(sys, "argv", words)
        patch.setenv("COLUMNS", "100")
        patch.setenv("NO_COLOR", "1")
        try:
            yield
        finally:
            for name, module in list(sys.modules.items()):
                if Path(getattr(module, "__file__", None) or "/").is_relative_to(folder):
                    del sys.modules[name]


def command(*arguments: str | Path) -> list[str]:
    """The command line that starts htinvert."""
    return [sys.executable, "-m", "htinvert.cli", *map(str, arguments)]


def environment(folder: Path) -> dict[str, str]:
    """Plain text, one thread, and the folder's own modules before those of this checkout."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "100", "NO_COLOR": "1"}


@pytest.fixture
def window(tmp_path: Path, script: Callable[[str], ModuleType]) -> Iterator[Any]:
    """A page of a headless Chromium, see browser.py; skipped where there is none."""
    module = script("tests/integration/browser.py")
    if module.browser() is None:
        pytest.skip("no Chromium here: deploy/browser-packages installs it")
    profile = tmp_path / "profile"
    with module.Page(profile) as page:
        yield page
    shutil.rmtree(profile, ignore_errors=True)
