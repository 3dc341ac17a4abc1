"""How many independent points data have: what counts as evidence, whatever the step they are on."""

from __future__ import annotations

from typing import Any

import numpy as np

from htinvert.core import Signal
from htinvert.declaration.abilities import CountsPoints
from htinvert.signals.correlated import decay


def independent_points(forward: Any, observed: Signal) -> tuple[float, str]:
    """Number of independent points of observed data [1], and a phrase on where it comes from.

    What the forward model says of its data (Nyquist and Shannon of a Fourier transform), else the
    number of points by the lengths over which the data hang together along each axis.
    """
    if isinstance(forward, CountsPoints):
        told = forward.independent_points(observed)
        if told is not None:
            return told
    data = observed.data.astype(float)
    lengths = [decay(data, axis) for axis in range(data.ndim)]
    number = float(np.isfinite(data).sum() / np.prod(lengths))
    apart = " x ".join(
        f"{length * axis.step:.3g} {axis.unit}"
        for length, axis in zip(lengths, observed.axes, strict=True)
    )
    return max(number, 1.0), f"by what hangs together over {apart}"
