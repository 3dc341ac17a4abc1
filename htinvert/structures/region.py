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

from htinvert.core import HOST_TAG, REGION_TAG, Region, Space, UserError
from htinvert.geometry.distances import (
    RATIO_CUTOFF,
    distance_outside,
    near_pairs,
    nearest_image,
    shortest_ratio,
)
from htinvert.geometry.heights import around_region, period
from htinvert.geometry.roles import (
    HELD,
    RigidBody,
    frozen_mask,
    region_mask,
    rigid_bodies,
    rigid_mask,
)

TOUCHING = 1.2  # of the covalent sum: closer atoms are bonded
FUSED = 0.5  # of the covalent sum: nothing is that close
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
    _refuse_partly_held(template)
    if region is None:
        _keep(template)
    else:
        _mark(template, region)
    _refuse_fused(template)
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
    """Roles by the region; atoms that the structure's file holds stay held."""
    _require_inside(template, region)
    held = np.zeros(len(template), dtype=bool)
    if template.info.pop(HELD, False):
        held = frozen_mask(template)
    template.positions[:] = around_region(template, region)
    height = template.positions[:, region.dimension]
    outside = distance_outside(template.positions, region, template)
    free = (outside <= ROUNDING) & ~held
    template.set_tags(np.where(free, REGION_TAG, HOST_TAG))
    template.positions[free] = nearest_image(template.positions[free], region, template)
    far = (outside > region.margin + ROUNDING) | held
    above = height > 0.5 * (region.lower + region.upper)
    rigid = np.zeros(len(template), dtype=bool)
    for name, side, role in (("below", ~above, region.below), ("above", above, region.above)):
        if role == "rigid":
            rigid |= far & side
            _require_grain(rigid, name, region)
            if (rigid & held).any():
                raise UserError(
                    f"region.{name} is rigid but the structure's file holds "
                    f"{int((rigid & held).sum())} atoms of that grain; free them there, or leave "
                    f"out region.{name}"
                )
    constraints: list[FixAtoms | RigidBody] = []
    if (far & ~rigid).any():
        constraints.append(FixAtoms(np.flatnonzero(far & ~rigid)))
    if rigid.any():
        constraints.append(RigidBody(np.flatnonzero(rigid), region.move))
    template.set_constraint(constraints)


def _require_inside(template: Atoms, region: Region) -> None:
    """Refuse a region that is nowhere near the structure, or its next image."""
    height = around_region(template, region)[:, region.dimension]
    rise = period(template, np.eye(3)[region.dimension])
    given = template.positions[:, region.dimension]
    low, high = float(given.min()), float(given.max())
    if rise is not None:
        once = float(rise[region.dimension])
        beyond = region.upper < min(low, 0.0) - once or region.lower > max(high, 0.0) + once
        thick = region.upper - region.lower >= once
    else:
        beyond, thick = False, False
    if beyond or (not thick and (region.upper < height.min() or region.lower > height.max())):
        raise UserError(
            f"region {region.lower} to {region.upper} Å along {region.axis} lies outside of the "
            f"structure, whose atoms span {low:.2f} to {high:.2f} Å"
        )


def _refuse_partly_held(template: Atoms) -> None:
    """Refuse constraints that a run cannot keep, such as an atom that is held along z alone."""
    for constraint in template.constraints:
        if isinstance(constraint, FixAtoms | RigidBody):
            continue
        name = type(constraint).__name__
        numbers = np.atleast_1d(getattr(constraint, "index", []))
        which = f"atom {numbers[0]}" if len(numbers) else "atoms"
        raise UserError(
            f"the structure's file constrains {which} in a way that a run cannot keep ({name}), "
            "such as along some directions only; hold it wholly (F F F in a POSCAR) or free it "
            "(T T T)"
        )


def _refuse_fused(template: Atoms) -> None:
    """Refuse atoms on top of each other that no search exchanges: every candidate would fail."""
    kept = template[~region_mask(template)]
    if rigid_bodies(template) or not len(kept) or shortest_ratio(kept) >= FUSED:
        return
    i, j, apart = near_pairs(kept, cutoff=RATIO_CUTOFF)
    radii = np.asarray(covalent_radii)[kept.numbers]
    worst = int(np.argmin(apart / (radii[i] + radii[j])))
    raise UserError(
        f"the structure has {kept.symbols[i[worst]]} and {kept.symbols[j[worst]]} "
        f"{apart[worst]:.2f} Å apart outside of what may change, closer than atoms can be, so no "
        "candidate could be evaluated; check its file, its symmetry and its unit"
    )


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
