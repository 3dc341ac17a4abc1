"""What all tests share: the folder of real data, and settings that make runs repeat exactly."""

from __future__ import annotations

import gc
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: tests run as campaigns do

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

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


def pytest_collection_finish() -> None:
    """Let the collector of garbage look at what tests make, not at what they import."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
