"""A simulated image at its place in the observed one, brought to it by gain and offset."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from htinvert.core import Floats, Signal
from htinvert.evaluation.placed import Placed
from htinvert.metrics.linear import gain_and_offset
from htinvert.metrics.patch import window

WIDE = 0.8  # of the field: a simulation as wide is fused in only in its middle


def place_image(simulated: Signal, observed: Signal, detail: Mapping[str, float]) -> Placed:
    """Put a simulation, shape (ny, nx), where the ``row`` and ``column`` [px] of a score say.

    The corner where it says nothing. A gain below zero is no fit: contrasts are then made equal.
    """
    start = int(detail.get("row", 0)), int(detail.get("column", 0))
    patch = observed.data[window(start, simulated.data.shape)].astype(float)
    gain, offset = gain_and_offset(simulated.data, patch)
    if gain <= 0.0:
        gain = float(np.std(patch) / max(float(np.std(simulated.data)), 1e-30))
        offset = float(patch.mean() - gain * simulated.data.mean(dtype=float))
    return Placed(observed, simulated, start, gain * simulated.data.astype(float) + offset, detail)


def inset(placed: Placed) -> tuple[int, int, int, int]:
    """Left, top, columns and rows [px] of the fused part: all of the simulation, or its middle.

    A simulation that covers the whole field is fused into the middle half of the columns, so that
    the eye can follow the lattice from one to the other.
    """
    rows, columns = placed.simulated.data.shape
    top, left = placed.start
    if columns > WIDE * placed.observed.data.shape[1]:
        left, columns = left + columns // 4, columns // 2
    return left, top, columns, rows


def fused(placed: Placed) -> Floats:
    """The observed image with the simulation in place of its framed part."""
    left, top, columns, rows = inset(placed)
    picture = placed.observed.data.astype(float)
    first = left - placed.start[1]
    picture[top : top + rows, left : left + columns] = placed.matched[:, first : first + columns]
    return picture


def round_bar(length: float, step: float) -> tuple[float, str]:
    """Pixels of ``step`` [Å/px] and label of a round length, a fifth of ``length`` [Å] or so."""
    lengths = (1, 2, 5, 10, 20, 50, 100, 200, 500)
    chosen = max((v for v in lengths if v <= 0.25 * length), default=0.25 * length)
    return chosen / step, f"{chosen:g} Å" if chosen < 10 else f"{chosen / 10:g} nm"
