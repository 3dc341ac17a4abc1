"""All-offset correlation against scikit-image, and its failures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from skimage.feature import match_template

from htinvert.core import Axis, EvaluationFailed, Signal, UserError
from htinvert.metrics.correlation import (
    Correlation,
    allowed_offsets,
    normalized_cross_correlation,
)


@pytest.fixture
def observed():
    rng = np.random.default_rng(3)
    return Signal.image(100 + rng.normal(size=(97, 121)), 0.2)


def cut(signal, row, column, shape=(40, 33)):
    data = signal.data[row : row + shape[0], column : column + shape[1]]
    return Signal.image(data.copy(), signal.sampling)


def test_correlation_at_all_offsets_is_scikit_images(observed):
    template = np.random.default_rng(4).random((40, 33)).astype(np.float32)
    expected = match_template(observed.data.astype(float), template.astype(float))
    assert_allclose(normalized_cross_correlation(template, observed.data), expected, atol=1e-5)


def test_prepared_image_is_not_mistaken_for_another(observed):
    template = observed.data[5:30, 5:30]
    first = normalized_cross_correlation(template, observed.data)
    other = normalized_cross_correlation(template, observed.data[::-1].copy())
    again = normalized_cross_correlation(template, observed.data)
    assert_allclose(again, first, atol=0)
    assert np.abs(other - first).max() > 0.1


def test_full_size_image_has_one_offset(observed):
    assert normalized_cross_correlation(observed.data, observed.data) == pytest.approx(1, abs=1e-6)


def test_placement_is_recovered(observed):
    score = Correlation()(cut(observed, 31, 17), observed)
    assert (score.detail["row"], score.detail["column"]) == (31, 17)
    assert score.cost == pytest.approx(0, abs=1e-6)


def test_max_shift_keeps_to_the_center_of_a_periodic_image():
    wave = np.sin(np.arange(120) * 2 * np.pi / 10)
    observed = Signal.image(wave[:, None] + wave + 0.01 * np.arange(120), 0.5)
    score = Correlation(max_shift=3.0)(cut(observed, 40, 40, (40, 40)), observed)
    assert abs(score.detail["row"] - 40) <= 6 and abs(score.detail["column"] - 40) <= 6


def test_nearest_offset_is_always_allowed():
    assert allowed_offsets((4, 4), (1.0, 1.0), max_shift=0.0).sum() == 4


def test_constant_simulation_fails_with_a_reason(observed):
    flat = Signal.image(np.full((20, 20), 7.1), 0.2)
    with pytest.raises(EvaluationFailed, match="simulated image is constant"):
        Correlation()(flat, observed)


def test_constant_observation_fails_with_a_reason(observed):
    flat = Signal.image(np.full((60, 60), 7.1), 0.2)
    with pytest.raises(EvaluationFailed, match="observed image is constant"):
        Correlation()(cut(observed, 0, 0), flat)


def test_simulation_with_nan_fails_with_a_reason(observed):
    broken = cut(observed, 0, 0)
    broken.data[2, 2] = np.nan
    with pytest.raises(EvaluationFailed, match="not finite"):
        Correlation()(broken, observed)


def test_empty_part_of_the_observation_is_no_match(observed):
    data = observed.data.copy()
    data[:60] = 100.0
    ncc = normalized_cross_correlation(observed.data[70:90, 70:90], data)
    assert (ncc[:40] == 0).all() and ncc[70, 70] == pytest.approx(1, abs=1e-5)


def test_a_series_is_not_compared_with_one_image(observed):
    series = Signal(
        np.stack([observed.data, observed.data]), (Axis("defocus", "Å", 50.0), *observed.axes)
    )
    with pytest.raises(UserError, match=r"over \(defocus, y, x\) but the observed one is over \(y"):
        Correlation()(series, observed)


def test_larger_simulation_is_refused(observed):
    with pytest.raises(UserError, match="larger than the observed"):
        Correlation()(observed, cut(observed, 0, 0))


def test_other_sampling_is_refused(observed):
    other = Signal.image(cut(observed, 0, 0).data, 0.21)
    with pytest.raises(UserError, match="resample the image or set sampling"):
        Correlation()(other, observed)
