"""Every kind that ships keeps what any kind must; metrics, pieces and errors of equal axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from scipy.signal import lfilter

from htinvert.core import Channel, EvaluationFailed, Signal, UserError
from htinvert.metrics.chi_square import ChiSquare
from htinvert.metrics.correlation import Correlation
from htinvert.metrics.cosine import Cosine
from htinvert.metrics.equal_axes import start_of
from htinvert.metrics.linear import Linear, gain_and_offset
from htinvert.metrics.rw import Rw
from htinvert.signals.correlated import correlation_time, stretches
from htinvert.signals.intervals import intervals
from htinvert.signals.kind import kind_named
from htinvert.signals.pattern_file import pattern_signal
from htinvert.signals.seen import see
from htinvert.testing.metric import check_metric
from htinvert.testing.pytest_checks import kind_checks

RNG = np.random.default_rng(11)
X = np.linspace(1.0, 12.0, 600)


def curve(noise: float = 0.0, seed: int = 1) -> Signal:
    y = np.sin(2 * X) * np.exp(-X / 8) + noise * np.random.default_rng(seed).normal(size=X.size)
    return Signal.curve(X, y, name="r", unit="Å", quantity="G [Å⁻²]")


def wavy(shape: tuple[int, ...], noise: float = 0.0) -> np.ndarray:
    y, x = np.indices(shape[-2:])
    image = 2.0 + np.sin(0.4 * x + 0.1 * y) + np.cos(0.3 * y)
    return np.broadcast_to(image, shape) + noise * np.random.default_rng(3).normal(size=shape)


PAIRS: dict[str, tuple[str, Signal, Signal, Any]] = {
    "image": ("image", Signal.image(wavy((40, 50)), 0.2), Signal.image(wavy((64, 70), 0.2), 0.2),
              Correlation()),
    "curve": ("curve", curve(), curve(0.1), Rw()),
    "pattern": ("pattern", pattern_signal(wavy((40, 50)), 0.02),
                pattern_signal(wavy((40, 50), 0.2), 0.02), Cosine()),
    "scan": ("pattern", pattern_signal(wavy((2, 3, 20, 24)), 1.5, unit="mrad", scan=(3.0, 3.0)),
             pattern_signal(wavy((2, 3, 20, 24), 0.2), 1.5, unit="mrad", scan=(3.0, 3.0)), Rw()),
}  # fmt: skip


@kind_checks
@pytest.mark.parametrize("name", PAIRS)
def test_a_kind_conforms(check: Callable[..., None], name: str) -> None:
    kind, simulated, observed, metric = PAIRS[name]
    check(kind_named(kind), simulated, observed, metric)


@pytest.mark.parametrize("metric", [Rw(), Rw(scale=False), ChiSquare(sigma=0.1), Cosine()])
def test_a_metric_of_equal_axes_conforms(metric: Any) -> None:
    check_metric(metric, curve(0.05))


def test_rw_is_its_formula() -> None:
    """Egami & Billinge, eq. 6.13, by hand: observed (3, 4), simulated (3, 3): sqrt(1 / 25)."""
    observed = Signal.curve(np.array([0.0, 1.0]), np.array([3.0, 4.0]))
    simulated = Signal.curve(np.array([0.0, 1.0]), np.array([3.0, 3.0]))
    assert Rw(scale=False)(simulated, observed).cost == pytest.approx(0.2)
    scaled = Rw()(simulated, observed)  # best scale 21 / 18, residuals 0.5 and 0.5
    assert scaled.detail["scale"] == pytest.approx(21 / 18)
    assert scaled.cost == pytest.approx(np.sqrt(0.5 / 25))


def test_chi_square_of_the_right_curve_is_one() -> None:
    """Its mean is 1 and its standard deviation sqrt(2 / 600) = 0.058."""
    assert ChiSquare(sigma=0.1)(curve(), curve(0.1)).cost == pytest.approx(1.0, abs=0.18)
    counts = np.random.default_rng(5).poisson(400.0 + 0 * X).astype(float)
    observed = Signal.curve(X, counts)
    flat = Signal.curve(X, np.full_like(X, 400.0) + 1e-3 * X)
    score = ChiSquare(sigma=0.0, poisson=True, scale=False)(flat, observed)
    assert score.cost == pytest.approx(1.0, abs=0.18)


def test_a_background_is_solved_for_and_never_the_scale_below_zero() -> None:
    line = 3.0 + 0.5 * X
    observed = Signal.curve(X, 2.0 * curve().data + line)
    score = Rw(background=1)(Signal.curve(X, curve().data), observed)
    assert score.cost < 1e-5 and score.detail["scale"] == pytest.approx(2.0, rel=1e-4)
    upside_down = Signal.curve(X, -curve().data)
    assert Rw()(upside_down, Signal.curve(X, curve().data)).detail["scale"] == 0.0
    with pytest.raises(ValueError, match="degree from 0 to 12"):
        Linear(background=20)


def test_a_stretch_is_found_by_its_axis_and_misfits_are_told() -> None:
    part = Signal.curve(X[100:300], curve().data[100:300], name="r", unit="Å")
    assert start_of(part, curve()) == (100,)
    assert Rw()(part, curve()).cost == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(UserError, match="simulated in 1/Å and was observed in Å"):
        Rw()(Signal.curve(X, X, name="k", unit="1/Å"), curve())
    with pytest.raises(UserError, match="let the forward model use the experiment's axes"):
        Rw()(Signal.curve(X + 0.007, curve().data, unit="Å"), curve())
    with pytest.raises(UserError, match="beyond what was observed"):
        Rw()(Signal.curve(X - X[1] + X[0], curve().data, unit="Å"), curve())
    nan = Signal.curve(X, np.full_like(X, np.nan), unit="Å")
    with pytest.raises(EvaluationFailed, match="no finite number"):
        Rw()(nan, curve())


def test_gain_and_offset_are_those_of_a_straight_line() -> None:
    x = RNG.normal(size=(9, 7))
    assert gain_and_offset(x, 2.5 * x - 1.0) == (pytest.approx(2.5), pytest.approx(-1.0))
    assert gain_and_offset(np.ones((3, 3)), x[:3, :3]) == (0.0, pytest.approx(x[:3, :3].mean()))


def test_correlation_time_of_smoothed_noise_is_known() -> None:
    """White noise 1; a first-order process of coefficient a has (1 + a) / (1 - a)."""
    white = RNG.normal(size=400_000)
    assert correlation_time(white) == pytest.approx(1.0, abs=0.1)
    assert correlation_time(lfilter([1.0], [1.0, -0.8], white)) == pytest.approx(9.0, rel=0.1)
    assert len(np.unique(stretches(20_000, 9.0))) == pytest.approx(20_000 / 36, rel=0.01)


def test_a_residual_without_slow_parts_hangs_together_by_its_bandwidth() -> None:
    """By Parseval's theorem the squares of a band of B per point do over 1 / (2 B) points."""
    spectrum = np.fft.rfft(RNG.normal(size=100_000))
    frequency = np.fft.rfftfreq(100_000)
    spectrum[(frequency < 0.05) | (frequency > 0.10)] = 0.0
    assert correlation_time(np.fft.irfft(spectrum)) == pytest.approx(10.0, rel=0.1)


