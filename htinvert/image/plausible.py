"""Whether pixels and pixel sizes can be those of a micrograph that shows atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError

FINEST, COARSEST = 0.005, 20.0  # Å/px; what could show atoms or their lattice
TYPICAL = 0.2  # Å/px
SATURATED = 0.05  # share of the pixels at one end of the range
BLIND = 0.3  # share of the pixels at the upper end: little is left to compare
LEVELS = 16  # an image of fewer is one of counts, many of which are alike by right

Steps = tuple[float, float]


def shows_atoms(step: float) -> bool:
    """Whether a pixel size [Å/px] could show atoms or their lattice."""
    return FINEST <= step <= COARSEST


def saturation_notes(pixels: NDArray[Any]) -> tuple[str, ...]:
    """A note where more than 5 % of the pixels have the largest, or the smallest, value."""
    notes = []
    finite = pixels if pixels.dtype.kind in "biu" else pixels[np.isfinite(pixels)]
    if not finite.size or (pixels.dtype.kind in "iu" and int(np.ptp(finite)) < LEVELS):
        return ()
    for word, value in (("largest", finite.max()), ("smallest", finite.min())):
        share = float(np.mean(finite == value))
        if share > SATURATED:
            meaning = "saturated, or drawn over; crop or mask them"
            if word == "smallest" and value == 0:
                meaning = "empty, as around a particle; if they are drawn over, crop or mask them"
            notes.append(f"{share:.0%} of the pixels have the {word} value, {value:g}: {meaning}")
    return tuple(notes)


def check_saturation(data: NDArray[np.float32], file: str) -> None:
    """Refuse an image whose brightest columns are cut off all over."""
    top = float(data.max())
    share = np.count_nonzero(data >= top - 1e-3 * np.ptp(data)) / data.size
    if share > BLIND:
        raise UserError(
            f"{file} is saturated: {share:.0%} of its pixels have the largest value, {top:g}; "
            "crop to a part that is not, or record it again with less gain"
        )


def check_steps(steps: Steps, file: str) -> None:
    """Refuse a pixel size that could show no atoms."""
    for step in steps:
        if shows_atoms(step):
            continue
        if not step > 0.0:
            raise UserError(
                f"{file}: a pixel size of {step:.4g} Å/px is none; set the experiment's sampling "
                "[Å/px] to a number above 0"
            )
        slips = (0.1, 10, 1e-2, 1e2, 1e-3, 1e3, 1e-4, 1e4)  # nm, pm, µm for Å, pm for nm, and back
        meant = min((step * f for f in slips), key=lambda s: abs(np.log(s / TYPICAL)))
        if not shows_atoms(meant):
            raise UserError(
                f"{file}: a pixel size of {step:.4g} Å/px shows no atoms; set the experiment's "
                f"sampling [Å/px], such as {TYPICAL}, or, if it is a diffraction pattern, compare "
                "it by a forward model of the kind pattern (docs/kinds.md)"
            )
        raise UserError(
            f"{file}: a pixel size of {step:.4g} Å/px shows no atoms, did the unit get lost, as nm "
            f"for Å? Set the experiment's sampling [Å/px], such as {meant:.4g}"
        )
