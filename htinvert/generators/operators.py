"""Operators: small functions that make a new structure of one or two known ones.

None of them knows an instrument or an energy. Each draws from the generator it is given, leaves
the host as its first parent has it, and raises :class:`Infeasible` where it finds no valid child.
The roles of atoms (:mod:`htinvert.roles`) are the first parent's, and so is the place of a grain
that moves as one rigid body: only :func:`shift_grain` and a relaxation change it.
The operators of ``ase-ga`` keep the composition fixed and know no window, so these are our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import REGION_TAG, Infeasible, Space, frozen_mask, region_mask
from htinvert.geometry import clashes, clearance, distance_outside, distances
from htinvert.roles import RigidBody, rigid_bodies, rigid_mask

TRIES = 30  # children drawn before an operator gives up
PLACES = 200  # points drawn at once for a new atom
HOST_REACH = 6.0  # Å beyond the margin in which a host atom finds the grain that it belongs to
GRAIN_SHIFT = 1.5  # Å: half of the way to the next equivalent place, about

Part = Callable[[Atoms], NDArray[np.bool_]]


def random_structure(space: Space, *, rng: np.random.Generator) -> Atoms:
    """Fill the region at random within its composition, no two atoms closer than allowed.

    Random search with distance constraints: Pickard & Needs, J. Phys.: Condens. Matter 23, 053201
    (2011). In every second structure a rigid grain, where there is one, is shifted first.
    """
    for _ in range(TRIES):
        symbols = [
            symbol
            for symbol, (low, high) in space.composition.items()
            for _ in range(int(rng.integers(low, high + 1)))
        ]
        rng.shuffle(symbols)
        host = host_of(space.template)
        try:
            if rigid_bodies(host) and rng.random() < 0.5:
                host = _shifted(host, GRAIN_SHIFT, space=space, rng=rng)
            return insert(host, symbols, space=space, rng=rng)
        except Infeasible:
            continue
    raise Infeasible("the region has no room for its atoms")


def rattle(
    atoms: Atoms,
    *,
    space: Space,
    rng: np.random.Generator,
    amplitude: float = 0.8,
    share: float = 0.4,
) -> Atoms:
    """Shake a share of the region's atoms by up to ``amplitude`` [Å] along each axis."""
    chosen = _free(atoms)
    for _ in range(TRIES):
        child = atoms.copy()
        picked = chosen[rng.random(len(chosen)) < share]
        if not len(picked):
            picked = rng.choice(chosen, size=1)
        child.positions[picked] += rng.uniform(-amplitude, amplitude, size=(len(picked), 3))
        if is_valid(child, space):
            return child
    raise Infeasible("rattle found no place")


def slide(atoms: Atoms, *, space: Space, rng: np.random.Generator, amplitude: float = 2.0) -> Atoms:
    """Move all of the region's atoms together by up to ``amplitude`` [Å] along each axis.

    A layer at a boundary often has the right atoms in the wrong place along it (the rigid shifts of
    Chen et al., Nat. Commun. 15, 7049 (2024), of the region instead of a grain).
    """
    chosen = _free(atoms)
    scale = np.full(3, amplitude)
    if space.region is not None:
        scale[space.region.dimension] *= 0.1  # along the boundary rather than across
    for _ in range(TRIES):
        child = atoms.copy()
        child.positions[chosen] += scale * rng.uniform(-1.0, 1.0, size=3)
        if is_valid(child, space):
            return child
    raise Infeasible("the region cannot slide")


def shift_grain(
    atoms: Atoms, *, space: Space, rng: np.random.Generator, amplitude: float = GRAIN_SHIFT
) -> Atoms:
    """Shift a rigid grain, with the relaxing host on its side, against the rest.

    By up to ``amplitude`` [Å] along each direction in the plane of the boundary in which the grain
    may move, and a quarter of that across. Rigid shifts map the gamma surface (Vitek, Philos. Mag.
    18, 773 (1968)); boundaries are searched by them and by exchange of atoms, as here, in Zhu et
    al., Nat. Commun. 9, 467 (2018).
    """
    for _ in range(TRIES):
        child = _shifted(atoms, amplitude, space=space, rng=rng)
        if is_valid(child, space):
            return child
    raise Infeasible("a shifted grain meets the region")


