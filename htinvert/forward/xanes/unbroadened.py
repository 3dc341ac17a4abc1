"""A spectrum as programs calculate it, and what lifetimes and a spectrometer make of it.

The width that grows with the energy above the edge stands for the inelastic losses of the excited
electron: R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed.
(2011), section 4.6; D. A. Muller, D. J. Singh & J. Silcox, Phys. Rev. B 57, 8181 (1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htinvert.core import EvaluationFailed, Floats

STEP = 0.1  # eV of the grid on which spectra are broadened
TAIL = 10.0  # eV at the end, whose mean is 1
SIGMAS = 4.0  # of a Gaussian that are summed
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # of a Gaussian, in sigmas
NARROWEST = 0.02  # eV


@dataclass(frozen=True, eq=False)
class Unbroadened:
    """Absorption into empty states.

    Attributes:
        energy: from the lowest empty state or the Fermi level [eV], rising, shape (n,).
        values: absorption, its mean over the last 10 eV 1, shape (n,).
        width: of a Lorentzian that the program has broadened it by already, FWHM [eV].
    """

    energy: Floats
    values: Floats
    width: float = 0.0

    @classmethod
    def of(
        cls, energy: Floats, values: Floats, *, width: float = 0.0, name: str = ""
    ) -> Unbroadened:
        """Scaled and in order. Raises :class:`EvaluationFailed` for what is no spectrum."""
        if len(energy) < 5 or not (np.isfinite(energy).all() and np.isfinite(values).all()):
            raise EvaluationFailed(f"garbage: {name} wrote {len(energy)} points or no numbers")
        energy, first = np.unique(energy, return_index=True)
        values = np.asarray(values, dtype=float)[first]
        mean = float(values[energy >= energy[-1] - TAIL].mean())
        if not mean > 0.0:
            raise EvaluationFailed(f"garbage: {name} wrote a spectrum that is not positive")
        return cls(np.asarray(energy, dtype=float), values / mean, width)

    @classmethod
    def mean(cls, parts: Sequence[Unbroadened], weights: Sequence[float]) -> Unbroadened:
        """Of several absorbers, from the first edge to the first end, in steps of 0.1 eV."""
        last = min(part.energy[-1] for part in parts)
        first = min(part.energy[0] for part in parts)
        energy: Floats = first + STEP * np.arange(int((last - first) / STEP) + 1, dtype=float)
        total = np.zeros(len(energy))
        for part, weight in zip(parts, weights, strict=True):
            total += weight * np.interp(energy, part.energy, part.values, left=0.0)
        return cls(energy, total / np.sum(weights), max(part.width for part in parts))


def broadened(
    spectrum: Unbroadened, at: Floats, *, lifetime: float, growth: float, resolution: float
) -> Floats:
    """The spectrum at energies [eV] from its own zero, shape of ``at``.

    Args:
        spectrum: what a program has calculated.
        at: energies, evenly spaced.
        lifetime: width of the core hole, FWHM of a Lorentzian [eV]; what the spectrum has of it
            already is taken off.
        growth: how much that width grows per eV above the edge [1].
        resolution: of the instrument, FWHM of a Gaussian [eV].
    """
    margin = 5.0 * (lifetime + resolution) + 2.0
    first, last = min(spectrum.energy[0], at[0]) - margin, max(spectrum.energy[-1], at[-1]) + margin
    energy: Floats = first + STEP * np.arange(int((last - first) / STEP) + 2, dtype=float)
    values = np.interp(energy, spectrum.energy, spectrum.values, left=0.0)
    if resolution > NARROWEST:
        sigma = resolution / FWHM / STEP
        reach = int(np.ceil(SIGMAS * sigma))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        padded = np.pad(values, reach, mode="edge")
        values = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    half = np.maximum(lifetime - spectrum.width + growth * np.maximum(at, 0.0), 0.0) / 2.0
    if half.max() < NARROWEST:
        return np.interp(at, energy, values)
    return _lorentzian(energy, values, at, np.maximum(half, NARROWEST))


def _lorentzian(energy: Floats, values: Floats, at: Floats, half: Floats) -> Floats:
    """At each energy its own Lorentzian, exact over a step; above the last point values stay."""
    edges = np.append(energy - STEP / 2.0, energy[-1] + STEP / 2.0)
    turned = np.arctan((edges[None] - at[:, None]) / half[:, None]) / np.pi
    beyond = 0.5 - turned[:, -1]
    return np.asarray(np.diff(turned, axis=1) @ values + beyond * values[-1])
