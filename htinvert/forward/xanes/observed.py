"""What of a measured spectrum an edge is: where it begins, and what lies below it.

X-ray absorption has a straight line before an edge (M. Newville, Rev. Mineral. Geochem. 78, 33
(2014)), electron energy loss a power law (R. F. Egerton, Electron Energy-Loss Spectroscopy in the
Electron Microscope, 3rd ed. (2011), section 4.4).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from htinvert.core import Axis, Floats, Signal, UserError

Before = Literal["line", "power", "none"]
BACKGROUNDS: tuple[Before, ...] = ("line", "power", "none")
FARTHEST = 25.0  # eV between an edge and where the tables have it
SMOOTH = 1.5  # eV on both sides of a step
STEEP = 0.5  # of the steepest rise, where an edge begins
LEAST_RISE = 0.15  # of all that the values change by near the edge
BESIDE = 40.0  # eV on both sides over which that is judged
FEWEST = 8  # points before and beyond an edge
CLEAR = 4.0  # eV before an edge that may be of it


def edge_of(observed: Signal, tabulated: float, named: str, given: float | None) -> float:
    """Energy [eV] at which an edge rises; what is given, where it is.

    Raises :class:`UserError` where the data are no spectrum, or do not rise there.
    """
    axis, energy = observed.axes[0], observed.coordinates()
    if axis.unit != "eV":
        raise UserError(
            f"an absorption edge is over energy [eV] but the data are over {axis.name} "
            f"[{axis.unit}]; name the axis, such as axis: energy [eV]"
        )
    place = tabulated if given is None else given
    if not energy[0] < place < energy[-1]:
        raise UserError(
            f"the data go from {energy[0]:g} to {energy[-1]:g} eV but {named} lies at {place:.0f} "
            "eV; name another absorber or edge, or, where they are in keV, axis: energy [keV]"
        )
    if given is not None:
        return given
    step = _steps(observed)
    near = (np.abs(energy - place) <= FARTHEST) & np.isfinite(step)
    beside = observed.data[np.abs(energy - place) <= BESIDE].astype(float)
    highest = float(step[near].max()) if near.any() else 0.0
    if not highest > LEAST_RISE * np.ptp(beside):
        raise UserError(
            f"the data do not rise at {named}, {place:.0f} eV; name another absorber or edge, or "
            "set edge_energy [eV] to where they do"
        )
    return float(energy[near][np.argmax(step[near] >= STEEP * highest)])


def _steps(observed: Signal) -> Floats:
    """By how much the mean beyond each point is above that before it; NaN at the ends."""
    count = max(round(SMOOTH / observed.axes[0].step), 1)
    total = np.concatenate([[0.0], np.cumsum(observed.data.astype(float))])
    here = np.arange(count, len(observed.data) - count)
    step = np.full(len(observed.data), np.nan)
    step[here] = (total[here + count] - 2.0 * total[here] + total[here - count]) / count
    return step


def cut(
    observed: Signal, edge: float, *, before: Before, window: float, span: tuple[float, float]
) -> Signal:
    """The edge alone, what lies before it continued and taken off.

    Args:
        observed: spectrum over energy [eV].
        edge: where it begins [eV].
        before: what lies before it; ``none`` takes nothing off.
        window: how long a part before the edge tells that [eV].
        span: what is compared, from and to, from the edge [eV].

    Raises :class:`UserError` where there is too little before or beyond the edge.
    """
    energy, values = observed.coordinates(), observed.data.astype(float)
    inside = (energy >= edge + span[0] - 1e-9) & (energy <= edge + span[1] + 1e-9)
    if (inside & (energy > edge)).sum() < FEWEST:
        raise UserError(
            f"the data end at {energy[-1]:.0f} eV, too near to the edge at {edge:.0f} eV; give a "
            "spectrum that goes further"
        )
    if before != "none":
        told = (energy >= edge - CLEAR - window) & (energy < edge - CLEAR)
        if told.sum() < FEWEST:
            raise UserError(
                f"the data have {told.sum()} points in {window:g} eV before the edge "
                f"at {edge:.0f} eV; give a longer background_window, or background: none"
            )
        values = values - _continued(energy, values, told, before)
    axis = Axis(observed.axes[0].name, "eV", observed.axes[0].step, float(energy[inside][0]))
    return Signal(values[inside].astype(np.float32), (axis,), observed.quantity)


def _continued(energy: Floats, values: Floats, told: np.ndarray, before: Before) -> Floats:
    """What lies before an edge, at all energies."""
    if before == "line":
        slope, offset = np.polyfit(energy[told], values[told], 1)
        return np.asarray(slope * energy + offset)
    if not (values[told] > 0.0).all() or energy[told][0] <= 0.0:
        raise UserError("a power law has positive counts; subtract a background by a line instead")
    slope, offset = np.polyfit(np.log(energy[told]), np.log(values[told]), 1)
    return np.asarray(np.exp(offset) * np.maximum(energy, 1.0) ** slope)
