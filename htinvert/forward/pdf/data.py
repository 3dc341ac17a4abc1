"""Whether data can be a G(r) of these settings: unit and beginning of r, steps, radiation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from htinvert.core import Floats, Signal, UserError

LOWEST = 1.5  # Å: above the ripple of a usual G(r)
RIPPLE = 0.5  # Å: below any bond, where G(r) holds nothing but ripple of its transform
SLOW, FAST = 0.5, 20.0  # 1/Å: half of a measured G(r)'s power lies below a Q of 3 to 7
SHARE = 0.01  # of the largest Fourier amplitude, below which nothing was measured
FEWEST = 32  # points, for which a spectrum means something


def check_radiation(header: Mapping[str, Any], radiation: str | None) -> None:
    """Raise :class:`UserError` where a file says another radiation than was asked for.

    ``header`` is what the file says, by small keys; ``radiation`` None where the file decides.
    """
    mode = header.get("mode")
    asked = "x-ray" if radiation == "atomic number" else radiation
    if mode in ("x-ray", "neutron") and asked not in (None, mode):
        raise UserError(
            f"the file's header says mode = {mode} but radiation is {radiation}; leave radiation "
            "out, or correct the header"
        )


def check_g(observed: Signal, whole: Signal) -> None:
    """Say what of a curve does not fit a simulated G(r).

    Args:
        observed: the part that is compared, shape (n,), over r.
        whole: all of the curve.

    Raises:
        UserError: where r is in another unit than it says or begins below any bond.
    """
    axis = observed.axes[0]
    if axis.unit != "Å":
        return  # the model names it
    middle = _middle(whole)
    if middle is not None and not SLOW < middle < FAST:
        given, unit = ("too small", "nm") if middle > FAST else ("too large", "pm")
        raise UserError(
            f"half of the curve's power lies at Q of {middle:.2g} 1/Å and beyond, where a G(r) has "
            f"3 to 7: r is {given} for Å; if it is in {unit}, say axis: r [{unit}]"
        )
    if -1e-6 <= axis.origin < RIPPLE:
        raise UserError(
            f"the data begin at r = {axis.origin:g} Å, where G(r) is ripple of its transform; give "
            "range, such as [1.5, 20]"
        )


def check_limit(qmax: float | None, whole: Signal, header: Mapping[str, Any]) -> None:
    """Raise :class:`UserError` where neither file nor user says Qmax, with what the curve shows."""
    if qmax is not None or "qmax" in header or whole.axes[0].unit != "Å":
        return
    if len(whole.data) >= FEWEST and np.ptp(np.nan_to_num(whole.data)) > 0.0:
        raise UserError(
            "the file does not say up to which Q [1/Å] its G(r) was transformed; set qmax, such as "
            f"{upper_q(whole):g}, where the curve's own Fourier transform ends"
        )


def spectrum(values: Floats, step: float) -> tuple[Floats, Floats]:
    """Q [1/Å] and Fourier amplitudes of a curve by steps of r [Å], its mean and ends taken off."""
    amplitudes = np.abs(np.fft.rfft((values - values.mean()) * np.hanning(len(values))))
    q = 2 * np.pi * np.fft.rfftfreq(len(values), step)
    return np.asarray(q, dtype=float), np.asarray(amplitudes, dtype=float)


def _middle(whole: Signal) -> float | None:
    """Q [1/Å] that half of a curve's power lies beyond; None for a curve too short to say."""
    values = np.nan_to_num(whole.data.astype(float), posinf=0.0, neginf=0.0)
    if len(values) < FEWEST:
        return None
    q, amplitudes = spectrum(values, whole.axes[0].step)
    below = np.cumsum(amplitudes**2)
    return float(q[np.searchsorted(below, 0.5 * below[-1])])


def upper_q(curve: Signal) -> float:
    """The Q [1/Å] at which the Fourier transform of a measured G(r) ends."""
    beyond = curve.coordinates() >= LOWEST
    part = replace(curve, data=curve.data[beyond]) if beyond.sum() > 2 else curve
    values = np.nan_to_num(part.data.astype(float), posinf=0.0, neginf=0.0)
    q, sizes = spectrum(values, curve.axes[0].step)
    return round(float(q[np.flatnonzero(sizes > SHARE * sizes.max())[-1]]), 1)
