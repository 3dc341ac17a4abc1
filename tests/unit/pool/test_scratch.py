"""What workers write goes with them, at the latest when the next campaign begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from htinvert.pool.scratch import PREFIX, scratch

KILLED = """
import os, signal
from htinvert.pool.scratch import scratch
with scratch() as folder:
    (folder / "much").write_text("much")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def aged(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_a_killed_drivers_folder_goes_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", KILLED], env=os.environ | {"TMPDIR": str(tmp_path)})
    (left,) = tmp_path.iterdir()
    assert left.stat().st_mode & 0o777 == 0o700
    aged(left)
    kept = tmp_path / "kept"
    kept.mkdir()
    (tmp_path / f"{PREFIX}link").symlink_to(kept)
    with scratch() as living:
        assert not left.exists()
        aged(living)
        with scratch():
            assert living.exists() and kept.exists()
    assert not living.exists()
