"""Columns that an experiment shows and a host lacks: where, and how much of an atom.

Where a guide's field does not change along a vector of the cell, atoms come in columns. Its peaks
across that vector are taken one by one, each as much as it lacks, and refined among each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.geometry import find_mic

from htinvert.core import REGION_TAG, Floats, Infeasible, Space
from htinvert.generators.operators.guided import Guide, Look

STEP = 0.25  # Å between points at which columns are looked for
MOST_POINTS = 40_000
FLAT = 0.02  # atoms: so little may the field change along a column
LEAST = 0.45  # of the lightest atom makes a column
MOST = 60  # columns
LEAST_NOISE = 0.035  # of an intensity, in atoms
CLIMBS, CLIMB = 3, 0.25  # rounds of refinement, Å around a column
UNRESOLVED, NEIGHBORS = 1.3, 2.5  # Å: so near a neighbor may replace a column, and these follow
NEEDLESS = 1.04  # times the residual that a column may be left out for


@dataclass(frozen=True, eq=False)
class FoundColumns:
    """Columns along a vector of the cell: places, and how many reference atoms each holds.

    Attributes:
        places: a point of each [Å], shape (n, 3).
        intensities: in atoms of the guide's element, shape (n,).
        along: the vector of the cell [Å], shape (3,).
        noise: of an intensity, in atoms.
    """

    places: Floats
    intensities: Floats
    along: Floats
    noise: float


def find_columns(look: Look, space: Space, host: Atoms) -> FoundColumns:
    """Columns of the region that the host lacks. Raises Infeasible where the field has none."""
    symbols = [s for s, (_, most) in space.composition.items() if most]
    if not symbols:
        raise Infeasible("the composition allows no atom")
    guide = look(host)
    points = _grid(space)
    along = _beam(guide, points, host)
    worth = dict(zip(symbols, guide.worth([atomic_numbers[s] for s in symbols]), strict=True))
    most = min(sum(high for _, high in space.composition.values()), MOST)
    child, number = host.copy(), 0
    found: list[Floats] = []
    while number < most:
        field = guide.field(points)
        best = int(np.argmax(field))
        if field[best] < LEAST * min(worth.values()):
            break
        place = _climbed(points[best], guide, along)
        found.append(place)
        symbol = min(symbols, key=lambda s: abs(worth[s] - float(field[best])))
        child += Atoms(symbol, [place], tags=[REGION_TAG])
        guide, number = guide.again(child), number + 1
    if not found:
        raise Infeasible("the experiment shows no column that the host lacks")
    for _ in range(CLIMBS - 1):
        child = _settled(child, range(len(host), len(child)), guide, along)
    child = _without_needless(child, len(host), guide, along)
    guide = guide.again(child)
    places = child.positions[len(host) :]
    held = np.array([worth[child.symbols[i]] for i in range(len(host), len(child))])
    return FoundColumns(places, held + guide.field(places), along, max(guide.rms, LEAST_NOISE))


def _settled(child: Atoms, some: Iterable[int], guide: Guide, along: Floats) -> Atoms:
    """A structure of whose columns each is moved to where the others leave most to explain."""
    child = child.copy()
    for i in some:
        rest = guide.again(child[np.arange(len(child)) != i])
        child.positions[i] = _climbed(child.positions[i], rest, along)
    return child


def _without_needless(child: Atoms, first: int, guide: Guide, along: Floats) -> Atoms:
    """A structure without those columns from ``first`` on that their neighbors can replace.

    Of columns that the image does not resolve, one is often found between two at first.
    """
    now, i = guide.again(child).rms, first
    while i < len(child):
        away = _across(child.positions[first:], child.positions[i], child, along)
        near = [first + int(n) for n in np.flatnonzero(away < NEIGHBORS) if first + n != i]
        if not any(away[n - first] < UNRESOLVED for n in near):
            i += 1
            continue
        less = child[np.arange(len(child)) != i]
        near = [n - (n > i) for n in near]
        for _ in range(CLIMBS - 1):
            less = _settled(less, near, guide, along)
        rms = guide.again(less).rms
        if rms > now * NEEDLESS:
            i += 1
            continue
        child, now, i = less, rms, first
    return child


def _across(places: Floats, place: Floats, atoms: Atoms, along: Floats) -> Floats:
    """Distances [Å] across the columns, to the nearest image; shape (n,)."""
    unit = along / np.linalg.norm(along)
    moves = find_mic(places - place, atoms.cell, atoms.pbc)[0]
    return np.asarray(np.linalg.norm(moves - (moves @ unit)[:, None] * unit, axis=1))


def _beam(guide: Guide, points: Floats, host: Atoms) -> Floats:
    """The vector of the cell along which the field does not change."""
    some = points[:: max(1, len(points) // 200)]
    field = guide.field(some)
    for vector, periodic in zip(host.cell.array, host.pbc, strict=True):
        if not periodic:
            continue
        moved = [guide.field(some + share * vector) for share in (0.21, 0.47)]
        if max(float(np.abs(one - field).max()) for one in moved) < FLAT:
            return np.asarray(vector)
    raise Infeasible("the experiment looks along no vector of the cell, so there are no columns")


def _climbed(place: Floats, guide: Guide, along: Floats) -> Floats:
    """The highest point near a place, by ever finer rings across the columns."""
    unit = along / np.linalg.norm(along)
    first = np.linalg.svd(unit[None])[2][1]
    second = np.cross(unit, first)
    best = place
    for reach in (CLIMB, CLIMB / 3, CLIMB / 9):
        steps = np.linspace(-reach, reach, 5)
        around = best + np.array([u * first + v * second for u in steps for v in steps])
        best = around[int(np.argmax(guide.field(around)))]
    return np.asarray(best)


def _grid(space: Space) -> Floats:
    """Points of the region [Å], shape (n, 3)."""
    template = space.template
    lengths = np.linalg.norm(template.cell.complete().array, axis=1)
    bounds = space.region.bounds if space.region else {}
    span = lengths.copy()
    for axis, (low, high) in bounds.items():
        span[axis] = high - low
    step = max(STEP, float(np.cbrt(np.prod(span) / MOST_POINTS)))
    ticks = [np.arange(0.0, 1.0, step / length) for length in span]
    points = np.stack(np.meshgrid(*ticks, indexing="ij"), axis=-1).reshape(-1, 3)
    found = points @ template.cell.complete().array
    for axis, (low, high) in bounds.items():
        found[:, axis] = low + points[:, axis] * (high - low)
    return np.asarray(found)
