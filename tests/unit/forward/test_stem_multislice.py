"""What the multislice model refuses, remembers and repeats."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal

from htinvert.core import UserError
from htinvert.forward import stem_multislice
from htinvert.forward.multislice import finest, largest_angle, memory_of, probes_at_once, thickest
from htinvert.forward.stem_multislice import StemMultislice

pytest.importorskip("abtem", reason="abtem is not installed: pip install htinvert[multislice]")


@pytest.fixture
def crystal():
    return Atoms("AuC", positions=[[0, 1, 1], [2, 3, 2.5]], cell=[4, 4, 5], pbc=True)


@pytest.fixture
def quick(monkeypatch):
    """Two thin, coarse configurations; scans start out forgotten."""
    monkeypatch.setattr(stem_multislice, "_scans", type(stem_multislice._scans)())
    return StemMultislice(
        sampling=0.4, shape=(12, 10), semiangle=15.0, inner=20.0, outer=50.0, thickness=8.0,
        phonons=2, padding=2.0, scan_step=0.5,
    )  # fmt: skip


@pytest.mark.parametrize("parameters", [{"phonons": 0}, {"rms_displacement": 0.0}])
def test_a_static_lattice_is_refused_with_the_reason(parameters):
    with pytest.raises(UserError, match="falls with thickness"):
        StemMultislice(**parameters)


def test_a_detector_beyond_the_simulated_angle_is_refused():
    with pytest.raises(UserError, match=r"outer is 150 mrad .* simulates up to 84 mrad"):
        StemMultislice(potential_sampling=0.1)


@pytest.mark.parametrize(
    "parameters", [{"thickness": 0.0}, {"inner": 200.0}, {"detector": "haadf"}, {"padding": -1.0}]
)
def test_parameters_out_of_bounds_are_refused(parameters):
    with pytest.raises(ValueError, match="must"):
        StemMultislice(**parameters)


def test_too_little_memory_is_said(crystal, quick):
    with pytest.raises(UserError, match=r"GB .* memory is 0.1 GB"):
        replace(quick, memory=0.1)(crystal)


def test_what_the_image_should_have_told_is_asked_for(crystal, quick):
    with pytest.raises(UserError, match="shape"):
        replace(quick, shape=None)(crystal)


def test_a_missing_engine_says_how_to_install_it(crystal, quick, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"htinvert\[multislice\]"):
        quick(crystal)


def test_one_seed_gives_one_image_and_another_seed_another(crystal, quick):
    first = quick(crystal).data
    stem_multislice._scans.clear()
    assert_allclose(quick(crystal).data, first, atol=1e-6 * first.max())  # float32 transforms
    assert abs(replace(quick, seed=1)(crystal).data - first).max() > 0.01 * first.max()


def test_a_fit_of_what_blurs_or_moves_the_image_scans_once(crystal, quick, monkeypatch):
    quick(crystal)
    monkeypatch.setattr(stem_multislice, "_record", None)  # a second scan would fail
    for change in ({"source_size": 0.7}, {"shift_x": 0.3}, {"rotation": 2.0}, {"shear_x": 0.01}):
        replace(quick, **change)(crystal)


def test_a_point_has_one_value_however_much_is_scanned(crystal, quick):
    """A window grows: what is added fits what is known, and all equals a scan at once."""
    tall = crystal.repeat((1, 1, 5))
    quick = replace(quick, shape=(8, 6), center=(12.0, 2.0))
    quick(tall)
    grown = replace(quick, shape=(16, 6))(tall).data
    stem_multislice._scans.clear()
    at_once = replace(quick, shape=(16, 6))(tall).data
    assert_allclose(grown, at_once, atol=1e-5 * at_once.max())


def test_chunks_of_probes_change_nothing(crystal, quick, monkeypatch):
    image = quick(crystal).data
    stem_multislice._scans.clear()
    monkeypatch.setattr("htinvert.forward.multislice.probes_at_once", lambda *_: 3)
    assert_allclose(quick(crystal).data, image, atol=1e-6 * image.max())


def test_repeating_the_cell_across_the_beam_changes_little(crystal, quick):
    """Only phonons differ: twice as many atoms have their own displacement."""
    model = replace(quick, phonons=5, source_size=1.5, center=(2.5, 2.0))
    once, twice = model(crystal).data, model(crystal.repeat((1, 2, 1))).data
    assert np.corrcoef(once.ravel(), twice.ravel())[0, 1] > 0.97


def test_vacuum_scatters_nothing_into_an_annulus(quick):
    alone = Atoms("Au", positions=[[0, 0, 0]])
    image = replace(quick, shape=(12, 12), center=(0.0, 0.0), sampling=1.0, source_size=0.0)(alone)
    assert image.data.max() == image.data[5:7, 5:7].max()
    assert abs(image.data[:2]).max() < 1e-2 * image.data.max()


def test_integrated_center_of_mass_peaks_at_the_atoms(crystal, quick):
    model = replace(
        quick, detector="idpc", inner=0.0, center=(2.5, 2.0), shape=(13, 11), source_size=0.5,
        rms_displacement=0.05,
    )  # fmt: skip
    image = model(crystal).data  # gold at (up, right) = (1, 1)
    row, column = 6 + (2.5 - 1.0) / 0.4, 5 + (1.0 - 2.0) / 0.4
    assert np.unravel_index(image.argmax(), image.shape) == pytest.approx((row, column), abs=1.0)
    assert image.dtype == np.float32


def test_symmetric_detectors_see_the_deflection_of_a_lone_atom(quick):
    """The center of mass points toward a nucleus, and is opposite on its two sides."""
    alone = Atoms("Au", positions=[[0, 0, 0]])
    model = replace(quick, detector="com_x", inner=0.0, center=(0.0, 0.0), shape=(1, 21))
    row = replace(model, sampling=0.2, rms_displacement=1e-3, source_size=0.0)(alone).data[0]
    assert row[7] > 0 > row[13]
    assert_allclose(row, -row[::-1], atol=0.05 * row.max())


def test_sampling_holds_the_detector_with_a_third_of_the_band_to_spare():
    """Two thirds of the Nyquist band: 0.0250793 / (3 x 0.08), Kirkland section 6.8."""
    assert largest_angle(200e3, 0.08) == pytest.approx(104.5, abs=0.1)
    assert largest_angle(200e3, finest(200e3, 150.0)) > 150.0


def test_slices_are_thin_against_the_depth_of_focus_at_the_outer_angle():
    """2 x 0.0250793 Å / (0.15 rad)^2, and at most 5 Å."""
    assert thickest(200e3, 150.0) == pytest.approx(2.229, abs=1e-3)
    assert thickest(200e3, 20.0) == 5.0


def test_a_batch_never_exceeds_the_memory():
    assert 1 <= probes_at_once((512, 512), 20, 0.6) < 16
    assert memory_of((512, 512), 20, probes_at_once((512, 512), 20, 0.6)) <= 0.6
    assert probes_at_once((512, 512), 20, 10.0) == 16


def test_the_two_views_are_the_same(crystal, quick):
    pixels = np.array([[0.0, 0.0], [3.0, 7.0]])
    turned = replace(quick, rotation=10.0, shift_x=1.0)
    assert_array_equal(
        turned.view(crystal).lines(pixels), turned.convolution.view(crystal).lines(pixels)
    )


def test_an_estimate_says_what_an_image_takes(crystal, quick):
    estimate = quick.estimate(crystal)
    assert estimate.model.startswith("abTEM ")
    assert f"{quick.plan(crystal).mask.sum()} probes x 2 configurations x " in estimate.work
    assert (
        replace(quick, phonons=20).estimate(crystal).seconds > 4 * estimate.seconds
    )  # 10, but timed
    assert 0.3 < estimate.memory < quick.memory
