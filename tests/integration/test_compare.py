"""The command that compares structures, on a STEM image that is made of one of them."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import yaml
from ase import Atoms
from ase.io import write

from htinvert.forward.stem_convolution import StemConvolution


def test_structures_of_a_stem_image_are_compared_over_its_windows(tmp_path):
    crystal = Atoms("TeCd", positions=[[0, 0, 0], [0, 2, 2.3]], cell=[4, 4, 4.6], pbc=True)
    moved = crystal.copy()
    moved.positions[1, 2] += 0.3
    write(tmp_path / "planted.xyz", crystal)
    write(tmp_path / "moved.xyz", moved)
    image = StemConvolution(sampling=0.2, shape=(200, 240), source_size=1.2)(crystal).data
    noise = 0.4 * image.std() * np.random.default_rng(2).standard_normal(image.shape)
    np.save(tmp_path / "image.npy", image + noise.astype(np.float32))
    block = {
        "image": "image.npy",
        "sampling": 0.2,
        "forward": {"use": "stem_convolution"},
        "free": {"source_size": [0.5, 2.0], "shift_x": [-0.5, 0.5]},
        "metrics": {"registration": {"intensity": "matched"}},
    }
    (tmp_path / "image.yaml").write_text(yaml.safe_dump(block), encoding="utf-8")
    command = [sys.executable, "-m", "htinvert.cli", "compare", "image.yaml", "moved.xyz"]
    done = subprocess.run(
        [*command, "planted.xyz", "--size", "50"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (tmp_path / "compared" / "differences.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert rows["planted"]["verdict"] == "the reference"
    assert rows["moved"]["verdict"] == "worse"
    assert int(rows["moved"]["windows"]) == 13
    assert (tmp_path / "compared" / "differences.png").stat().st_size > 10_000
