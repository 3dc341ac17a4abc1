"""Values of G(r) that other programs give, for the conformance of the forward model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase.build import bulk, molecule

from htinvert.core import Axis, Signal
from htinvert.declaration.declared import KnownAnswer


def _on(first: float, step: float, count: int) -> dict[str, object]:
    """Axes and shape of so many points."""
    return {"axes": (Axis("r", "Å", step, first),), "shape": (count,)}


def _at(place: float, first: float = 1.0, step: float = 0.01) -> Callable[[Signal], float]:
    """Measure: the value at r [Å]."""
    return lambda signal: float(signal.data[round((place - first) / step)])


def _nickel(place: float, value: float) -> KnownAnswer:
    return KnownAnswer(
        f"G({place}) of nickel",
        "PDFgui's engine, diffpy.pdffit2 1.5.1, whose own transform is good to 0.05",
        {
            **{"qmin": 0.0, "qmax": 25.0, "u": 0.005, "qdamp": 0.04},
            **_on(1.0, 0.01, 1000),
        },
        lambda: bulk("Ni", "fcc", a=3.524, cubic=True),
        _at(place),
        value,
        0.05,
    )


ANSWERS = (
    _nickel(2.49, 16.113),
    _nickel(4.32, 16.734),
    _nickel(9.97, -5.885),
    KnownAnswer(
        "G(1.43) of C60",
        "twice that of DebyeCalculator 1.1.1, which counts each pair once",
        {
            **{"qmin": 1.0, "qmax": 20.0, "u": 0.3 / (8 * np.pi**2), "qdamp": 0.06},
            **_on(1.0, 0.01, 600),
        },
        lambda: molecule("C60"),
        _at(1.43),
        6.991,
        0.02,
    ),
)
