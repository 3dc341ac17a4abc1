"""Pixels and axes at the command line: what changes nothing is counted, what is none refused."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from .conftest import experiment

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


@pytest.mark.parametrize(
    "command",
    [
        ("check", "tiny.yaml"),
        ("run", "tiny.yaml"),
        ("register", "start.vasp", "pattern.tif", "--sampling", "0.3"),
        ("match", "pattern.tif", "."),
    ],
    ids=lambda command: command[0],
)
def test_a_pattern_given_as_an_image_gets_one_sentence(
    campaign: Writer, htinvert: Command, tmp_path: Path, command: tuple[str, ...]
) -> None:
    campaign(experiments=experiment(image="pattern.tif"))
    pixels = np.load(tmp_path / "image.npy").astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "pattern.tif", pixels, imagej=True, resolution=(50.0, 50.0),
        metadata={"unit": "nm^-1"},
    )  # fmt: skip
    said = htinvert(*command)
    assert said.returncode == 2
    assert len(said.stderr.splitlines()) == 1
    assert "is a diffraction pattern" in said.stderr
    assert "give an image, or compare it by a forward model of the kind pattern" in said.stderr
