"""What electrons lose besides an edge: the low loss of the same place, and its zero-loss peak.

R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (2011), section
4.3: a core loss is followed by as many others as an electron that had none of it would have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.eels.onsets import refuse_saturated

VALLEY = (1.5, 12.0)  # eV beyond the peak, between which zero loss and other losses are parted
CORE = 150.0  # eV from which a loss is no low one
OFF = 10.0  # eV that a file's axis may have its zero-loss peak from 0
LEAST = 30.0  # eV of losses that a spectrum must hold


@dataclass(frozen=True, eq=False)
class LowLoss:
    """A spectrum around the zero-loss peak.

    Attributes:
        energy: losses from the peak's center [eV], even, shape (n,).
        counts: shape (n,).
        zero: where the file's axis has the peak [eV].
        thickness: in mean free paths, ln(all / zero loss) [1].
    """

    energy: Floats
    counts: Floats
    zero: float
    thickness: float

    def shares(self, step: float) -> tuple[Floats, int]:
        """Shares [1] of electrons by loss, in steps [eV], and how many stand before no loss."""
        edges = np.arange(np.floor(self.energy[0] / step), np.ceil(self.energy[-1] / step) + 1.0)
        whole = np.concatenate([[0.0], np.cumsum(np.maximum(self.counts, 0.0))])
        own = 0.5 * (self.energy[1] - self.energy[0])
        at = np.concatenate([[self.energy[0] - own], self.energy + own])
        bins = np.diff(np.interp((edges - 0.5) * step, at, whole))
        return bins / bins.sum(), int(-edges[0])

    def broadened(self, values: Floats, step: float) -> Floats:
        """Values over losses in steps [eV], shape (n,), with all other losses added."""
        shares, before = self.shares(step)
        return np.convolve(values, shares)[before : before + len(values)]


def low_loss_of(signal: Signal) -> LowLoss:
    """A low loss by its zero-loss peak, and how thick the specimen is.

    Raises :class:`UserError` where there is no such peak, or the detector was saturated.
    """
    energy, counts, axis = signal.coordinates(), signal.data.astype(float), signal.axes[0]
    if axis.unit != "eV":
        raise UserError(f"a low loss is over eV, but these are over {axis.name} [{axis.unit}]")
    top = int(np.argmax(counts))
    half = np.flatnonzero(counts > 0.5 * counts[top])
    away = abs(energy[top]) > OFF
    if away or half[0] == 0 or energy[-1] - energy[top] < LEAST:
        raise UserError(
            f"the data go from {energy[0]:g} to {energy[-1]:g} eV, with their maximum at "
            f"{energy[top]:g}: no zero-loss peak near 0 with {LEAST:g} eV beyond it; give the low "
            "loss of the same place, or leave low_loss out"
        )
    refuse_saturated(energy, counts)
    peak = half[np.abs(half - top) <= VALLEY[0] / axis.step]
    zero = float(counts[peak] @ energy[peak] / counts[peak].sum())
    valley = np.flatnonzero((energy - zero > VALLEY[0]) & (energy - zero < VALLEY[1]))
    end = valley[np.argmin(counts[valley])]
    kept = energy <= CORE + zero
    thickness = float(np.log(counts[kept].sum() / counts[: end + 1].sum()))
    return LowLoss(energy[kept] - zero, counts[kept], zero, thickness)
