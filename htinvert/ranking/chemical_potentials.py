"""Which family is the best at which chemical potential: the ranking scanned over a range of it.

The energy of a family is linear in the chemical potentials, ``E - sum(mu N)``, so families of other
compositions take turns (Finnis, Lozovoi & Alavi, Annu. Rev. Mater. Res. 35, 167 (2005)). A
compound that the interface is in equilibrium with ties its last element's potential to the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np
from ase.formula import Formula
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Objective, UserError
from htinvert.ranking.rank import Ranked

STEPS = 400  # of a scan


@dataclass(frozen=True)
class Scan:
    """A range of an element's chemical potential [eV], and what the others are at each.

    Attributes:
        element: whose potential is scanned.
        lower: its lowest value [eV].
        upper: its highest value [eV].
        fixed: the potentials of the other elements [eV].
        tied: compounds in equilibrium, by formula, with their energy per formula unit [eV]; each
            decides the potential of the one other element in it.
    """

    element: str
    lower: float
    upper: float
    fixed: Mapping[str, float]
    tied: Mapping[str, float]

    def at(self, value: NDArray[np.float64]) -> dict[str, NDArray[np.float64] | float]:
        """All chemical potentials [eV] where the element's has these values, any shape."""
        found: dict[str, NDArray[np.float64] | float] = {**self.fixed, self.element: value}
        for formula, energy in self.tied.items():
            counts = dict(Formula(formula).count())
            [other] = [symbol for symbol in counts if symbol != self.element]
            found[other] = (energy - counts[self.element] * value) / counts[other]
        return found


@dataclass(frozen=True, eq=False)
class Reign:
    """A family and the range [eV] of the scanned potential in which nothing has a lower sum."""

    lower: float
    upper: float
    entry: Ranked


def read_scan(scanned: str, ties: Sequence[str], fixed: Mapping[str, float]) -> Scan:
    """A scan from words like ``Te=-2.6:-2.1`` and ``CdTe=-4.119``; raises :class:`UserError`."""
    element, _, span = scanned.partition("=")
    try:
        lower, upper = (float(part) for part in span.split(":"))
    except ValueError as error:
        raise UserError(f"{scanned} is no range; write it like Te=-2.6:-2.1, in eV") from error
    if element not in fixed:
        raise UserError(
            f"{element} has no chemical potential in this run; it has {', '.join(fixed) or 'none'}"
        )
    if not (isfinite(lower) and isfinite(upper)):
        raise UserError(f"{scanned} has an end that is no finite number; write it in eV")
    if not lower < upper:
        raise UserError(f"{scanned} goes from {lower:g} to {upper:g} eV; give the lower one first")
    tied = {}
    for text in ties:
        formula, _, energy = text.partition("=")
        try:
            counts, tied[formula] = Formula(formula).count(), _finite(energy)
        except ValueError as error:
            raise UserError(f"{text} is no compound's energy; write it like CdTe=-4.12") from error
        if len(counts) != 2 or element not in counts or not set(counts) <= set(fixed):
            raise UserError(
                f"{formula} does not tie {element} to one other element of this run; give a binary "
                f"compound of {element}"
            )
    return Scan(element, lower, upper, fixed, tied)


def _finite(text: str) -> float:
    """A number; raises ValueError for what is none."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def totals(
    scan: Scan, ranked: Sequence[Ranked], objectives: Sequence[Objective]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of the scanned potential [eV], shape (n,), and weighted sums, (families, n)."""
    values = np.linspace(scan.lower, scan.upper, STEPS + 1)
    potentials = scan.at(values)
    table = []
    for entry in ranked:
        found, relaxation = entry.evaluation.objectives, entry.evaluation.relaxation
        assert relaxation is not None  # noqa: S101  (what failed is not ranked)
        counts = relaxation.atoms.symbols.formula.count()
        taken = sum(number * potentials.get(symbol, 0.0) for symbol, number in counts.items())
        energy = relaxation.energy - taken
        table.append(
            sum(
                o.worth(found[o.name] + _share(o.name, found) * (energy - found["energy"]))
                for o in objectives
            )
        )
    return values, np.array(table)


def reigns(scan: Scan, ranked: Sequence[Ranked], objectives: Sequence[Objective]) -> list[Reign]:
    """Families with the lowest weighted sum somewhere in the scan, from its lower end to its upper.

    The ends of a range are exact to 1/400 of the scan's.
    """
    values, table = totals(scan, ranked, objectives)
    best = table.argmin(axis=0)
    changes = [0, *(np.flatnonzero(np.diff(best)) + 1).tolist(), len(values)]
    return [
        Reign(float(values[first]), float(values[min(end, len(values) - 1)]), ranked[best[first]])
        for first, end in pairwise(changes)
    ]


def _share(name: str, found: Mapping[str, float]) -> float:
    """By how much an objective grows where the energy less the potentials grows by 1 eV."""
    per_cell = name in ENERGIES and name != "total_energy" and found["energy"] != 0.0
    return found[name] / found["energy"] if per_cell else 0.0
