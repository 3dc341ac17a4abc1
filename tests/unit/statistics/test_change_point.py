"""A step in a row of numbers: found where it is, doubted where it may be chance."""

import numpy as np
import pytest

from htinvert.statistics.change_point import change_point, steadiest


def test_a_step_is_found_at_its_place_with_its_size_and_the_noise() -> None:
    rng = np.random.default_rng(1)
    found = change_point(np.r_[np.zeros(10), np.full(10, 5.0)] + rng.normal(0.0, 1.0, 20))
    assert found.at == 10 and found.earliest <= 10 <= found.latest
    assert found.sure > 0.99
    assert found.size == pytest.approx(5.0, abs=1.5)  # three standard errors: 3 sqrt(2 / 10)
    assert found.noise == pytest.approx(1.0, abs=0.5)


def test_the_stated_probability_holds_where_steps_are_as_likely_as_none() -> None:
    """Of rows that are called a step with 90 % or more, nine of ten have one; that is its sense."""
    rng = np.random.default_rng(2)
    called = []
    for _ in range(800):
        there = bool(rng.integers(2))
        row = rng.normal(0.0, 1.0, 20)
        row[int(rng.integers(1, 20)) :] += there * rng.normal(0.0, 3.0)
        if change_point(row).sure >= 0.9:
            called.append(there)
    assert len(called) > 150
    assert np.mean(called) >= 0.9


def test_the_interval_holds_the_place_of_a_step_of_two_deviations() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        at = int(rng.integers(5, 16))
        row = rng.normal(0.0, 1.0, 20) + 2.0 * (np.arange(20) >= at)
        found = change_point(row)
        held += found.earliest <= at <= found.latest
    assert held >= 0.95 * 200 - 3 * np.sqrt(200 * 0.95 * 0.05)  # three standard deviations


def test_of_too_few_numbers_nothing_is_known() -> None:
    assert change_point(np.array([0.0, 0.0, 9.0])).sure == 0.5
    with pytest.raises(ValueError, match="at least 2"):
        change_point(np.array([1.0]))


def test_numbers_without_noise_are_no_trouble() -> None:
    assert change_point(np.zeros(8)).sure < 0.5
    assert change_point(np.r_[np.zeros(4), np.ones(4)]).at == 4


def test_a_single_outlier_changes_no_answer_and_a_lasting_step_does() -> None:
    first = np.zeros(12)
    outlier, step = np.full(12, 2.0), np.full(12, 2.0)
    outlier[5] = -2.0
    step[7:] = -2.0
    assert steadiest(np.array([first, outlier]), noise=1.0, penalty=6.0) == [0] * 12
    assert steadiest(np.array([first, step]), noise=1.0, penalty=6.0) == [0] * 7 + [1] * 5
