"""What `check` says of the fit to the start structure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from ase.build import bulk

from htinvert.core import Channel, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.registration import Registration
from htinvert.report.preview import fitted_line


def test_a_parameter_that_the_image_does_not_tell_is_said_to_be_undetermined() -> None:
    """The upper grain begins above the window, so how far it slid shows nowhere."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 3, 6))
    model = StemConvolution(
        sampling=0.3, shape=(40, 40), beam="x", up="z", center=(8.0, 8.0), interface=30.0,
        source_size=1.2,
    )  # fmt: skip
    image = model(crystal).data
    counts = np.random.default_rng(0).poisson(300 * image / image.max()).astype(np.float32)
    free = {"source_size": (0.3, 3.0), "interface_shift": (-3.0, 3.0)}
    observed = Signal.image(counts, 0.3)
    channel = Channel("haadf", observed, model, {"registration": Registration()}, free)
    plan: Any = SimpleNamespace(
        space=SimpleNamespace(template=crystal),
        config=SimpleNamespace(experiments={"haadf": SimpleNamespace(refitted=("source_size",))}),
    )
    said = fitted_line(plan, channel, {"source_size": 1.2, "interface_shift": 0.5})
    assert "interface_shift (from -1.23 to 2.23 Å fit as well) is not determined" in said
    assert "source_size (from" not in said
