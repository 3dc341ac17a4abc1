"""A hot pixel from file to report: it changes nothing, and every reader of it is told."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
SAID = "1 pixel stands alone far outside of all others (1e+07; hot or dead)"


def start_cost(said: str) -> float:
    match = re.search(r"start structure, relaxed: .*?haadf\.registration ([\d.]+)", said, re.DOTALL)
    assert match is not None
    return float(match[1])


def test_a_hot_pixel_is_counted_wherever_its_image_is_used(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    path = campaign(stop={"evaluations": 4})
    clean = htinvert("check", path)
    assert "stands alone" not in clean.stdout
    pixels = np.load(tmp_path / "image.npy").astype(float)
    pixels[30, 20] = 1e7
    np.save(tmp_path / "image.npy", pixels)

    checked = htinvert("check", path)
    assert SAID in re.sub(r"[│\s]+", " ", checked.stdout)  # in a table
    assert abs(start_cost(checked.stdout) - start_cost(clean.stdout)) < 0.01  # was 2.97, not 0.33

    registered = htinvert("register", "start.vasp", "image.npy", "--sampling", "0.3", "--no-movie")
    assert registered.returncode == 0, registered.stderr
    assert SAID in registered.stdout
    assert "warning" not in registered.stdout

    assert htinvert("run", path).returncode == 0
    folder = tmp_path / "runs" / "tiny"
    assert htinvert("report", folder).returncode == 0
    assert SAID in (folder / "report.html").read_text(encoding="utf-8")
