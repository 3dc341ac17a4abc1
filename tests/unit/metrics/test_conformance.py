"""What every metric must keep, by the shipped checks."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from ase.build import bulk

from htinvert.core import Metric, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.testing.metric import Check
from htinvert.testing.pytest_checks import metric_checks

GIVEN = {"chi_square": {"sigma": 0.1}}  # what has no default
METRICS = {
    point.name: point.load()(**GIVEN.get(point.name, {}))
    for point in entry_points(group="htinvert.metric")
}


@pytest.fixture(scope="module")
def observed() -> Signal:
    """A CdTe crystal whose atoms are displaced, so that no patch is another."""
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 4, 4))
    atoms.rattle(0.3, seed=1)
    return StemConvolution(sampling=0.2, shape=(110, 120))(atoms)


@metric_checks
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_keeps_what_it_promises(metric: Metric, observed: Signal, check: Check) -> None:
    check(metric, observed)
