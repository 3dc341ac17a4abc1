"""What every metric must keep: 0 for what is identical, more for what is not, the same each time.

Each check takes the metric and a signal that was observed, with contrast, large enough for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from htinvert.core import EvaluationFailed, Metric, Score, Signal, UserError
from htinvert.testing.conformance import check_travels, require

Check = Callable[[Any, Signal], None]

_IDENTICAL = 1e-5  # cost of rounding to float32, or of a similarity that is not quite 1
_NOISE = (0.1, 1.0)  # parts of the signal's contrast
_DRAWS = 3


def check_metric(metric: Any, observed: Signal) -> None:
    """Run all of the checks. Raises :class:`~htinvert.testing.conformance.NotConforming`."""
    for check in CHECKS:
        check(metric, observed)


def check_answer(metric: Any, observed: Signal) -> None:
    """It keeps the protocol, travels, answers the same twice, and leaves both signals alone."""
    require(isinstance(metric, Metric), "it cannot be called with two signals")
    check_travels(metric)
    other = noisy(observed, _NOISE[0])
    before = observed.data.copy(), other.data.copy()
    first, second = metric(other, observed), metric(other, observed)
    require(isinstance(first, Score), f"its answer is a {type(first).__name__}, no Score")
    require(first == second, "it answers otherwise to the same question")
    kept = all(map(np.array_equal, before, (observed.data, other.data)))
    require(kept, "it writes into a signal")
    numbers = all(isinstance(value, float) for value in first.detail.values())
    require(numbers, "its detail holds something else than float numbers")


def check_identical(metric: Any, observed: Signal) -> None:
    """What is identical costs nothing, and is better than anything else."""
    cost = metric(observed, observed).cost
    require(0 <= cost <= _IDENTICAL, f"identical signals cost {cost:.3g}, not 0")


def check_order(metric: Any, observed: Signal) -> None:
    """No cost is below 0, and more noise costs more."""
    means = [
        np.mean([metric(noisy(observed, part, seed), observed).cost for seed in range(_DRAWS)])
        for part in _NOISE
    ]
    require(means[0] >= 0, f"it costs {means[0]:.3g}; a cost is 0 or more")
    costs = [metric(observed, observed).cost, *means]
    require(
        costs[0] < costs[1] < costs[2],
        f"with noise of 0, {_NOISE[0]:g} and {_NOISE[1]:g} of the contrast it costs "
        f"{costs[0]:.3g}, {costs[1]:.3g} and {costs[2]:.3g}; lower is better",
    )
    opposite = Signal(-observed.data, observed.axes)
    cost = _cost(metric, opposite, observed)
    require(cost is None or cost >= 0, f"the inverted signal costs {cost}; a cost is 0 or more")


def check_refusals(metric: Any, observed: Signal) -> None:
    """What cannot be compared is refused with a reason and has no cost that is no number."""
    broken = observed.data.copy()
    broken[(0,) * broken.ndim] = np.nan
    flat = np.full_like(observed.data, 7.0)
    for what, data in (("a signal with nan", broken), ("a constant signal", flat)):
        cost = _cost(metric, Signal(data, observed.axes), observed)
        finite = cost is None or np.isfinite(cost)
        require(finite, f"{what} costs {cost}; raise EvaluationFailed with the reason")


CHECKS: tuple[Check, ...] = (check_answer, check_identical, check_order, check_refusals)


def noisy(signal: Signal, part: float, seed: int = 0) -> Signal:
    """The signal with noise of ``part`` of its contrast."""
    noise = np.random.default_rng(seed).normal(size=signal.data.shape)
    data = signal.data + part * float(signal.data.std()) * noise
    return Signal(data.astype(np.float32), signal.axes)


def _cost(metric: Any, simulated: Signal, observed: Signal) -> float | None:
    """What it costs, None where it is refused."""
    try:
        return float(metric(simulated, observed).cost)
    except (EvaluationFailed, UserError):
        return None
