"""Two perovskites on one another, intermixed at their boundary to a stated level.

The level is the standard deviation of an error function, the profile of diffusion from a step
(Crank, *The Mathematics of Diffusion*, 2nd ed. (1975), eq. 2.14), in cells of the lower one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import erf, sqrt
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from htinvert.core import UserError
from htinvert.declaration.declared import Parameter, cites


@cites("J. Crank, The Mathematics of Diffusion, 2nd ed., Oxford (1975), eq. 2.14.")
def perovskite_stack(
    *,
    lower: tuple[str, str] = ("Sr", "Ti"),
    upper: tuple[str, str] = ("La", "Al"),
    side: Annotated[float, Parameter("Å", 3.0, 5.0)] = 3.905,
    heights: tuple[float, float] = (3.905, 3.75),
    cells: Annotated[int, Parameter("1", 2, 40)] = 5,
    intermixing: Annotated[float, Parameter("1", 0.0, 10.0)] = 0.0,
    step: Annotated[float, Parameter("1", -2.0, 2.0)] = 0.0,
    rise: Annotated[float, Parameter("1", -2.0, 2.0)] = 0.0,
    depth: Annotated[float, Parameter("Å", 0.0, 5000.0)] = 0.0,
) -> Atoms:
    """Build (001) layers of two cubic perovskites along y, repeated in x, y and z, strained to one.

    Planes AO lie at a quarter and BO2 at three quarters of each cell. Sites that two elements share
    are told by ``info["occupancy"]``, as of CIF files. The cell repeats along y, so it holds a
    second boundary ``cells`` away, where the profile ends: nothing is mixed across it, so that the
    profile about the first one is that of a single boundary.

    Args:
        lower: its elements on A and B.
        upper: the same of the other one.
        side: lattice constant in the plane [Å].
        heights: of cells of the lower and the upper one [Å].
        cells: of each.
        intermixing: standard deviation of the profile [cells of the lower one].
        step: how far the boundary lies beyond the middle [cells of the lower one].
        rise: a buried step, deeper than ``depth`` the boundary lies this much further; told by
            ``info["beneath"]``, the stack there, and ``info["depth"]`` [cells of the lower one].
        depth: of that step below the surface where the beam enters [Å].

    Raises:
        UserError: for an unknown element.
    """
    for symbol in (*lower, *upper):
        if symbol not in atomic_numbers:
            raise UserError(f'perovskite_stack has no element "{symbol}"; give symbols such as Sr')
    boundary = cells * heights[0]
    atoms = _filled(
        *(lower, upper, side, heights, cells),
        lambda y: _share((y - boundary) / heights[0] - step, intermixing),
    )
    atoms.info["boundary"] = boundary
    if rise:
        atoms.info["depth"] = depth
        atoms.info["beneath"] = perovskite_stack(
            lower=lower,
            upper=upper,
            side=side,
            heights=heights,
            cells=cells,
            intermixing=intermixing,
            step=step + rise,
        )
    return atoms


def _filled(
    lower: tuple[str, str],
    upper: tuple[str, str],
    side: float,
    heights: tuple[float, float],
    cells: int,
    share: Callable[[float], float],
) -> Atoms:
    """The stack whose sites hold ``share`` of the upper one's elements at a height [Å]."""
    bottoms = np.concatenate(
        [np.arange(cells) * heights[0], cells * heights[0] + np.arange(cells) * heights[1]]
    )
    symbols: list[str] = []
    positions: list[tuple[float, float, float]] = []
    occupancy: dict[str, dict[str, float]] = {}
    for bottom, height in zip(bottoms, np.repeat(heights, cells), strict=True):
        for place, site in ((0.25, 0), (0.75, 1)):
            y = bottom + place * height
            part = share(y)
            pair = {lower[site]: 1.0 - part}
            pair[upper[site]] = pair.get(upper[site], 0.0) + part
            occupancy[str(len(symbols))] = {k: v for k, v in pair.items() if v > 1e-6}
            symbols.append(max(pair, key=lambda symbol: pair[symbol]))
            shift = 0.5 * side * site
            positions.append((shift, y, shift))
            oxygens = [(0.5, 0.5)] if site == 0 else [(0.0, 0.5), (0.5, 0.0)]
            for x, z in oxygens:
                occupancy[str(len(symbols))] = {"O": 1.0}
                symbols.append("O")
                positions.append((x * side, y, z * side))
    cell = [side, cells * sum(heights), side]
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
    atoms.set_array("spacegroup_kinds", np.arange(len(atoms)))
    atoms.info["occupancy"] = occupancy
    return atoms


def _share(distance: float, width: float) -> float:
    """Part of the upper one [1] at a distance above the boundary; both in cells."""
    if width == 0.0:
        return float(distance > 0.0)
    return 0.5 * (1.0 + erf(distance / (sqrt(2.0) * width)))
