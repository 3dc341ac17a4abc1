"""What a cost says for a structure, in nats."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from htinvert.core import Objective, Signal, weighted_sum
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.likelihood import Likelihood, as_plain, from_plain, slope
from htinvert.metrics.rw import Rw


@pytest.mark.parametrize("misfit", [0.03, 0.1, 0.25])
def test_it_is_that_of_normal_residuals_whose_size_is_unknown(misfit: float) -> None:
    """-ln L of N normal numbers of mean square m^2, the best of all sizes that may be."""
    points, floor = 40.0, 0.1

    def minus_log(size: float) -> float:
        return 0.5 * points * (2.0 * np.log(size) + misfit**2 / size**2)

    found = minimize_scalar(
        minus_log, bounds=(floor, 1.0), method="bounded", options={"xatol": 1e-9}
    )
    zero = 0.5 * points * (2.0 * np.log(floor) + 1.0)  # of a misfit at the floor
    assert Likelihood(points, floor)(misfit) == pytest.approx(found.fun - zero, abs=1e-4)


@pytest.mark.parametrize("root", [True, False])
@pytest.mark.parametrize("cost", [0.004, 0.09, 0.4])
def test_its_slope_is_its_derivative(cost: float, root: bool) -> None:
    objective = Objective("xray.rw", 2.0, Likelihood(30.0, 0.1, root))
    ends = [objective.worth(cost + step) for step in (-1e-6, 1e-6)]
    assert slope(objective, cost) == pytest.approx((ends[1] - ends[0]) / 2e-6, rel=1e-5)


def test_twice_the_misfit_costs_a_logarithm_per_point() -> None:
    likelihood = Likelihood(50.0, 0.01)
    assert likelihood(0.4) - likelihood(0.2) == pytest.approx(50.0 * np.log(2.0))


def test_both_ways_to_a_misfit_agree() -> None:
    """Of one residual, told by a correlation of images and by Rw of what has no mean."""
    rng = np.random.default_rng(1)
    wave = np.sin(np.arange(400) * 2.0 * np.pi / 20.0)
    noisy = wave + rng.normal(0.0, 0.3, wave.size)
    noisy -= noisy.mean()
    shape = (20, 20)
    images = [Signal.image(data.reshape(shape), 0.2) for data in (wave, noisy)]
    curves = [Signal.curve(np.arange(400.0), data) for data in (wave, noisy)]
    by_image = Likelihood(1.0, 0.1, root=False).misfit(Correlation()(*images).cost)
    by_curve = Likelihood(1.0, 0.1).misfit(Rw()(*curves).cost)
    assert by_image == pytest.approx(by_curve, rel=1e-3)


def test_a_sum_takes_likelihoods_beside_weights() -> None:
    likelihood = Likelihood(20.0, 0.1)
    aims = [Objective("energy", 2.0), Objective("xray.rw", 1.0, likelihood)]
    assert weighted_sum({"energy": -3.0, "xray.rw": 0.3}, aims) == -6.0 + likelihood(0.3)


def test_a_file_keeps_the_numbers() -> None:
    for aim in (
        Objective("energy", 0.5),
        Objective("haadf.correlation", 1.0, Likelihood(48.5, 0.15, root=False)),
    ):
        assert from_plain(aim.name, as_plain(aim)) == aim
    assert from_plain("energy", {"kT": 0.5}) == Objective("energy", 2.0)
