"""Grains around a gap, each continued into it by its own crystal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.geometry.distances import limits, near_pairs
from htinvert.geometry.heights import rising
from htinvert.geometry.own_bulk import own_bulk

EDGE = 2.0  # Å beside the gap, where a grain may be relaxed
SAME = 0.05  # Å: atoms of one layer differ less in height


def continuations(atoms: Atoms, *, axis: int, lower: float, upper: float) -> tuple[Atoms, Atoms]:
    """What the grains below and above two heights [Å] put in between, each up to the other grain.

    Atoms lie in one piece along the axis (0, 1, 2), none of them in between. Raises
    :class:`UserError` where nothing repeats in a grain, or there is none.
    """
    height = atoms.positions[:, axis]
    below, above = height <= lower, height >= upper
    if not below.any() or not above.any():
        raise UserError("there is no grain on one side of the region")
    if not np.delete(atoms.pbc, rising(atoms, axis)).all():
        raise UserError("the grains end in the plane of the region, so that nothing repeats")
    gap = float(height[below].max()), float(height[above].min())
    return _continued(atoms, below, axis, gap), _continued(atoms, above, axis, gap)


def _continued(atoms: Atoms, own: NDArray[np.bool_], axis: int, gap: tuple[float, float]) -> Atoms:
    """The atoms that one grain has in the gap if it goes on as it is away from its edge."""
    height = atoms.positions[:, axis]
    low, high = float(height[own].min()), float(height[own].max())
    crystal = own_bulk(atoms, axis=axis, lower=low, upper=high)
    step = crystal.cell.array[rising(crystal, axis)]
    rise = float(step[axis])
    if high <= gap[0]:
        last = own & (height > high - EDGE - rise) & (height <= high - EDGE)
    else:
        last = own & (height >= low + EDGE) & (height < low + EDGE + rise)
        step = -step
    layer, found = atoms[last], Atoms(cell=atoms.cell, pbc=atoms.pbc)
    for number in range(1, int((EDGE + gap[1] - gap[0]) / rise) + 2):
        places = layer.positions + number * step
        inside = (places[:, axis] > gap[0] + SAME) & (places[:, axis] < gap[1] - SAME)
        found += Atoms(layer.numbers[inside], places[inside])
    return found


def joined(
    host: Atoms,
    grains: tuple[Atoms, Atoms],
    *,
    axis: int,
    at: float,
    least: Mapping[frozenset[str], float],
    keep: int = 0,
) -> Atoms:
    """The host, what the lower grain puts into its gap up to a height [Å], and the upper above it.

    Of atoms of both that are nearer than ``least`` [Å] those of one grain stay: 0 the lower, 1 the
    upper. What comes too near to the host is left out.
    """
    lower, upper = (part.positions[:, axis] for part in grains)
    parts = grains[0][lower <= at], grains[1][upper > at]
    found = host.copy()
    for part in (parts[keep], parts[1 - keep]):
        whole, known = found + part, len(found)
        names = np.array(whole.get_chemical_symbols())
        added = np.arange(known, len(whole))
        first, second, apart = near_pairs(whole, cutoff=max(least.values()), chosen=added)
        allowed = limits(names, names, least)[first, second]
        gone = first[(apart < allowed) & (second < known)]
        found = whole[~np.isin(np.arange(len(whole)), gone)]
    return found
