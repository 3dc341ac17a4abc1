"""Phase-contrast images against abTEM used directly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert.forward.cross_section import wavelength
from htinvert.forward.slab import configurations, crop, cut_slab
from htinvert.forward.tem import Tem, lens

abtem = pytest.importorskip(
    "abtem", reason="abtem is not installed: pip install htinvert[multislice]"
)


@pytest.fixture(scope="module")
def crystal():
    """Four atoms of three elements off every grid point."""
    positions = [[0.3, 1.1, 0.4], [2.2, 4.0, 1.7], [4.1, 2.9, 2.9], [5.2, 5.1, 0.2]]
    return Atoms("CdTeSiO", positions=positions, cell=[6.0, 6.4, 4.0], pbc=True)


@pytest.fixture(scope="module")
def model():
    """64 x 60 px over one cell, those of the wave."""
    return Tem(
        sampling=0.1, shape=(64, 60), beam="z", up="y", thickness=16.0,
        phonons=1, potential="abtem", defocus=350.0, spherical_aberration=5e6, aperture=40.0,
        center=(6.4 - 3.15, 2.95),
    )  # fmt: skip


def optics(model):
    """The same lens in abTEM's words: its spreads are sqrt(2) standard deviations."""
    spread = model.defocus_spread / np.sqrt(8 * np.log(2))
    return abtem.CTF(
        energy=model.beam_energy, defocus=model.defocus, Cs=model.spherical_aberration,
        semiangle_cutoff=model.aperture, soft=False,
        focal_spread=np.sqrt(2) * spread, angular_spread=np.sqrt(2) * model.illumination,
    )  # fmt: skip


def test_the_lens_is_that_of_abtem(model):
    model = replace(model, illumination=0.4, defocus_spread=90.0)
    angles = np.linspace(0, 39, 200)  # mrad
    expected = optics(model)._evaluate_from_angular_grid(angles * 1e-3, np.zeros(200))
    found = lens(model, angles * 1e-3 / wavelength(model.beam_energy))
    assert_allclose(found, expected, atol=1e-4)  # abTEM's float32 phases


def test_the_image_is_what_abtem_computes_for_the_same_input(crystal, model):
    import dask

    slab = cut_slab(crystal, beam="z", up="y", thickness=16.0)
    motion = model.rms_displacement
    (moved,) = configurations(slab, rms_displacement=motion, seed=0, count=1)
    numbers, positions = crop(moved, np.zeros(2), np.array([6.0, 6.4]))
    atoms = Atoms(numbers, positions, cell=[6.0, 6.4, slab.depth], pbc=True)
    with dask.config.set(scheduler="synchronous"):
        potential = abtem.Potential(
            atoms, gpts=(60, 64), slice_thickness=(4.0,) * 4, projection="infinite",
            parametrization="kirkland",
        )  # fmt: skip
        wave = abtem.PlaneWave(energy=200e3).multislice(potential).compute(progress_bar=False)
        expected = wave.apply_ctf(optics(model)).intensity().compute(progress_bar=False).array.T
    assert_allclose(model(crystal).data, expected, atol=1e-5 * expected.max())
