"""The figure of merit: placement, its parts and its failures."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from htinvert.core import EvaluationFailed, Signal, UserError
from htinvert.metrics.registration import Registration, correlation_peaks, residual_shift
from htinvert.metrics.ssim import ssim

SINGLE = 1e-6  # of an SSIM of single precision numbers


@pytest.fixture
def scene():
    rng = np.random.default_rng(5)
    return gaussian_filter(rng.normal(size=(140, 150)), 3)


@pytest.fixture
def observed(scene):
    return Signal.image(scene, (0.2, 0.3))


def cut(scene, row, column, shape=(60, 50)):
    return Signal.image(scene[row : row + shape[0], column : column + shape[1]], (0.2, 0.3))


@pytest.mark.parametrize("definition", ["float7", "uint8-35"])
def test_a_patch_of_the_observation_costs_nothing(scene, observed, definition):
    score = Registration(ssim=definition)(cut(scene, 47, 81), observed)
    assert score.cost == pytest.approx(0, abs=1e-6)
    assert (score.detail["row"], score.detail["column"]) == (47, 81)


def test_noise_of_a_third_of_the_contrast_does_not_move_the_patch(scene, observed):
    rng = np.random.default_rng(6)
    noisy = Signal.image(scene + scene.std() / 3 * rng.normal(size=scene.shape), (0.2, 0.3))
    score = Registration()(cut(scene, 47, 81), noisy)
    assert (score.detail["row"], score.detail["column"]) == (47, 81)
    assert score.detail["d_trans"] == 0


def test_place_is_refined_to_a_tenth_of_a_pixel(scene, observed):
    moved = cut(shift(scene, (0.3, -0.4), order=5), 47, 81)
    detail = Registration()(moved, observed).detail
    # moving the scene down moves the match up
    assert detail["row_refined"] == pytest.approx(47 - 0.3, abs=0.1)
    assert detail["column_refined"] == pytest.approx(81 + 0.4, abs=0.1)


def test_cost_is_the_weighted_sum_of_its_parts(scene, observed):
    other = Signal.image(gaussian_filter(scene, 2)[40:100, 30:80] ** 2, (0.2, 0.3))
    score = Registration(alpha=0.3, beta=2.0)(other, observed)
    assert score.cost == pytest.approx(0.3 * score.detail["d_trans"] + 2 * score.detail["d_sim"])


def test_distance_is_that_of_the_chosen_patch(scene, observed):
    simulated = Signal.image(gaussian_filter(scene, 2)[40:100, 30:80], (0.2, 0.3))
    detail = Registration()(simulated, observed).detail
    row, column = int(detail["row"]), int(detail["column"])
    patch = observed.data[row : row + 60, column : column + 50]
    assert detail["d_sim"] == pytest.approx(1 - ssim(simulated.data, patch), abs=SINGLE)


def test_no_patch_is_better_than_the_chosen_one(scene, observed):
    simulated = Signal.image(gaussian_filter(scene, 1.5)[40:100, 30:80], (0.2, 0.3))
    chosen = Registration()(simulated, observed).detail["d_sim"]
    every = [
        1 - ssim(simulated.data, observed.data[row : row + 60, column : column + 50])
        for row in range(0, 81, 2)
        for column in range(0, 101, 2)
    ]
    assert chosen <= min(every) + SINGLE


def test_peaks_that_noise_alone_tells_apart_come_from_the_center():
    ncc = np.zeros((31, 41), dtype=np.float32)
    ncc[3, 5], ncc[16, 22], ncc[15, 30], ncc[15, 10] = 0.80, 0.79, 0.795, 0.72
    assert correlation_peaks(ncc, count=9) == [(16, 22), (15, 30), (3, 5), (15, 10)]


def test_peaks_may_be_at_the_border():
    ncc = np.zeros((9, 9), dtype=np.float32)
    ncc[0, 8] = 0.5
    assert correlation_peaks(ncc, count=4) == [(0, 8)]


def test_residual_shift_has_a_direction_and_a_sign():
    image = np.random.default_rng(0).random((40, 30))
    assert residual_shift(image, np.roll(image, (3, -5), (0, 1))) == (3, -5)


def test_a_crystals_repeats_are_no_misplacement():
    """Two pixels off, or a period less two: noise must not turn one into the other."""
    y, x = np.mgrid[:60, :90]
    crystal = np.cos(2 * np.pi * x / 30) + np.cos(2 * np.pi * y / 20)
    noise = np.random.default_rng(0).normal(scale=0.2, size=(5, 60, 90))
    for image in crystal + noise:
        assert residual_shift(crystal, np.roll(image, 2, 1)) == (0, 2)


def test_residual_shift_is_also_told_in_angstrom(scene):
    """With max_shift 0 only the central patch may be taken; the crystal is 4 px off in y."""
    rolled = np.roll(scene, (4, 0), (0, 1))[40:100, 50:100]
    score = Registration(max_shift=0.0)(
        Signal.image(rolled, (0.2, 0.3)), Signal.image(scene[40:100, 50:100], (0.2, 0.3))
    )
    assert score.detail["d_trans"] == 4
    assert score.detail["d_trans_angstrom"] == pytest.approx(0.8)


def test_registration_is_deterministic(scene, observed):
    simulated = Signal.image(gaussian_filter(scene, 2)[40:100, 30:80], (0.2, 0.3))
    assert Registration()(simulated, observed) == Registration()(simulated, observed)


def test_constant_simulation_fails_with_a_reason(observed):
    with pytest.raises(EvaluationFailed, match="constant"):
        Registration()(Signal.image(np.zeros((40, 40)), (0.2, 0.3)), observed)


def test_simulation_below_the_window_of_ssim_is_refused(scene, observed):
    with pytest.raises(UserError, match="35 px window"):
        Registration(ssim="uint8-35")(cut(scene, 0, 0, (30, 60)), observed)


@pytest.mark.parametrize(
    "parameters", [{"ssim": "best"}, {"alpha": -1.0}, {"best_sites": 0}, {"max_shift": -1.0}]
)
def test_parameters_out_of_bounds_are_refused(parameters):
    with pytest.raises(ValueError, match="must|choose"):
        Registration(**parameters)
