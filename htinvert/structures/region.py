"""Mark the part of a structure that a search may change, and freeze what lies far from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms

from htinvert.core import HOST_TAG, REGION_TAG, Region, Space, UserError, region_mask


def search_space(
    atoms: Atoms,
    *,
    region: Region | None,
    composition: Mapping[str, tuple[int, int]],
    min_distance: Mapping[frozenset[str], float],
) -> Space:
    """Tag and constrain a start structure; see :mod:`htinvert.core` for what the tags mean.

    Elements without a composition range keep the number that the start structure has inside the
    region. Raises :class:`UserError` where the region holds nothing or lies outside of the cell.
    """
    template = atoms.copy()
    template.set_constraint()
    if region is None:
        template.set_tags(REGION_TAG)
    else:
        _mark(template, region)
    counts = Counter(template.symbols[region_mask(template)])
    ranges = {symbol: (count, count) for symbol, count in counts.items()} | dict(composition)
    if not any(high for _, high in ranges.values()):
        raise UserError(
            "the region holds no atoms and composition allows none; "
            "widen region.lower and region.upper, or give composition"
        )
    return Space(template, region, dict(sorted(ranges.items())), min_distance)


def _mark(template: Atoms, region: Region) -> None:
    height = template.positions[:, region.dimension]
    low, high = float(height.min()), float(height.max())
    if region.upper < low or region.lower > high:
        raise UserError(
            f"region {region.lower} to {region.upper} Å along {region.axis} lies outside of the "
            f"structure, whose atoms span {low:.2f} to {high:.2f} Å"
        )
    inside = (height >= region.lower) & (height <= region.upper)
    template.set_tags(np.where(inside, REGION_TAG, HOST_TAG))
    far = (height < region.lower - region.margin) | (height > region.upper + region.margin)
    if far.any():
        template.set_constraint(FixAtoms(np.flatnonzero(far)))
