"""What is legal in a space, where atoms may be put, and why a child was not legal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from htinvert.core import REGION_TAG, Infeasible, Space
from htinvert.geometry.distances import clashes, clearance, distance_outside, heights, limits
from htinvert.geometry.once import Once
from htinvert.geometry.roles import region_mask

TRIES = 30  # children drawn before an operator gives up
PLACES = 200  # points drawn at once for a new atom
PUSHES = 15  # rounds in which atoms that are too close are pushed apart
CLOSEST = 0.7  # min_distance over bond length, where nobody says otherwise (covalent_distances)
LOOSENESS = 1.15  # radius of a random cluster over that of a close-packed one

MIN_DISTANCE, WINDOW, COMPOSITION = "min_distance", "the window", "the composition"


def attempt(
    make: Callable[[], Atoms], space: Space, *, what: str, tries: int = TRIES, push: bool = True
) -> Atoms:
    """The first legal structure that ``make`` draws in at most ``tries`` tries.

    With ``push``, atoms of the region that are a little too close are pushed apart first; a free
    cluster is put back into the middle of its box. Raises :class:`Infeasible` with the constraints
    that blocked the tries, the most frequent one first.
    """
    blocked: Counter[str] = Counter()
    for _ in range(tries):
        try:
            child = make()
        except Infeasible as reason:
            blocked[str(reason)] += 1
            continue
        if push:
            spread(child, space)
        if is_free_cluster(space):
            center(child, space)
        problem = objection(child, space)
        if not problem:
            return child
        blocked[problem] += 1
    causes = ", ".join(f"{cause} ({count})" for cause, count in blocked.most_common(3))
    raise Infeasible(f"{what} found nothing legal in {tries} tries; blocked by {causes}")


def spread(atoms: Atoms, space: Space) -> None:
    """Push atoms of the region, in place, out of the distances that are not allowed.

    Each pair that is too close moves apart along its connection, in at most :data:`PUSHES` rounds;
    the host stays. So a move can be larger than the few tenths of Å at which some pair of a
    compact structure comes too close.
    """
    free = region_mask(atoms)
    chosen = np.flatnonzero(free)
    if not len(chosen):
        return
    symbols = atoms.get_chemical_symbols()
    allowed = limits([symbols[i] for i in chosen.tolist()], symbols, space.min_distance)
    cell = atoms.cell.complete() if atoms.pbc.any() else None
    for _ in range(PUSHES):
        vectors = atoms.positions[chosen][:, None] - atoms.positions
        if cell is not None:
            fractions = cell.scaled_positions(vectors.reshape(-1, 3))
            fractions -= np.round(fractions) * atoms.pbc
            vectors = (fractions @ cell.array).reshape(vectors.shape)
        apart = np.sqrt((vectors**2).sum(axis=-1))
        apart[np.arange(len(chosen)), chosen] = np.inf
        if not (apart < allowed).any():
            return
        lack = np.maximum(1.02 * allowed - apart, 0.0)
        share = np.where(free, 0.5, 1.0) * lack / np.maximum(apart, 1e-3)
        atoms.positions[chosen] += (share[:, :, None] * vectors).sum(axis=1)


def objection(atoms: Atoms, space: Space) -> str:
    """The constraint that a structure breaks, in words; empty where it is legal."""
    counts = composition_of(atoms)
    fits = all(low <= counts[s] <= high for s, (low, high) in space.composition.items())
    if not fits or set(counts) - set(space.composition):
        return COMPOSITION
    mask = region_mask(atoms)
    if is_free_cluster(space):
        if _diameter(atoms) > box_size(space):
            return WINDOW
    elif space.region is not None:
        slack = 0.5 * space.region.margin  # relaxed parents may lean out of the window a little
        if (distance_outside(atoms.positions[mask], space.region, atoms) > slack).any():
            return WINDOW
    return MIN_DISTANCE if clashes(atoms, mask, space.min_distance) else ""


def is_valid(atoms: Atoms, space: Space) -> bool:
    """True where the region's composition is allowed, in its window, and no atoms are too close."""
    return not objection(atoms, space)


@dataclass(frozen=True, eq=False)
class _Room:
    """What follows from a space alone.

    Attributes:
        free: whether all of the structure may change and nothing is periodic.
        size: largest diameter [Å] of a free cluster.
        center: where the middle of a free cluster belongs [Å], shape (3,).
        radius: of a ball that holds the centers of a compact cluster's atoms [Å].
        host: all that is not the region.
    """

    free: bool
    size: float
    center: NDArray[np.float64]
    radius: float
    host: Atoms

    @classmethod
    def of(cls, space: Space) -> Self:
        """The room of a space."""
        template = space.template
        free = space.region is None and not template.pbc.any()
        size = float(heights(template).min()) if template.cell.rank == 3 else float("inf")
        volume = sum(
            high * bond_length(symbol, symbol, space) ** 3 / np.sqrt(2.0)
            for symbol, (_, high) in space.composition.items()
        )
        ball = LOOSENESS * (0.75 * volume / np.pi) ** (1 / 3)
        return cls(
            free=free and bool(region_mask(template).all()),
            size=size,
            center=np.asarray(template.cell.array.sum(axis=0) / 2.0),
            radius=float(min(ball, 0.5 * size)),
            host=host_of(template),
        )


