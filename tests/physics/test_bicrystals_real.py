"""Bicrystals built from a few lines fit their micrographs as well as the published ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ase import Atoms

from htinvert import plugins
from htinvert.campaign.channels import make_channel
from htinvert.config.campaign import load_experiment, load_structure
from htinvert.image.register import register
from htinvert.structures.file import from_file

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"


def built(name: str) -> Atoms:
    path = CONFIGS / "structures" / f"{name}.yaml"
    atoms: Atoms = plugins.build("structure", load_structure(path).structure, path.parent)
    return atoms


def figure_of_merit(atoms: Atoms, name: str) -> float:
    path = CONFIGS / "experiments" / f"{name}.yaml"
    channel = make_channel(name, load_experiment(path), folder=path.parent)
    metric = next(iter(channel.metrics.values()))
    found = register(
        atoms, channel.observed, forward=channel.forward, metric=metric, free=channel.free
    )
    return found.score.cost


@pytest.mark.parametrize(
    ("structure", "experiment", "case", "bar"),
    [
        ("cdte_twin", "cdte_twin", "cdte-twin", 0.1787),
        ("ni_mo3b2", "ni_m3b2", "ni-m3b2", 0.2600),
    ],
)
def test_a_built_bicrystal_registers_as_well_as_the_published_one(
    structure: str, experiment: str, case: str, bar: float, shared_data: Path
) -> None:
    """SSIM uint8-35 with gain and offset fitted; the bars are a little below the peer's best."""
    published = from_file(shared_data / case / "bicrystal.POSCAR.vasp")
    ours, theirs = (figure_of_merit(a, experiment) for a in (built(structure), published))
    assert ours < theirs + 2e-3  # what a move by 1e-4 Å may change
    assert max(ours, theirs) < bar


@pytest.mark.usefixtures("shared_data")
def test_terminations_are_tried_one_by_one() -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "workflows" / "choose_termination.py"),
            str(CONFIGS / "structures" / "cdte_twin.yaml"),
            str(CONFIGS / "experiments" / "cdte_twin.yaml"),
            "--smoke",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0: 576 atoms, 0 taken out, 0.10")
