"""STM in a campaign: its block is checked, a structure goes in, an image is fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.campaign.channels import make_channel
from htinvert.config.campaign import load_experiment
from htinvert.config.experiment import of_its_kind
from htinvert.core import UserError
from htinvert.evaluation.fit import fit
from htinvert.forward.stm_atoms import AtomDensity

SLAB = Atoms(
    "Cu2O", positions=[[0, 0, 4], [2.0, 0, 4.6], [1.0, 1.5, 5]], cell=[4.0, 5.0, 20.0], pbc=True
)


@pytest.fixture
def channel(tmp_path):
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).random((60, 60)))
    block = {
        "image": "scan.npy",
        "sampling": 0.2,
        "forward": {"use": "stm", "density": {"use": "atoms", "work_function": 5.0},
                    "isovalue": 1e-5},
        "metrics": {"registration": None},
        "free": {"shift_x": [-1, 1], "blur": [0, 4]},
    }  # fmt: skip
    return make_channel("stm", of_its_kind(block), folder=tmp_path)


def test_the_density_of_a_block_is_made_and_follows_the_structure(channel):
    assert channel.forward.density == AtomDensity(work_function=5.0)
    assert "approximate" in channel.forward.label(SLAB)
    moved = SLAB.copy()
    moved.positions[2] += [0.5, 0.0, 0.2]
    first, second = (channel.forward(atoms).data for atoms in (SLAB, moved))
    assert first.shape == (60, 60)
    assert np.abs(first - second).max() > 0.1  # Å


def test_shift_and_blur_of_a_scan_are_fitted(channel):
    truth = replace(channel.forward, shift_x=0.5, blur=1.5)
    planted = replace(channel, observed=truth(SLAB))
    found = fit(planted, SLAB, max_evaluations=200)
    assert found.parameters["shift_x"] == pytest.approx(0.5, abs=0.02)  # a tenth of a pixel
    assert found.parameters["blur"] == pytest.approx(1.5, abs=0.1)


def test_the_radius_of_the_tip_can_be_fitted(channel):
    lone = Atoms("Cu", positions=[[4.0, 4.0, 5.0]], cell=[8.0, 8.0, 20.0], pbc=True)
    blunt = replace(channel, free={"tip_radius": (0.0, 12.0)})
    planted = replace(blunt, observed=replace(channel.forward, tip_radius=5.0)(lone))
    found = fit(planted, lone, max_evaluations=50)
    assert found.parameters["tip_radius"] == pytest.approx(5.0, abs=0.3)


@pytest.mark.parametrize(
    ("density", "words"),
    [
        ("{use: gpaww}", "forward.density.use: density gpaww is unknown; did you mean gpaw?"),
        ("{use: atoms, work: 4}", "forward.density.work is unknown; known are step, work_function"),
        ("{work_function: 4}", "density is not set"),
    ],
)
def test_a_mistake_in_the_density_is_one_sentence(tmp_path: Path, density, words):
    np.save(tmp_path / "scan.npy", np.random.default_rng(0).random((60, 60)))
    path = tmp_path / "scan.yaml"
    path.write_text(
        f"image: scan.npy\nsampling: 0.2\nforward: {{use: stm, density: {density}}}\n"
        "metrics: {registration: null}\n"
    )
    with pytest.raises(UserError, match=words):
        make_channel("stm", load_experiment(path), folder=tmp_path).forward(SLAB)
