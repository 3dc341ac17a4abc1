"""Give every atom of a start structure its role: what a search may change, what moves and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray

from htinvert.core import HOST_TAG, REGION_TAG, Region, Space, UserError, frozen_mask, region_mask
from htinvert.geometry.distances import distance_outside
from htinvert.geometry.roles import RigidBody, rigid_bodies, rigid_mask

TOUCHING = 1.2  # of the covalent sum: closer atoms are bonded
ROUNDING = 1e-6  # Å: an atom at the very end of the margin relaxes on every machine


def search_space(
    atoms: Atoms,
    *,
    region: Region | None,
    composition: Mapping[str, tuple[int, int]],
    min_distance: Mapping[frozenset[str], float],
) -> Space:
    """Tag and constrain a start structure; ``geometry.roles`` says what the roles mean.

    Without a region, roles that the structure has (by tags of 0 and 1, ``FixAtoms``, ``RigidBody``)
    are kept, and all atoms are free where it has none. Elements without a composition range keep
    the number that the start structure has inside the region. Raises :class:`UserError` where
    nothing is left to change, the region lies outside of the cell, or a grain cannot be rigid.
    """
    template = atoms.copy()
    if region is None:
        _keep(template)
    else:
        _mark(template, region)
    _check_bodies(template, region)
    counts = Counter(template.symbols[region_mask(template)])
    ranges = {symbol: (count, count) for symbol, count in counts.items()} | dict(composition)
    if not any(high for _, high in ranges.values()) and not rigid_bodies(template):
        raise UserError(
            f"the region holds no atoms and composition allows none ({frozen_mask(template).sum()} "
            f"of {len(template)} atoms are frozen); "
            "widen region.lower and region.upper, or give composition"
        )
    space = Space(template, region, dict(sorted(ranges.items())), min_distance)
    _check_room(space)
    return space


def _check_room(space: Space) -> None:
    """Refuse a composition that cannot fit in, however its atoms are packed.

    No packing of spheres is denser than pi / sqrt(18): Hales, Ann. Math. 162, 1065 (2005). So each
    atom takes at least d³ / sqrt(2), with d the least of the shortest distances; half of d may
    stick out of the region on either side.
    """
    region, cell = space.region, space.template.cell.complete()
    wanted = {symbol: low for symbol, (low, high) in space.composition.items() if high}
    distance = min(
        (d for pair, d in space.min_distance.items() if pair <= set(wanted)), default=0.0
    )
    if region is None or region.length == "free" or not distance or not space.template.pbc.all():
        return
    normal = np.eye(3)[region.dimension]
    across = [vector for vector in cell.array if abs(vector @ normal) < ROUNDING]
    if len(across) != 2:
        return
    area = float(np.linalg.norm(np.cross(*across)))
    most = int(np.sqrt(2.0) * area * (region.upper - region.lower + distance) / distance**3)
    if sum(wanted.values()) > most:
        raise UserError(
            f"composition asks for {sum(wanted.values())} atoms or more in the region, which has "
            f"room for no more than {most} at {distance:.2f} Å from each other; ask for fewer, "
            "widen region.lower and region.upper, or give search.min_distance"
        )


def _keep(template: Atoms) -> None:
    """Free all atoms that are not held, but for the hosts that tags of 0 and 1 tell apart."""
    tags = template.get_tags()
    held = frozen_mask(template) | rigid_mask(template)
    told = set(tags) <= {HOST_TAG, REGION_TAG} and bool((tags[~held] == REGION_TAG).any())
    free = ~held & (tags == REGION_TAG) if told else ~held
    template.set_tags(np.where(free, REGION_TAG, HOST_TAG))


def _mark(template: Atoms, region: Region) -> None:
    height = template.positions[:, region.dimension]
    low, high = float(height.min()), float(height.max())
    if region.upper < low or region.lower > high:
        raise UserError(
            f"region {region.lower} to {region.upper} Å along {region.axis} lies outside of the "
            f"structure, whose atoms span {low:.2f} to {high:.2f} Å"
        )
    outside = distance_outside(template.positions, region, template)
    template.set_tags(np.where(outside > 0.0, HOST_TAG, REGION_TAG))
    far = outside > region.margin + ROUNDING
    above = height > 0.5 * (region.lower + region.upper)
    rigid = np.zeros(len(template), dtype=bool)
    for name, side, role in (("below", ~above, region.below), ("above", above, region.above)):
        if role == "rigid":
            rigid |= far & side
            _require_grain(rigid, name, region)
    constraints: list[FixAtoms | RigidBody] = []
    if (far & ~rigid).any():
        constraints.append(FixAtoms(np.flatnonzero(far & ~rigid)))
    if rigid.any():
        constraints.append(RigidBody(np.flatnonzero(rigid), region.move))
    template.set_constraint(constraints)


def _require_grain(rigid: NDArray[np.bool_], name: str, region: Region) -> None:
    if not rigid.any():
        raise UserError(
            f"region.{name} is rigid but no atom lies {name} the region and its margin of "
            f"{region.margin:g} Å; make the margin smaller, or leave out region.{name}"
        )


def _check_bodies(template: Atoms, region: Region | None) -> None:
    """Refuse a rigid grain with nothing to shift against, or one that strains a second boundary."""
    rigid, frozen = rigid_mask(template), frozen_mask(template)
    if rigid.any() and not frozen.any():
        raise UserError(
            "a grain is rigid but no atom is frozen, so its shift means nothing; "
            "make the region or its margin smaller, so that the other grain is frozen beyond"
        )
    if region is None:
        return
    if region.length == "free":
        _check_length(template, region)
    elif rigid.any():
        _require_vacuum(
            template,
            region,
            "leave vacuum there, or keep the grain frozen, or let it move along the normal only "
            f"(region.move: {region.axis}) with region.length: free",
        )


def _check_length(template: Atoms, region: Region) -> None:
    """Refuse a free length that means nothing, or a shift that it cannot make up for."""
    axis, name = region.dimension, region.axis
    leaning = template.cell.array.copy()
    leaning[axis, axis] = 0.0
    if max(abs(leaning[axis]).max(), abs(leaning[:, axis]).max()) > ROUNDING:
        raise UserError(
            f"region.length is free but the cell is not upright along {name}; give a cell with one "
            f"vector along {name} and the others in the plane"
        )
    frozen = template.positions[frozen_mask(template), axis]
    if (frozen < region.lower).any() and (frozen > region.upper).any():
        raise UserError(
            "region.length is free but both grains are frozen, so it would only open the boundary "
            "at the cell's end; let one of them move: region.above: rigid"
        )
    if region.move != name:
        _require_vacuum(template, region, f"let it move along the normal only: region.move: {name}")


def _require_vacuum(template: Atoms, region: Region, advice: str) -> None:
    """Refuse a rigid grain that is bonded through the cell's end along the normal of the region."""
    axis, rigid = region.dimension, rigid_mask(template)
    radii = TOUCHING * np.asarray(covalent_radii)[template.numbers]
    first, second, bond = neighbor_list("ijD", template, radii)
    height = template.positions[:, axis]
    through = np.abs(bond[:, axis] - height[second] + height[first]) > ROUNDING
    found = np.flatnonzero(through & rigid[first] & ~rigid[second])
    if len(found):
        a, b = first[found[0]], second[found[0]]
        raise UserError(
            f"atom {a} of the rigid grain is bonded to atom {b} of the other grain through the "
            f"cell's end along {region.axis} ({np.linalg.norm(bond[found[0]]):.2f} Å), so a shift "
            f"would strain this second boundary; {advice}"
        )
