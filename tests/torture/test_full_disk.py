"""A disk that fails at any moment costs no acknowledged result, and the run goes on afterwards.

Where it is full or over quota the shim says so to every write, creation, rename and new folder of a
stretch of operations; where it fails, or a server's handles are stale, to every call, those that
only read or look among them. The driver ends with exit code 75, and is started again after.
"""

import errno
import random
import shutil
from pathlib import Path

import pytest

from .conftest import Forked, acknowledged, evaluated_again

MOMENTS, SAMPLE = 100, 2


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO", "ESTALE"])
def test_a_disk_that_fails_loses_nothing(
    forked: Forked, full: bool, tmp_path: Path, error: str
) -> None:
    total, number = 60 if full else 20, getattr(errno, error)
    whole = forked("drive", tmp_path / "whole", total=total, error=number)["count"]
    dice = random.Random(75)
    met = 0
    for _ in range(MOMENTS if full else SAMPLE):
        path = tmp_path / "run"
        shutil.rmtree(path, ignore_errors=True)
        events: list[str] = []
        start = dice.randint(1, whole)
        while True:
            stretch = (start, start + dice.choice([1, 5, 1000]))
            driver = forked("drive", path, total=total, full=stretch, error=number)
            assert driver["status"] in (0, 75), driver
            met += driver["status"] == 75
            events += driver["events"]
            if driver["status"] == 0 or dice.random() < 0.5:
                break
        driver = forked("drive", path, total=total)
        assert driver["status"] == 0
        events += driver["events"]
        found = forked("judge", path)
        assert (found["wrong"], found["doubled"], found["problems"]) == ([], [], [])
        assert sorted(found["indices"]) == list(range(total))
        assert acknowledged(events) <= set(found["indices"])
        assert evaluated_again(events) == []
    print(f"{met} times the disk said {error}")
    assert met > 0
