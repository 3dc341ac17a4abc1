"""The figure of merit of a structure that moves a little changes a little."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.registration import Registration

MOVE = 1e-4  # Å
MODEL = StemConvolution(sampling=0.16, shape=(100, 80))


def random_grain():
    cell = [9.0, 20.0, 40.0]
    positions = np.random.default_rng(0).random((300, 3)) * cell
    return Atoms("Te300", positions=positions, cell=cell, pbc=True)


def cadmium_telluride(strain=0.0):
    """Rows of [110] CdTe, displaced by ``strain`` [Å] each."""
    a, b = 6.482, 6.482 / np.sqrt(2)
    positions = [[0, 0, 0], [0, 0, a / 4], [0, b / 2, a / 2], [0, b / 2, 3 * a / 4]]
    atoms = Atoms("CdTeCdTe", positions=positions, cell=[b, b, a], pbc=True).repeat((1, 4, 3))
    atoms.positions += np.random.default_rng(1).normal(scale=strain, size=atoms.positions.shape)
    return atoms


CASES = {  # structure, structure of the experiment, noise as part of its contrast
    "grain": (random_grain(), random_grain(), 0.1),
    "crystal": (cadmium_telluride(), cadmium_telluride(), 0.0),
    "crystal in noise": (cadmium_telluride(), cadmium_telluride(), 0.2),
    "strained crystal in noise": (cadmium_telluride(0.15), cadmium_telluride(), 0.2),
    "strained crystals": (cadmium_telluride(0.15), cadmium_telluride(0.1), 0.1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ssim", ["float7", "uint8-35"])
def test_a_move_of_all_atoms_by_a_hair_does_not_matter(case, ssim):
    atoms, truth, noise = CASES[case]
    scene = replace(MODEL, shape=(240, 230), source_size=1.2)(truth).data
    rng = np.random.default_rng(2)
    noisy = scene + rng.normal(scale=noise * scene.std(), size=scene.shape)
    observed = Signal.image(noisy, 0.16)
    register = Registration(ssim=ssim)

    def cost(displacement):
        moved = atoms.copy()
        moved.positions += displacement
        return register(MODEL(moved), observed).cost

    changes = []
    for start in np.linspace(0, 0.2, 12):  # more than a pixel
        path = start * np.array([0, 0.8, 0.6])
        each = rng.normal(size=atoms.positions.shape)
        each *= MOVE / np.linalg.norm(each, axis=1)[:, None]
        together = np.array([0, -0.6, 0.8]) * MOVE
        before = cost(path)
        changes += [cost(path + each) - before, cost(path + together) - before]
    assert np.abs(changes).max() < 1e-3
