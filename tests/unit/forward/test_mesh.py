"""The quick image of large cells against the exact Fourier series."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert.forward import stem_convolution
from htinvert.forward.cross_section import cross_section
from htinvert.forward.stem_convolution import StemConvolution

QUICK = 5e-4  # of the peak: tails beyond the guard and aliasing; 1e-3 is promised


@pytest.fixture
def by_mesh(monkeypatch):
    """Make any model's image on the mesh."""

    def image(model, atoms):
        with monkeypatch.context() as patched:
            patched.setattr(stem_convolution, "_PATIENCE", 0)
            return model(atoms).data.astype(float)

    return image


@pytest.fixture
def exact(monkeypatch):
    """Make any model's image from the series."""

    def image(model, atoms):
        with monkeypatch.context() as patched:
            patched.setattr(stem_convolution, "_PATIENCE", np.inf)
            return model(atoms).data.astype(float)

    return image


def grain(pbc=True):
    """Sixty Te atoms anywhere in an orthogonal cell."""
    cell = [9.0, 11.0, 14.0]
    positions = np.random.default_rng(0).random((60, 3)) * cell
    return Atoms("Te60", positions=positions, cell=cell, pbc=pbc)


MODEL = StemConvolution(sampling=0.16, shape=(90, 70))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"rotation": 7.0, "shear_x": 0.02, "shear_y": -0.01, "stretch_y": 0.03},
        {"sampling": (0.15, 0.18), "shift_x": 3.3, "shift_y": -40.0},
        {"source_size": 1.75},
        {"source_size": 0.5},
        {"source_size": 0.0},  # on a finer mesh
        {"source_size": 0.6, "sampling": 0.26},
        {"sampling": 0.5},  # pixels that do not resolve the probe
        {"beam": (0, 1, 1), "up": "x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("pbc", [True, (False, True, False), False], ids=str)
def test_mesh_agrees_with_the_series(by_mesh, exact, parameters, pbc):
    model = replace(MODEL, **parameters)
    expected = exact(model, grain(pbc))
    assert_allclose(by_mesh(model, grain(pbc)), expected, atol=QUICK * expected.max())


@pytest.mark.parametrize("optics", [{"defocus": 60.0}, {"spherical_aberration": 2e5}], ids=str)
def test_mesh_agrees_with_the_series_with_aberrations(by_mesh, exact, optics):
    model = replace(MODEL, source_size=0.7, **optics)
    expected = exact(model, grain())
    assert_allclose(by_mesh(model, grain()), expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.73])
def test_a_lone_atom_between_pixels_is_exact(by_mesh, exact, fraction):
    atoms = Atoms("Au", positions=[[0, fraction * 0.16, -fraction * 0.16]])
    model = replace(MODEL, center=(0.0, 0.0))
    expected = exact(model, atoms)
    assert_allclose(by_mesh(model, atoms), expected, atol=1e-5 * expected.max())


def test_mesh_integrates_to_the_sum_of_cross_sections(by_mesh):
    model = replace(MODEL, sampling=(14.0 / 90, 11.0 / 70))
    total = by_mesh(model, grain()).sum() * 14.0 / 90 * 11.0 / 70
    sigma = 60 * cross_section(52, beam_energy=200e3, inner=100, outer=150)
    assert total == pytest.approx(sigma, rel=2e-3)  # tails from beyond the guard


def test_mesh_sees_an_oblique_cell_as_its_supercell(by_mesh):
    cell = [[5.0, 0, 0], [0, 6.0, 0], [0, 2.5, 7.0]]
    atoms = Atoms("CdTe", scaled_positions=[[0, 0.1, 0.2], [0, 0.6, 0.5]], cell=cell, pbc=True)
    model = replace(MODEL, rotation=3.0, center=(2.0, 1.0))
    expected = by_mesh(model, atoms)
    found = by_mesh(model, atoms.repeat((1, 3, 2)))
    assert_allclose(found, expected, atol=1e-6 * expected.max())


def test_large_cells_take_the_mesh(monkeypatch):
    def refuse(*_):
        raise AssertionError("the series is slow for a large cell")

    monkeypatch.setattr(stem_convolution, "_series", refuse)
    atoms = grain().repeat((1, 4, 4))
    assert replace(MODEL, shape=(300, 160))(atoms).data.shape == (300, 160)


def test_a_probe_wider_than_the_window_takes_the_series(monkeypatch):
    """The guard around its mesh would hold most of the points."""

    def refuse(*_, **__):
        raise AssertionError("the mesh is slow for a wide probe")

    monkeypatch.setattr(stem_convolution, "mesh_image", refuse)
    assert replace(MODEL, defocus=300.0)(grain()).data.shape == MODEL.shape
