"""From an absorption coefficient mu(E) to chi(k), by larch's autobk, and what cannot be one.

M. Newville, P. Livins, Y. Yacoby, J. J. Rehr & E. A. Stern, Phys. Rev. B 47, 14126 (1993).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from htinvert.core import Floats, Signal, UserError

FEWEST = 30  # points above an edge
KEV = 200.0  # eV: below the K edge of every element that FEFF knows
BESIDE = 30.0  # eV on both sides of an edge, over which mu is averaged
LEAST_RISE = 0.1  # of all that mu changes by
FARTHEST = 100.0  # eV between the edge that is seen and that of the tables


@dataclass(frozen=True)
class Background:
    """Parameters of autobk.

    Attributes:
        rbkg: what lies at shorter R [Å] is background.
        weight: power of k in its transform.
        e0: energy of the edge [eV]; where mu rises most steeply if None.
    """

    rbkg: float = 1.0
    weight: int = 2
    e0: float | None = None


def chi_of(mu: Signal, background: Background, *, absorber: str, edge: str) -> Signal:
    """chi(k) in steps of 0.05 1/Å from a mu(E) over energy [eV].

    Raises:
        UserError: where larch is missing, or the data show no edge of this absorber.
    """
    energy, values = mu.coordinates(), mu.data.astype(float)
    _check_energy(energy)
    if importlib.util.find_spec("larch") is None:
        raise UserError(
            "mu(E) is brought to chi(k) by xraylarch, which is not installed here; "
            '`pip install "htinvert[xas]"`, or give a file of k and chi(k)'
        )
    place = edge_energy(absorber, edge)
    if not energy[0] < place < energy[-1]:
        raise UserError(
            f"the data go from {energy[0]:.0f} to {energy[-1]:.0f} eV but the {edge} edge of "
            f"{absorber} lies at {place:.0f} eV; name another absorber or edge, or, if energies "
            "are in keV, axis: energy [keV]"
        )
    _check_rise(energy, values, place, f"the {edge} edge of {absorber}")
    found = _autobk(energy, values, background)
    if abs(found.ek0 - place) > FARTHEST:
        raise UserError(
            f"the edge is seen at {found.ek0:.0f} eV but the {edge} edge of {absorber} lies at "
            f"{place:.0f} eV; check absorber and edge, or set edge_energy"
        )
    k, chi = np.asarray(found.k, dtype=float), np.asarray(found.chi, dtype=float)
    if len(k) < FEWEST or not np.isfinite(chi).all():
        raise UserError(f"no chi(k) comes of the data: {len(k)} points above the edge")
    return Signal.curve(k, chi, name="k", unit="1/Å", quantity="chi")


def edge_energy(absorber: str, edge: str) -> float:
    """Energy [eV] of an edge of an element (W. T. Elam et al., Radiat. Phys. Chem. 63, 121)."""
    from xraydb import xray_edge

    found = xray_edge(absorber, edge)
    if found is None:
        raise UserError(f"{absorber} has no {edge} edge; name another absorber or edge")
    return float(found.energy)


def _check_energy(energy: Floats) -> None:
    """Raise where x can be no energy in eV."""
    if energy[-1] < KEV:
        raise UserError(
            f"energy goes from {energy[0]:g} to {energy[-1]:g} eV, which are no X-rays; name the "
            "unit, such as axis: energy [keV]"
        )
    steps = np.diff(energy)
    if energy[0] < 10.0 and np.allclose(steps, 1.0):
        raise UserError("x counts channels from the first; give a column of energies [eV]")


def _check_rise(energy: Floats, values: Floats, place: float, edge: str) -> None:
    """Raise where mu does not rise near an energy, or far more elsewhere."""
    inside = energy[(energy > energy[0] + BESIDE) & (energy < energy[-1] - BESIDE)]
    total = np.concatenate([[0.0], np.cumsum(values)])
    lower, here, upper = (
        np.searchsorted(energy, inside + shift) for shift in (-BESIDE, 0.0, BESIDE)
    )
    rises = (total[upper] - total[here]) / (upper - here) - (total[here] - total[lower]) / (
        here - lower
    )
    near = np.abs(inside - place) < FARTHEST
    most = float(rises.max(initial=0.0))
    if not near.any() or not rises[near].max() > LEAST_RISE * np.ptp(values):
        seen = float(inside[np.argmax(rises)]) if most > 0.3 * np.ptp(values) else None
        raise UserError(
            f"mu(E) does not rise at {edge}, {place:.0f} eV"
            + (f", but at {seen:.0f} eV; name another absorber or edge" if seen else
               "; give absorption, ln(I0/I1) in transmission or If/I0 in fluorescence, such as "
               "columns: [energy, ln(i0/i1)]")
        )  # fmt: skip


def _autobk(energy: Floats, values: Floats, background: Background) -> Any:
    """Larch's group after its autobk."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that larch imports
        from larch import Group
        from larch.xafs.autobk import autobk

        group = Group(energy=energy, mu=values)
        try:
            autobk(
                group,
                rbkg=background.rbkg,
                kweight=background.weight,
                ek0=background.e0,
                kstep=0.05,
            )
        except Exception as error:  # larch raises what numpy and scipy do
            raise UserError(f"autobk finds no background in the data: {error}") from error
    return group
