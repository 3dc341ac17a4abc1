"""A driver killed at any operation on any file, and again while it recovers, loses nothing.

The shim kills before each open, write (half of it is done), sync, rename, truncation and removal
below the run's folder, SQLite's included. The record of what was acknowledged is a pipe.
"""

import random
import shutil
import signal
from pathlib import Path

from .conftest import Forked, acknowledged, evaluated_again

SAMPLE = 5


def test_every_crash_point_with_a_second_crash_in_recovery(
    forked: Forked, full: bool, tmp_path: Path
) -> None:
    total = 60 if full else 20
    whole = forked("drive", tmp_path / "whole", total=total)
    assert whole["status"] == 0 and whole["count"] > 200
    dice = random.Random(20261120)
    points = list(range(1, whole["count"] + 1))
    if not full:
        points = sorted(dice.sample(points, SAMPLE))
    crashes = 0
    for point in points:
        path = tmp_path / "run"
        shutil.rmtree(path, ignore_errors=True)
        events: list[str] = []
        for crash in (point, dice.randint(1, 120)):
            driver = forked("drive", path, total=total, crash=crash)
            assert driver["status"] in (0, -signal.SIGKILL), driver
            crashes += driver["status"] == -signal.SIGKILL
            events += driver["events"]
        driver = forked("drive", path, total=total)
        assert driver["status"] == 0, driver
        events += driver["events"]
        found = forked("judge", path)
        assert (found["wrong"], found["doubled"], found["problems"]) == ([], [], []), point
        assert acknowledged(events) <= set(found["indices"]), point
        assert sorted(found["indices"]) == list(range(total)) and found["pending"] == 0, point
        assert evaluated_again(events) == [], point
    print(f"{len(points)} of {whole['count']} crash points, {crashes} crashes")
    assert crashes > len(points)  # the second one, too, has mostly happened