_rooms: Once[_Room] = Once(64)


def _room(space: Space) -> _Room:
    return _rooms.of(space, lambda: _Room.of(space))


def is_free_cluster(space: Space) -> bool:
    """Whether all of the structure may change and nothing is periodic: a cluster in a vacuum."""
    return _room(space).free


def box_size(space: Space) -> float:
    """Largest diameter [Å] of a free cluster: the box's smallest height, or no limit without."""
    return _room(space).size


def box_center(space: Space) -> NDArray[np.float64]:
    """Where the middle of a free cluster belongs [Å], shape (3,)."""
    return _room(space).center


def center(atoms: Atoms, space: Space) -> None:
    """Move a free cluster, in place, into the middle of its box."""
    if len(atoms):
        middle = 0.5 * (atoms.positions.min(axis=0) + atoms.positions.max(axis=0))
        atoms.positions += box_center(space) - middle


def bond_length(first: str, second: str, space: Space) -> float:
    """About how long a bond is [Å], by the shortest distance that is allowed."""
    return space.min_distance.get(frozenset((first, second)), 0.0) / CLOSEST or 2.0


def step_scale(space: Space) -> float:
    """The length [Å] that steps of this search are measured by: its shortest bond."""
    names = list(space.composition)
    return min((bond_length(a, b, space) for a in names for b in names), default=2.0)


def host_of(atoms: Atoms) -> Atoms:
    """All that is not the region."""
    return atoms[~region_mask(atoms)]


def bare_host(space: Space) -> Atoms:
    """A copy of a space's host."""
    bare: Atoms = _room(space).host.copy()
    return bare


def region_of(atoms: Atoms) -> Atoms:
    """The region's atoms alone, without constraints."""
    part = atoms[region_mask(atoms)]
    part.set_constraint()
    return part


def composition_of(atoms: Atoms) -> Counter[str]:
    """Number of atoms of each element inside the region."""
    numbers = atoms.numbers[region_mask(atoms)].tolist()
    return Counter([chemical_symbols[number] for number in numbers])


def free_indices(atoms: Atoms) -> NDArray[np.int64]:
    """Indices of the region's atoms; raises :class:`Infeasible` where there are none."""
    chosen = np.flatnonzero(region_mask(atoms))
    if not len(chosen):
        raise Infeasible("the region is empty")
    return chosen


def without(atoms: Atoms, *indices: int) -> Atoms:
    """All atoms but some; ``del`` would refuse to where a grain is rigid."""
    return atoms[~np.isin(np.arange(len(atoms)), indices)]


def insert(
    atoms: Atoms, symbols: Sequence[str], *, space: Space, rng: np.random.Generator
) -> Atoms:
    """Add atoms one by one at random points of the region that are far enough from all others."""
    child = atoms.copy()
    child += Atoms(symbols, tags=[REGION_TAG] * len(symbols))
    for count, symbol in enumerate(symbols, len(atoms)):
        points = random_points(space, rng)
        free = clearance(points, symbol, child, space.min_distance, count=count)
        if not free.any():
            raise Infeasible(f"{MIN_DISTANCE}, which leaves no room for {symbol}")
        child.positions[count] = points[free.argmax()]
    return child


def mend(child: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take away or add atoms at random until the composition is allowed."""
    counts = composition_of(child)
    for symbol, (low, high) in space.composition.items():
        for _ in range(counts[symbol] - high):
            same = [i for i in np.flatnonzero(region_mask(child)) if child[i].symbol == symbol]
            child = without(child, int(rng.choice(same)))
        missing = [symbol] * (low - counts[symbol])
        child = insert(child, missing, space=space, rng=rng) if missing else child
    return child


def random_points(space: Space, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points of the region [Å], shape (PLACES, 3)."""
    if is_free_cluster(space):
        return _points_in_a_ball(space, rng)
    template = space.template
    if space.region is None and not template.pbc.any():
        low, high = template.positions.min(axis=0) - 0.5, template.positions.max(axis=0) + 0.5
        return rng.uniform(low, high, size=(PLACES, 3))
    points = rng.random((PLACES, 3)) @ template.cell.array
    for axis, (lower, upper) in space.region.bounds.items() if space.region else ():
        points[:, axis] = rng.uniform(lower, upper, size=PLACES)
    return points


def cluster_radius(space: Space) -> float:
    """Radius [Å] of a ball that holds the centers of a compact cluster's atoms.

    As many as the composition allows at most, in close packing with a little room to spare.
    """
    return _room(space).radius


def _points_in_a_ball(space: Space, rng: np.random.Generator) -> NDArray[np.float64]:
    directions = rng.normal(size=(PLACES, 3))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    reach = cluster_radius(space) * rng.random((PLACES, 1)) ** (1 / 3)
    return np.asarray(box_center(space) + reach * directions)


def _diameter(atoms: Atoms) -> float:
    offsets = atoms.positions[:, None] - atoms.positions
    return float(np.sqrt((offsets**2).sum(axis=-1).max(initial=0.0)))
