"""Which powder diffraction is usually measured, for who asks what would decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Axis
from htinvert.declaration.measurement import Measurement
from htinvert.forward.pdf import pairs

FIRST, LAST, STEP = 1.5, 20.0, 0.02  # Å of r
QMIN, QMAX = 0.8, 22.0  # 1/Å
QDAMP = 0.035  # 1/Å
NOISE = {"x-ray": (0.05, "min", "X-rays, at a synchrotron"), "neutron": (0.1, "h", "neutrons")}


def usual(
    model: Any,
    atoms: Atoms,
    folder: Path,  # noqa: ARG001  (other models leave a file there)
) -> list[Measurement]:
    """G(r) by X-rays and by neutrons, of ``atoms``."""
    last = LAST if atoms.pbc.all() else min(pairs.longest(atoms) + 1.0, LAST)
    axes = (Axis("r", "Å", STEP, FIRST),)
    count = int(np.ceil((last - FIRST) / STEP))
    found = []
    for radiation, (noise, unit, words) in NOISE.items():
        forward = model(
            radiation=radiation, qmin=QMIN, qmax=QMAX, qdamp=QDAMP, axes=axes, shape=(count,)
        )
        found.append(
            Measurement(
                f"G(r) by {words}",
                forward,
                "rw",
                unit,
                noise,
                said=f"noise {noise:.0%} of G(r) after 1 {unit}, Q to {QMAX:g} 1/Å, a convention",
                free={"u": (0.001, 0.05), "zoom": (0.97, 1.03)},
                method="least-squares",
            )
        )
    return found
