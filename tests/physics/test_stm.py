"""STM of Cu2O(111) with densities that `workflows/cu2o_stm.py` made by GPAW.

`tests/physics/stm` holds the states up to 1 eV above the Fermi level of terminations; how they were
computed is in each file's ``method`` and in docs/stm.md. GPAW relaxed all of them.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from htinvert.core import Signal
from htinvert.density.files import FileDensity
from htinvert.density.stored import read_zarr
from htinvert.forward.stm import Stm
from htinvert.forward.stm_null import plane_waves, with_relief
from htinvert.image.compare import some, windows_of
from htinvert.image.compare_surfaces import Study, compare_surfaces, fit_surface, lattice_turns
from htinvert.image.read import read_image
from htinvert.image.surface import SurfaceWindow, settle
from htinvert.metrics.registration import Registration

FOLDER = Path(__file__).parent / "stm"
STOICHIOMETRIC = FOLDER / "cu2o_111_stoichiometric.zip"
IMAGE = "cu2o-stm/03h_Cu2O_111_034_fwd_z_plane.txt"
METRIC = Registration(ssim="uint8-35")
BOX = SurfaceWindow(28, 61, 79, 79)  # the best fit's in benchmarks/results.md, then held for all


@pytest.fixture(scope="module")
def surface():
    return read_zarr(STOICHIOMETRIC).atoms


@pytest.fixture(scope="module")
def model():
    return Stm(density=FileDensity(STOICHIOMETRIC), sampling=0.29297, rotation=110.0, blur=1.5)


def test_the_densities_in_the_repository_are_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000


def test_the_protrusion_is_the_unsaturated_copper_beside_its_symmetric_place(model, surface):
    """Published: protrusions are unsaturated copper (Zhang et al., PCCP 20, 27456 (2018))."""
    heights, cell = model.heights(surface)
    assert 2.0 < heights.mean() < 4.5  # Å over the topmost atom
    peak = np.array(np.unravel_index(heights.argmax(), heights.shape)) / heights.shape
    copper = surface[[atom.index for atom in surface if atom.symbol == "Cu"]]
    top = copper[copper.positions[:, 2] > copper.positions[:, 2].max() - 0.3]
    places = top.get_scaled_positions()[:, :2]
    gaps = (places - peak + 0.5) % 1 - 0.5
    distances = np.linalg.norm(gaps @ cell, axis=1)
    unsaturated = min(range(len(top)), key=lambda i: _neighbors(surface, top.positions[i]))
    assert distances.argmin() == unsaturated
    assert distances.min() < 1.0


def _neighbors(surface, place):
    """Oxygen atoms within 2.1 Å of a place: two for copper in the bulk, else one."""
    oxygen = surface[surface.numbers == 8].positions
    gaps = np.linalg.solve(surface.cell.array.T, (oxygen - place).T).T
    return int((np.linalg.norm((gaps - np.round(gaps)) @ surface.cell.array, axis=1) < 2.1).sum())


def test_a_drifted_scan_of_the_surface_is_fitted_better_by_it_than_by_plane_waves(model, surface):
    truth = replace(
        model, shape=(110, 110), stretch_x=0.1, stretch_y=-0.12, shear_x=-0.1, shift_x=1.0, blur=1.0
    )
    image = truth(surface).data
    rng = np.random.default_rng(1)
    observed = Signal.image(image + 0.3 * image.std() * rng.standard_normal(image.shape), 0.29297)
    study = Study(observed, SurfaceWindow(15, 15, 79, 79), METRIC)
    found = fit_surface(study, surface, model)
    waves = plane_waves(surface.cell.array[:2, :2], phase=60.0)
    null = fit_surface(study, surface, with_relief(found.forward, surface, waves, "null"))
    assert found.score.cost < null.score.cost - 0.01
    clean = found.window.cut(Signal(image, observed.axes)).data
    assert np.corrcoef(clean.ravel(), found.simulated.data.ravel())[0, 1] > 0.98


def test_a_hexagonal_lattice_has_six_turns_and_a_square_one_four(surface):
    assert lattice_turns(surface.cell.array[:2, :2]) == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0]
    assert lattice_turns(np.eye(2) * 3.0) == [0.0, 90.0, 180.0, 270.0]
    assert lattice_turns(np.array([[3.0, 0.0], [0.4, 5.0]])) == [0.0, 180.0]


@pytest.mark.parametrize(("distortion", "most"), [(0.3, 0.218), (0.1, 0.235)])
def test_the_real_image_is_fitted_from_110_degrees_without_shear(
    shared_data, model, surface, distortion, most
):
    """The peer's shipped figure is 0.2153, with shear -0.25."""
    observed = read_image(shared_data / IMAGE, sampling=0.29297, crop=(220, 370, 140, 290))
    study = Study(observed, BOX, METRIC, distortion)
    start = time.process_time()
    found = settle(
        surface, observed, BOX, forward=model, metric=METRIC, free=study.free(model)
    )  # fmt: skip
    assert time.process_time() - start < 10.0
    assert found.score.cost <= most
    assert found.score.detail["d_trans"] == 0.0
    for name in ("shear_x", "shear_y", "stretch_x", "stretch_y"):
        assert abs(found.parameters[name]) <= distortion + 1e-9


@pytest.mark.timeout(1800)  # 90 seconds of one core
def test_on_the_real_image_the_stoichiometric_surface_wins_against_both_vacancies(shared_data):
    """At fixed bias and isovalue, in pairs over windows that share no pixel."""
    crop = read_image(shared_data / IMAGE, sampling=0.29297, crop=(220, 370, 140, 290))
    whole = read_image(shared_data / IMAGE, sampling=0.29297)
    candidates = {}
    for path in sorted(FOLDER.iterdir()):
        start = Stm(density=FileDensity(path), sampling=0.29297, rotation=110.0, blur=1.5)
        candidates[path.stem.removeprefix("cu2o_111_")] = read_zarr(path).atoms, start
    windows = some(windows_of((512, 512), (79, 79)), 13)
    found = compare_surfaces(Study(crop, BOX, METRIC), candidates, whole, windows)
    differences = {entry.name: entry for entry in found.comparison.differences("stoichiometric")}
    for name in ("cu_vacancy", "o_vacancy"):
        assert differences[name].verdict == "worse"
        assert differences[name].windows >= 10
    floor = next(entry for entry in differences.values() if entry.role == "floor")
    assert floor.mean < 0.01  # nothing that repeats is much better than the average of the data
