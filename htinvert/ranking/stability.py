"""Between which chemical potentials a compound is stable, and one point of that range.

In equilibrium with a compound, its elements' potentials add up to its energy; where no other phase
may precipitate, none adds up to more than that phase's (Zhang & Northrup, Phys. Rev. Lett. 67, 2339
(1991)). So the potentials fill a polytope, whose extent along each element is found by linear
programming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from htinvert.core import UserError

Counts = Mapping[str, int]
SAME = 0.01  # eV per formula unit: what numbers written by hand are off by
FIRM = 1e-6  # eV: what a limit is widened by, so that a range of no width holds a point


@dataclass(frozen=True)
class Phase:
    """A reference phase: what a formula unit holds, and its energy [eV]."""

    name: str
    counts: Counts
    energy: float


@dataclass(frozen=True)
class Stability:
    """Chemical potentials that phases allow [eV].

    Attributes:
        potentials: a point of the range.
        ranges: the lowest and the highest of each element, anywhere in the range.
        unstable: by how much [eV per formula unit] phases in equilibrium lie above others, 0 where
            they are stable.
    """

    potentials: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    unstable: float


def limits(phases: Sequence[Phase], tied: Sequence[str], at: Mapping[str, float]) -> Stability:
    """Range of the chemical potentials, and the point that ``at`` names.

    ``at`` gives an element's place in its range, 0 poor to 1 rich, in this order, each in the range
    that those before it leave; an element that it does not name is in the middle. ``tied`` are the
    names of phases in equilibrium. Raises :class:`UserError` where phases do not bound an element.
    """
    symbols = sorted({symbol for phase in phases for symbol in phase.counts})
    slack = _slack(phases, tied, symbols)
    fixed: dict[str, float] = {}
    ranges = {symbol: _range(phases, tied, symbols, slack, {}, symbol) for symbol in symbols}
    for symbol in [*at, *(symbol for symbol in symbols if symbol not in at)]:
        low, high = _range(phases, tied, symbols, slack, fixed, symbol)
        fixed[symbol] = low + at.get(symbol, 0.5) * (high - low)
    return Stability({symbol: fixed[symbol] for symbol in symbols}, ranges, slack)


def outside(
    phases: Sequence[Phase], tied: Sequence[str], potentials: Mapping[str, float]
) -> list[tuple[str, float]]:
    """Phases that would precipitate at given potentials, and by how much each gains [eV].

    Those ``tied`` would dissolve where it is negative.
    """
    excess = (
        (p.name, sum(n * potentials.get(s, 0.0) for s, n in p.counts.items()) - p.energy)
        for p in phases
    )
    return [(n, gain) for n, gain in excess if gain > SAME or (n in tied and gain < -SAME)]


def _slack(phases: Sequence[Phase], tied: Sequence[str], symbols: Sequence[str]) -> float:
    """The least that all limits must be widened by for any potentials to meet them [eV]."""
    rows = [[p.counts.get(s, 0) for s in symbols] + [-1.0] for p in phases if p.name not in tied]
    most = [p.energy for p in phases if p.name not in tied]
    equal = [[p.counts.get(s, 0) for s in symbols] + [0.0] for p in phases if p.name in tied]
    given = [p.energy for p in phases if p.name in tied]
    bounds = [(None, None)] * len(symbols) + [(0.0, None)]
    found = linprog(
        [0.0] * len(symbols) + [1.0],
        A_ub=rows or None,
        b_ub=most or None,
        A_eq=equal or None,
        b_eq=given or None,
        bounds=bounds,
    )
    if not found.success:
        raise UserError(
            f"no chemical potentials are in equilibrium with {', '.join(tied)} at once; name fewer "
            "phases in chemical_potentials.equilibrium"
        )
    return float(found.fun) if found.fun > FIRM else 0.0


def _range(
    phases: Sequence[Phase],
    tied: Sequence[str],
    symbols: Sequence[str],
    slack: float,
    fixed: Mapping[str, float],
    chosen: str,
) -> tuple[float, float]:
    """Lowest and highest potential of an element where some of the others are fixed [eV]."""
    rows = [[p.counts.get(s, 0) for s in symbols] for p in phases]
    most = [p.energy + (0.0 if p.name in tied else slack) + FIRM for p in phases]
    for phase, row, limit in zip(phases, list(rows), list(most), strict=True):
        if phase.name in tied:
            rows.append([-n for n in row])
            most.append(-limit + 2 * FIRM)
    bounds = [(fixed[s] - FIRM, fixed[s] + FIRM) if s in fixed else (None, None) for s in symbols]
    ends = []
    for sign in (1.0, -1.0):
        aim = np.array([sign * (s == chosen) for s in symbols])
        found = linprog(aim, A_ub=rows, b_ub=most, bounds=bounds)
        if not found.success:
            side = "lower" if sign > 0 else "upper"
            raise UserError(
                f"the phases give the chemical potential of {chosen} no {side} limit; name more "
                f"of them in chemical_potentials.phases, such as {chosen} itself"
            )
        ends.append(sign * float(found.fun))
    low, high = ends
    return (low, max(low, high))
