"""What all tests share: the folder of real data, and settings that make runs repeat exactly."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: tests run as campaigns do

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

MEMORY = Path("/dev/shm")  # noqa: S108  (pytest makes folders of its own there)
PLENTY = 6 * 2**30  # bytes; tests together have taken less than a tenth of it at any time
ON_DISK = ("torture", "cluster")  # what a disk does, and what other machines see

# Speed is a benchmark's business, so no deadline; examples repeat, so a failure does too.
settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real experiments and reference figures; skip where there is none."""
    named = os.environ.get("HTINVERT_SHARED_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HTINVERT_SHARED_DATA to the folder that has it")
    return folder


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Load a script that no package holds as a module, by its path from the repository's root."""

    def load(path: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def pytest_configure(config: pytest.Config) -> None:
    """Let folders of tests lie in memory where it is plenty: runs sync whatever they find."""
    named = {part for argument in config.args for part in Path(argument.split("::")[0]).parts}
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and named.isdisjoint(ON_DISK):
        executes = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
        if executes and min(shutil.disk_usage(MEMORY).free, _available()) > PLENTY:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def _available() -> int:
    """Memory [bytes] that can be had."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024


def pytest_collection_finish() -> None:
    """Let the collector of garbage look at what tests make, not at what they import."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
