"""A measurement that nobody has made yet: how it would be simulated, and with what noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Measurement:
    """A measurement that could be made of a structure.

    Attributes:
        name: in words, such as ``neutron G(r)``.
        forward: simulates it; pixels or axes are set.
        metric: name of the metric that compares, whose cost is a residual of least squares.
        unit: of exposure, such as ``h``.
        noise: root mean square of the noise after one unit over that of the signal [1]. It falls
            with the root of the exposure.
        counts: quanta per point that one unit brings, where the signal is the share of them that
            is counted; the noise then follows from the signal, and ``noise`` does not count.
        said: where noise or counts come from.
        free: bounds of what is fitted besides.
        method: what fits it.
        before: units that have been measured already, so that only more is news.
    """

    name: str
    forward: Any
    metric: str
    unit: str
    noise: float = 0.0
    counts: float | None = None
    said: str = "a convention"
    free: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    method: str = "powell"
    before: float = 0.0