@dataclass(frozen=True)
class Peak:
    """A Gaussian peak, whatever the atoms."""

    place: float = 6.0
    kind = "curve"

    def __call__(self, atoms: Atoms) -> Signal:
        return Signal.curve(X, np.exp(-0.5 * ((X - self.place) / 0.8) ** 2), name="r", unit="Å")


def test_errors_of_parameters_count_only_what_is_independent() -> None:
    """Noise of 0.2 smoothed over 12 points: its deviation is 0.2 / sqrt(12), and so many hang
    together. With J'J = sqrt(pi) / (2 width step) for the place of a Gaussian peak, the error is
    0.2 / sqrt(J'J) = 0.026 Å; every point taken as independent would say 0.0074 Å."""
    rng = np.random.default_rng(8)
    errors = []
    for _ in range(12):
        noise = np.convolve(rng.normal(size=X.size + 11), np.ones(12) / 12, "valid")
        observed = Signal.curve(X, Peak()(Atoms()).data + 0.2 * noise, name="r", unit="Å")
        channel = Channel("g", observed, Peak(), {"rw": Rw()}, {"place": (5.0, 7.0)})
        errors.append(intervals(see(channel, Atoms(), {"place": 6.0}), channel.free)["place"])
    expected = 0.2 / np.sqrt(np.sqrt(np.pi) / (2 * 0.8 * (X[1] - X[0])))
    assert np.median(errors) == pytest.approx(expected, rel=0.25)


def test_noise_of_a_smooth_signal_is_what_was_added() -> None:
    assert kind_named("curve").noise(curve(0.05)) == pytest.approx(0.05, rel=0.1)
    noisy = pattern_signal(wavy((60, 60), 0.2), 0.02)
    assert kind_named("pattern").noise(noisy) == pytest.approx(0.2, rel=0.2)
