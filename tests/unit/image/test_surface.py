"""A surface's periodic image is found in a distorted, noisy scan; windows keep their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Signal, UserError
from htinvert.evaluation.fit import normalized
from htinvert.evaluation.optimize import Box
from htinvert.forward.stm import Stm
from htinvert.forward.stm_null import lattice_average, plane_waves, with_relief
from htinvert.image.surface import (
    SurfaceWindow,
    _SurfaceProblem,
    around,
    best_window,
    moved,
    settle,
)
from htinvert.metrics.registration import Registration

CELL = np.array([[6.0, 0.0, 0.0], [-3.0, 3.0 * np.sqrt(3), 0.0], [0.0, 0.0, 20.0]])
SURFACE = Atoms("Cu", positions=[[0, 0, 5]], cell=CELL, pbc=True)
METRIC = Registration(ssim="uint8-35")


@pytest.fixture(scope="module")
def truth():
    """A model that shows a lopsided bump, as a drifting scan does."""
    relief = plane_waves(CELL[:2, :2], phase=50.0)
    plain = Stm(sampling=0.29, shape=(150, 150), rotation=20.0, blur=1.0)
    shown = with_relief(plain, SURFACE, relief, "made up")
    drift = {"stretch_x": 0.1, "stretch_y": -0.12, "shear_x": -0.1, "shift_x": 1.3, "shift_y": -0.8}
    return replace(shown, **drift)


@pytest.fixture(scope="module")
def observed(truth):
    image = truth(SURFACE).data
    noise = 0.2 * image.std() * np.random.default_rng(3).standard_normal(image.shape)
    return Signal.image(image + noise.astype(np.float32), 0.29)


@pytest.fixture(scope="module")
def fitted(truth, observed):
    plain = {"stretch_x": 0.0, "stretch_y": 0.0, "shear_x": 0.0, "shift_x": 0.0, "shift_y": 0.0}
    start = replace(truth, rotation=26.0, **plain)
    window = SurfaceWindow(30, 40, 79, 79)
    return settle(
        SURFACE,
        observed,
        window,
        forward=start,
        metric=METRIC,
        free=around(start, sampling=0.29),
        polish=100,
    )


def test_a_lattice_that_drift_has_distorted_by_a_fifth_is_found(truth, fitted, observed):
    assert fitted.score.cost < 0.1  # the noise
    window = fitted.window
    clean = truth(SURFACE).data[window.top : window.bottom, window.left : window.right]
    assert np.corrcoef(clean.ravel(), fitted.simulated.data.ravel())[0, 1] > 0.99


def test_a_moved_model_shows_the_same_place_in_a_larger_image(truth, fitted, observed):
    best = best_window(fitted, SURFACE, observed, metric=METRIC, size=79, step=10)
    assert abs(best.top - 30) <= 71
    whole = moved(
        replace(fitted.forward, shape=(150, 150)), 40 + 39 - 74.5, 30 + 39 - 74.5
    )(SURFACE)  # fmt: skip
    part = fitted.window.cut(whole).data
    assert np.allclose(part, fitted.simulated.data, atol=1e-5)


def test_the_lattice_average_is_closer_to_the_truth_than_the_image(truth, fitted, observed):
    relief = lattice_average(observed, truth, SURFACE)
    floor = with_relief(truth, SURFACE, relief, "floor")(SURFACE).data
    clean = truth(SURFACE).data
    assert np.corrcoef(clean.ravel(), floor.ravel())[0, 1] > 0.999
    assert np.corrcoef(clean.ravel(), observed.data.ravel())[0, 1] < 0.99


def test_the_triplet_phase_of_plane_waves_does_not_depend_on_the_origin():
    relief = plane_waves(CELL[:2, :2], phase=50.0)
    spectrum = np.fft.fft2(np.roll(relief, (5, 11), axis=(0, 1)))
    places = [(1, 0), (0, 1), (-1, -1)], [(1, 0), (0, -1), (-1, 1)]
    strong = max(places, key=lambda triplet: min(abs(spectrum[p]) for p in triplet))
    phase = np.degrees(np.angle(np.prod([spectrum[p] for p in strong])))
    assert abs(phase) == pytest.approx(50.0, abs=1e-6)


def test_a_shrunk_window_keeps_its_center_and_one_beyond_the_image_is_refused(observed):
    window = SurfaceWindow(10, 20, 79, 79)
    half = window.shrunk(0.5)
    assert (2 * half.top + half.rows, 2 * half.left + half.columns) == (99, 119)
    assert half.rows % 2 == 1
    with pytest.raises(UserError, match="not inside of the image of 150 x 150"):
        SurfaceWindow(100, 0, 79, 79).cut(observed)


def test_derivatives_by_slopes_are_those_of_differences(observed, fitted):
    """Of a model without blur all are right; the step of a difference is 0.02 Å of a shift."""
    sharp = replace(fitted.forward, blur=0.0)
    free = around(sharp, sampling=0.29)
    del free["blur"]
    problem = _SurfaceProblem(SURFACE, observed, sharp, METRIC, Box(free))
    window = fitted.window
    patch = normalized(problem.cut(window).data)
    point = problem.box.scaled({name: getattr(sharp, name) for name in free})
    found = problem.derivatives(point, window, patch)
    for index in range(len(point)):
        away = np.eye(len(point))[index] * 1e-3
        ahead, behind = (problem.residual(point + d, window, patch) for d in (away, -away))
        expected = (ahead - behind) / 2e-3
        assert np.linalg.norm(found[:, index] - expected) < 0.02 * np.linalg.norm(expected)
