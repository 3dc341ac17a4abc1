"""Every method by name finds the same minimum, inside the bounds, within its evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from htinvert.evaluation.optimize import METHODS, Box, gauss_newton, minimize

Floats = NDArray[np.float64]
TRUTH = np.array([0.35, 0.6, 0.5])


def valley(point: Floats) -> float:
    """A tilted parabola: its axes are not those of the box."""
    x, y, z = point - TRUTH[: len(point)]
    return float((x + y) ** 2 + 4 * (x - y) ** 2 + z**2)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_bottom_of_a_tilted_valley(method: str) -> None:
    found = minimize(valley, np.array([0.5, 0.5, 0.4]), method=method, max_evaluations=3000)
    np.testing.assert_allclose(found.point, TRUTH, atol=0.02)  # of each parameter's range
    assert found.cost < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_every_method_repeats_itself(method: str) -> None:
    start = np.array([0.2, 0.8, 0.1])
    first, second = (minimize(valley, start, method=method, max_evaluations=150) for _ in "ab")
    assert first.cost == second.cost
    np.testing.assert_array_equal(first.point, second.point)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_leaves_its_bounds_or_exceeds_its_evaluations(method: str) -> None:
    tried: list[Floats] = []

    def cost(point: Floats) -> float:
        tried.append(np.array(point))
        return float(-point.sum())  # the minimum is in a corner

    start = np.array([0.5, 0.95])
    found = minimize(cost, start, method=method, width=0.1, max_evaluations=40)
    assert len(tried) == found.evaluations <= 40
    assert np.ptp(np.array(tried), axis=0).max() <= 0.2 + 1e-9
    assert (np.array(tried) <= 1).all()
    assert found.cost <= -start.sum()  # never worse than the start


def test_one_parameter_is_enough_for_cma_es() -> None:
    found = minimize(lambda p: float((p[0] - 0.3) ** 2), np.array([0.6]), method="CMA-ES")
    assert found.point == pytest.approx([0.3], abs=1e-3)


def test_a_point_met_twice_is_paid_once() -> None:
    tried: list[bytes] = []

    def cost(point: Floats) -> float:
        tried.append(point.tobytes())
        return float((point**2).sum())

    minimize(cost, np.array([0.0, 0.0]), method="powell")  # at a corner: many trials are clipped
    assert len(tried) == len(set(tried))


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="method bfgs is unknown; choose one of powell"):
        minimize(valley, TRUTH, method="bfgs")


def test_standard_errors_are_those_of_a_straight_line() -> None:
    """Slope of y = a x with noise s: s / sqrt(sum x²), any textbook on regression."""
    x, noise = np.linspace(0, 1, 400), 0.1
    y = 2.0 * x + noise * np.random.default_rng(3).normal(size=400)
    box = Box({"a": (0.0, 5.0)})
    best = box.scaled({"a": float(x @ y / (x @ x))})
    (error,) = box.standard_errors(lambda p: y - box.parameters(p)["a"] * x, best)
    assert error == pytest.approx(noise / np.sqrt(x @ x), rel=0.1)


def test_what_the_data_do_not_show_has_the_error_of_its_range() -> None:
    """Uniform over a range of length 8: 8 / sqrt(12); its slope was taken for no error at all."""
    x = np.linspace(0, 1, 400)
    y = 2.0 * x + 0.1 * np.random.default_rng(3).normal(size=400)
    box = Box({"a": (0.0, 5.0), "unseen": (-4.0, 4.0)})
    errors = box.standard_errors(lambda p: y - box.parameters(p)["a"] * x, np.array([0.4, 0.5]))
    assert errors[1] == pytest.approx(8.0 / np.sqrt(12.0), rel=1e-3)
    assert errors[0] < 0.02


def test_box_and_parameters_are_inverse() -> None:
    box = Box({"defocus": (-100.0, 300.0), "source_size": (0.5, 2.5)})
    values = {"defocus": 20.0, "source_size": 1.0}
    assert box.parameters(box.scaled(values)) == pytest.approx(values)
    np.testing.assert_allclose(box.scaled(values), [0.3, 0.25])


def test_probes_are_the_points_of_halton() -> None:
    """Digits in base 2, 3 and 5 mirrored at the point (Halton, Numer. Math. 2, 84 (1960))."""
    probes = Box(dict.fromkeys("abc", (0.0, 1.0))).probes(6)
    firsts = [1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8]
    seconds = [1 / 3, 2 / 3, 1 / 9, 4 / 9, 7 / 9, 2 / 9]
    thirds = [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1 / 25, 6 / 25]
    np.testing.assert_allclose(probes, np.transpose([firsts, seconds, thirds]), rtol=1e-15)


def test_gauss_newton_stays_in_the_box_and_finds_a_minimum_at_its_edge() -> None:
    """The closest point of the unit square to (0.3, 1.4) is (0.3, 1)."""
    aim = np.array([0.3, 1.4])
    found, left = gauss_newton(lambda p: p - aim, lambda p: np.eye(2), np.array([0.9, 0.1]))
    np.testing.assert_allclose(found, [0.3, 1.0], atol=1e-3)
    assert left == pytest.approx(0.16, abs=1e-3)
