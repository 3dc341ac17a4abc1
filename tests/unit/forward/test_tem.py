"""Phase-contrast images against linear imaging theory, and what the model refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from scipy import fft

from htinvert.core import UserError
from htinvert.forward import tem
from htinvert.forward.cross_section import (
    BORN,
    interaction_parameter,
    scattering_factor,
    wavelength,
)
from htinvert.forward.tem import Tem

pytest.importorskip("abtem", reason="abtem is not installed: pip install htinvert[multislice]")

SIZE = 19.0  # Å


@pytest.fixture
def carbon():
    """A weak phase object in the middle of its cell."""
    return Atoms("C", positions=[[9.5, 9.5, 0.0]], cell=[SIZE, SIZE, 2], pbc=(True, True, False))


@pytest.fixture
def quick():
    return Tem(
        sampling=0.1, shape=(190, 190), beam="z", up="y", phonons=1, rms_displacement=1e-3,
        defocus_spread=0.0, illumination=0.0,
    )  # fmt: skip


def orders(image):
    """Fourier coefficients along x, of the image's mean over y."""
    return fft.fft(image.data.mean(axis=0, dtype=float), norm="forward")


def test_a_weak_phase_object_is_imaged_by_the_transfer_function(quick, carbon):
    """Contrast = 2 s V(k) sin(chi) / area (Kirkland, section 3.1)."""
    found = np.abs(orders(quick(carbon)))[1:10]
    k = np.arange(1, 10) / SIZE
    length = wavelength(200e3)
    chi = np.pi * length * k**2 * (1e7 * length**2 * k**2 / 2 - 500.0)
    potential = interaction_parameter(200e3) * BORN * scattering_factor(6, k**2) / SIZE**2
    expected = np.abs(2 * potential * np.sin(chi))
    assert_allclose(found, expected, atol=0.03 * expected.max())  # second order in the phase


def test_atoms_are_dark_at_scherzer_underfocus(quick, carbon):
    scherzer = np.sqrt(1.5 * 1e7 * wavelength(200e3))
    image = replace(quick, defocus=scherzer)(carbon).data
    assert image[92:98, 92:98].min() == image.min()  # within 0.3 Å of the atom
    assert image.min() < 0.98


def test_spreads_damp_high_frequencies_only(quick, carbon):
    sharp = np.abs(orders(quick(carbon)))
    for name, value in (("defocus_spread", 120.0), ("illumination", 0.5), ("blur", 1.0)):
        damped = np.abs(orders(replace(quick, **{name: value})(carbon)))
        assert damped[9] < 0.8 * sharp[9], name
        assert damped[1] == pytest.approx(sharp[1], rel=0.15), name


def test_an_aperture_cuts_off(quick, carbon):
    cut = replace(quick, aperture=8.0)  # 0.32 / Å, the 6th order
    assert np.abs(orders(cut(carbon)))[8:12].max() < 1e-2 * np.abs(orders(quick(carbon)))[8]


def test_a_defocus_series_costs_one_multislice(quick, carbon, monkeypatch):
    quick(carbon)
    monkeypatch.setattr("htinvert.forward.multislice.exit_wave", None)
    series = replace(quick, images=3, defocus_step=-100.0)(carbon)
    assert series.data.shape == (3, 190, 190)
    axis = series.axes[0]
    assert (axis.name, axis.unit, axis.step, axis.origin) == ("defocus", "Å", -100.0, 500.0)
    assert_allclose(series.data[2], replace(quick, defocus=300.0)(carbon).data)


def test_an_oblique_crystal_is_cut_out_around_the_window(quick):
    """Away from the box's seam the image repeats as the crystal does."""
    layer = Atoms(
        "C", positions=[[0, 0, 0]], cell=[[3.0, 0, 0], [1.3, 3.7, 0], [0, 0, 2]], pbc=(1, 1, 0)
    )
    model = replace(quick, sampling=0.2, shape=(20, 20), center=(0.0, 0.0), defocus=100.0)
    found = model(layer).data
    moved = replace(model, shift_x=1.3, shift_y=-3.7)(layer).data
    assert_allclose(found, moved, atol=0.02 * np.ptp(found))


def test_an_image_reads_as_many_numbers_as_it_keeps(quick, carbon):
    tem._waves.clear()
    for seed in range(3):
        replace(quick, seed=seed)(carbon)
    assert len(tem._waves) == 3


def test_an_aperture_beyond_the_simulated_angle_is_refused():
    with pytest.raises(UserError, match=r"aperture is 90 mrad .* up to 84 mrad"):
        Tem(aperture=90.0)


def test_a_static_lattice_is_refused():
    with pytest.raises(UserError, match="static lattice"):
        Tem(phonons=0)


def test_too_little_memory_is_said(quick, carbon):
    with pytest.raises(UserError, match="memory is 0.1 GB"):
        replace(quick, memory=0.1)(carbon)


def test_an_estimate_says_what_an_image_takes(quick, carbon):
    assert "1 configurations x 1 slices of 192 x 192 px" in str(quick.estimate(carbon))