def permute(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Exchange two atoms of different elements inside the region."""
    chosen = np.flatnonzero(region_mask(atoms))
    numbers = atoms.numbers
    pairs = [(i, j) for i in chosen for j in chosen if i < j and numbers[i] != numbers[j]]
    if not pairs:
        raise Infeasible("the region holds one element only")
    for _ in range(TRIES):
        i, j = pairs[int(rng.integers(len(pairs)))]
        child = atoms.copy()
        child.positions[[i, j]] = child.positions[[j, i]]
        if is_valid(child, space):
            return child
    raise Infeasible("permutation brings atoms too close")


def relocate(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Take one atom of the region away and put it elsewhere in the region."""
    taken = int(rng.choice(_free(atoms)))
    return insert(_without(atoms, taken), [atoms[taken].symbol], space=space, rng=rng)


def add_or_remove(atoms: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Add an atom to the region or take one away, whichever the composition allows."""
    counts = composition_of(atoms)
    moves = [(s, 1) for s, (_, high) in space.composition.items() if counts[s] < high]
    moves += [(s, -1) for s, (low, _) in space.composition.items() if counts[s] > low]
    if not moves:
        raise Infeasible("the composition is fixed")
    symbol, change = moves[int(rng.integers(len(moves)))]
    if change > 0:
        return insert(atoms, [symbol], space=space, rng=rng)
    same = [i for i in np.flatnonzero(region_mask(atoms)) if atoms[i].symbol == symbol]
    return _without(atoms, int(rng.choice(same)))


def cut_and_splice(
    mother: Atoms, father: Atoms, *, space: Space, rng: np.random.Generator
) -> Atoms:
    """Join a part of one region with the complementary part of another, then mend composition.

    Deaven & Ho, Phys. Rev. Lett. 75, 288 (1995). In a periodic plane the part is a strip, at a
    random place and of a random width, along a random in-plane cell vector; in a cluster it is a
    half space through the center. The host, and so the place of a rigid grain, is the mother's.
    """
    ours, theirs = _region(mother), _region(father)
    if not len(ours) + len(theirs):
        raise Infeasible("the regions of both parents are empty")
    for _ in range(TRIES):
        inside = _part(mother, space, rng)
        child = host_of(mother) + ours[inside(ours)] + theirs[~inside(theirs)]
        try:
            child = _mend(child, space, rng)
        except Infeasible:
            continue
        if is_valid(child, space):
            return child
    raise Infeasible("no cut joins these parents")


def insert(
    atoms: Atoms, symbols: Sequence[str], *, space: Space, rng: np.random.Generator
) -> Atoms:
    """Add atoms one by one at random points of the region that are far enough from all others."""
    child = atoms.copy()
    for symbol in symbols:
        points = _points(space, rng)
        free = np.flatnonzero(clearance(points, symbol, child, space.min_distance))
        if not len(free):
            raise Infeasible(f"no room for {symbol}")
        child += Atoms(symbol, [points[free[0]]], tags=[REGION_TAG])
    return child


def host_of(atoms: Atoms) -> Atoms:
    """All that is not the region."""
    return atoms[~region_mask(atoms)]


def composition_of(atoms: Atoms) -> Counter[str]:
    """Number of atoms of each element inside the region."""
    return Counter(atoms.symbols[region_mask(atoms)])


def is_valid(atoms: Atoms, space: Space) -> bool:
    """True where the region's composition is allowed, in its window, and no atoms are too close."""
    counts = composition_of(atoms)
    fits = all(low <= counts[s] <= high for s, (low, high) in space.composition.items())
    if not fits or set(counts) - set(space.composition):
        return False
    mask = region_mask(atoms)
    if space.region is not None:
        slack = 0.5 * space.region.margin  # relaxed parents may lean out of the window a little
        if (distance_outside(atoms.positions[mask], space.region, atoms) > slack).any():
            return False
    return not clashes(atoms, mask, space.min_distance)


def _free(atoms: Atoms) -> NDArray[np.int64]:
    """Indices of the region's atoms."""
    chosen = np.flatnonzero(region_mask(atoms))
    if not len(chosen):
        raise Infeasible("the region is empty")
    return chosen


def _without(atoms: Atoms, index: int) -> Atoms:
    """All atoms but one; ``del`` would refuse to where a grain is rigid."""
    return atoms[np.arange(len(atoms)) != index]


def _shifted(atoms: Atoms, amplitude: float, *, space: Space, rng: np.random.Generator) -> Atoms:
    """Move one rigid grain by up to ``amplitude`` [Å] to where it meets no atom outside of it."""
    bodies = rigid_bodies(atoms)
    if not bodies:
        raise Infeasible("no grain is rigid, so none can shift")
    body = bodies[int(rng.integers(len(bodies)))]
    grain = _grain(atoms, body, space)
    scale = amplitude * body.allowed
    if space.region is not None:
        scale[space.region.dimension] *= 0.25  # along the boundary rather than across
    for _ in range(TRIES):
        child = atoms.copy()
        child.positions[grain] += scale * rng.uniform(-1.0, 1.0, size=3)
        if not clashes(child, grain, space.min_distance):
            return child
    raise Infeasible("a rigid grain has no room to shift")


def _grain(atoms: Atoms, body: RigidBody, space: Space) -> NDArray[np.bool_]:
    """Which atoms move with a body: its own, and the hosts nearer to it than to other held ones."""
    grain = np.zeros(len(atoms), dtype=bool)
    grain[body.index] = True
    others = (frozen_mask(atoms) | rigid_mask(atoms)) & ~grain
    hosts = np.flatnonzero(~(grain | others | region_mask(atoms)))
    reach = HOST_REACH + (space.region.margin if space.region else 0.0)
    own, other = (
        distances(atoms.positions[hosts], atoms[mask], cutoff=reach).min(
            axis=(1, 2), initial=np.inf
        )
        for mask in (grain, others)
    )
    grain[hosts[own < other]] = True
    return grain


def _region(atoms: Atoms) -> Atoms:
    part = atoms[region_mask(atoms)]
    part.set_constraint()
    return part


def _points(space: Space, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points of the region [Å], shape (PLACES, 3)."""
    cell = space.template.cell
    if space.region is None and not space.template.pbc.any():
        return _points_around(space.template, rng)
    points = rng.random((PLACES, 3)) @ cell.array
    for axis, (lower, upper) in space.region.bounds.items() if space.region else ():
        points[:, axis] = rng.uniform(lower, upper, size=PLACES)
    return points


def _points_around(cluster: Atoms, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random points in the box of a free cluster, a little larger than the atoms' own."""
    low, high = cluster.positions.min(axis=0) - 0.5, cluster.positions.max(axis=0) + 0.5
    return rng.uniform(low, high, size=(PLACES, 3))


def _part(mother: Atoms, space: Space, rng: np.random.Generator) -> Part:
    """Make a test, atoms -> mask, for which side of the cut an atom is on."""
    skip = space.region.dimension if space.region is not None else -1
    axes = [axis for axis in range(3) if mother.pbc[axis] and axis != skip]
    if axes and not (space.region and space.region.box):
        axis, start, width = int(rng.choice(axes)), rng.random(), rng.uniform(0.25, 0.75)
        return lambda part: (_fractions(part, axis) - start) % 1.0 < width
    normal = rng.normal(size=3)
    mask = region_mask(mother)
    center = mother.positions[mask if mask.any() else slice(None)].mean(axis=0)
    return lambda part: (part.positions - center) @ normal < 0.0


def _fractions(part: Atoms, axis: int) -> NDArray[np.float64]:
    return np.asarray(part.cell.scaled_positions(part.positions)[:, axis])


def _mend(child: Atoms, space: Space, rng: np.random.Generator) -> Atoms:
    """Take away or add atoms at random until the composition is allowed."""
    counts = composition_of(child)
    for symbol, (low, high) in space.composition.items():
        for _ in range(counts[symbol] - high):
            same = [i for i in np.flatnonzero(region_mask(child)) if child[i].symbol == symbol]
            child = _without(child, int(rng.choice(same)))
        missing = [symbol] * (low - counts[symbol])
        child = insert(child, missing, space=space, rng=rng) if missing else child
    return child
