"""How many independent points data have."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from htinvert.core import Signal
from htinvert.forward.exafs.model import Exafs
from htinvert.forward.pdf.model import Pdf
from htinvert.signals.independent import independent_points


def test_white_noise_has_as_many_as_points() -> None:
    data = np.random.default_rng(1).normal(size=(60, 60))
    assert independent_points(None, Signal.image(data, 0.2))[0] == pytest.approx(3600, rel=0.05)


def test_smoothed_noise_has_one_per_area_of_its_correlation() -> None:
    """The correlation of noise smoothed by s is exp(-x^2/4s^2), whose square's area is 2 pi s^2."""
    data = gaussian_filter(np.random.default_rng(2).normal(size=(200, 200)), 3.0, mode="wrap")
    found, words = independent_points(None, Signal.image(data, 0.2))
    assert found == pytest.approx(200**2 / (2.0 * np.pi * 9.0), rel=0.15)
    assert words.startswith("by what hangs together over 1.") and "Å" in words


def test_a_pair_distribution_has_those_of_nyquist_and_shannon() -> None:
    """Whatever step its r is on."""
    for step in (0.01, 0.1):
        curve = Signal.curve(
            1.5 + step * np.arange(round(10.0 / step) + 1),
            np.ones(round(10 / step) + 1),
            name="r",
            unit="Å",
        )
        found, words = independent_points(Pdf(qmin=1.0, qmax=22.0), curve)
        assert found == pytest.approx(10.0 * 22.0 / np.pi)
        assert words == "by 10 Å of r times qmax / pi"


def test_absorption_has_those_of_k_times_r() -> None:
    curve = Signal.curve(0.05 * np.arange(400), np.ones(400), name="k", unit="1/Å")
    model = Exafs(absorber="Cu", kmin=3.0, kmax=13.0, rmin=1.0, rmax=5.0)
    assert independent_points(model, curve)[0] == pytest.approx(2.0 * 10.0 * 4.0 / np.pi)
