"""Multiple scattering by tables of amplitude and phase over two legs and the turn between them.

FEFF makes a block, of two legs and some turns, when a structure first asks for it, and never again.
What lies between is interpolated without the phase of the path's length, which is exact.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.forward.exafs.feff import Route, Settings
from htinvert.forward.exafs.kept import blocks_of
from htinvert.forward.exafs.paths import BIN, LEGS, Paths
from htinvert.forward.exafs.tables import Reference, single_scattering
from htinvert.forward.exafs.walks import WAYS, Walks, walks

LEG, TURN = 0.25, 10.0  # Å and degrees, from one entry of a table to the next
TURNS = np.arange(0.0, 180.0 + TURN / 2.0, TURN)
PIECE = 4  # turns that are made together
FIRST = 4  # of the legs: none is shorter
NEAREST = 1.0  # Å, from the last atom to the absorber


@dataclass(eq=False)
class _Table:
    """Of one kind and two elements.

    Attributes:
        waves: complex amplitudes [Å], shape (legs, legs, turns, wave numbers).
        phases: theirs, continuous [rad], of the same shape.
        known: which blocks are there, shape (legs, legs, pieces).
    """

    waves: NDArray[np.complex64]
    phases: NDArray[np.float32]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class _Sort:
    """What a table is of: place of the kind, absorber, first and second atom."""

    kind: int
    absorber: int
    first: int
    second: int

    def elements(self) -> tuple[int, ...]:
        """Atomic numbers of the three points."""
        others = iter((self.first, self.second))
        absorber = WAYS[self.kind].absorber
        return tuple(self.absorber if p == absorber else next(others) for p in range(3))


def tabulated(atoms: Atoms, number: int, reference: Reference, settings: Settings) -> Paths:
    """Single and multiple scattering of the average absorber, by tables."""
    single = single_scattering(atoms, number, reference, settings)
    every = walks(atoms, number, settings.reach)
    legs = np.array([len(kind.route) for kind in WAYS])
    every = every.at(legs[every.kind] <= settings.legs).alike()
    if not len(every):
        return single
    parts = [single]
    sort = 128 * (128 * every.kind + every.first) + every.second
    for one in np.unique(sort):
        mine = every.at(sort == one)
        what = _Sort(int(mine.kind[0]), number, int(mine.first[0]), int(mine.second[0]))
        parts.append(_summed(mine, what, single, reference, settings))
    return Paths.stacked(parts)


def _summed(
    some: Walks, what: _Sort, single: Paths, reference: Reference, settings: Settings
) -> Paths:
    """Walks of one sort as paths, those of like length added up as one."""
    waves, phases = _interpolated(some, what, reference, settings)
    order = np.argsort(some.length, kind="stable")
    some, waves, phases = some.at(order), waves[order], phases[order]
    starts = np.flatnonzero(np.diff(np.floor(some.length / BIN), prepend=-1.0))
    sizes = np.diff(starts, append=len(some))
    mean = np.add.reduceat(some.count * some.length, starts)
    mean /= np.add.reduceat(some.count, starts)
    middle = np.repeat(mean, sizes)
    excess = (some.length - middle)[:, None].astype(np.float32)
    size = some.count[:, None] * (middle / some.length)[:, None] ** 2
    change = 2.0 * excess * (1j * single.k - single.momentum.imag[:1]).astype(np.complex64)
    sums = np.add.reduceat(size.astype(np.float32) * waves * np.exp(change), starts, axis=0)
    strength = some.count * np.abs(waves).max(axis=1)
    leader = np.lexsort((strength, np.repeat(np.arange(len(starts)), sizes)))
    leader = leader[starts + sizes - 1]
    base = phases[leader]
    many = len(starts)
    places, numbers = _atoms(some.at(leader), what)
    return Paths(
        k=single.k,
        amplitude=np.abs(sums).astype(float),
        phase=base + np.unwrap(np.angle(sums * np.exp(-1j * base)), axis=1),
        momentum=single.momentum[:1],
        degeneracy=np.ones(many),
        length=mean,
        norman=np.full(many, single.norman[0]),
        places=places,
        numbers=numbers,
    )


def _atoms(some: Walks, what: _Sort) -> tuple[Floats, NDArray[np.intp]]:
    """Places [Å] and numbers of the atoms that each walk meets, the absorber first."""
    kind = WAYS[what.kind]
    met = [kind.absorber, *kind.route[:-1]]
    points = _points(some.leg, some.next, some.turn)
    places, numbers = np.zeros((len(some), LEGS, 3)), np.zeros((len(some), LEGS), dtype=int)
    places[:, : len(met)] = points[:, met] - points[:, [kind.absorber]]
    numbers[:, : len(met)] = [what.elements()[point] for point in met]
    return places, numbers


def _points(leg: Floats, following: Floats, turn: Floats) -> Floats:
    """The three points of every walk [Å], shape (n, 3, 3)."""
    points = np.zeros((len(leg), 3, 3))
    points[:, 1:, 2] = leg[:, None]
    points[:, 2, 0] = following * np.sin(np.radians(turn))
    points[:, 2, 2] += following * np.cos(np.radians(turn))
    return points


def _interpolated(
    some: Walks, what: _Sort, reference: Reference, settings: Settings
) -> tuple[NDArray[np.complex64], Floats]:
    """Complex amplitude [Å] of each walk, and the phase [rad] of one that is near in the table."""
    steps = int(settings.reach / LEG) + 3
    places, shares = [], []
    for values, step, first, count in (
        (some.leg, LEG, FIRST, steps),
        (some.next, LEG, FIRST, steps),
        (some.turn, TURN, 0, len(TURNS)),
    ):
        low = np.clip((values / step).astype(int), first, count - 2)
        part = np.clip(values / step - low, 0.0, 1.0).astype(np.float32)
        places.append((low, low + 1))
        shares.append((1.0 - part, part))
    table = _table(reference, what, steps, settings.edge)
    asked = np.zeros_like(table.known)
    for a, b, c in product((0, 1), repeat=3):
        asked[places[0][a], places[1][b], places[2][c] // PIECE] = True
    if (missing := np.argwhere(asked & ~table.known)).size:
        _fill(table, missing, what, reference, settings)
    waves = np.zeros((len(some), table.waves.shape[-1]), dtype=np.complex64)
    for a, b, c in product((0, 1), repeat=3):
        share = (shares[0][a] * shares[1][b] * shares[2][c])[:, None]
        waves += share * table.waves[places[0][a], places[1][b], places[2][c]]
    near = [np.where(share[1] > 0.5, one[1], one[0])
            for one, share in zip(places, shares, strict=True)]  # fmt: skip
    return waves, table.phases[tuple(near)].astype(float)


@functools.lru_cache(maxsize=64)
def _table(reference: Reference, what: _Sort, steps: int, edge: str) -> _Table:
    """An empty one."""
    del reference, what, edge
    known = np.zeros((steps, steps, len(TURNS) // PIECE + 1), dtype=bool)
    return _Table(np.zeros(0, np.complex64), np.zeros(0, np.float32), known)


def _fill(
    table: _Table,
    missing: NDArray[np.intp],
    what: _Sort,
    reference: Reference,
    settings: Settings,
) -> None:
    """Put blocks into a table, by their numbers of legs and pieces."""
    turns = [slice(PIECE * piece, PIECE * (piece + 1)) for _, _, piece in missing]
    blocks = [[_route(what, LEG * i, LEG * j, turn) for turn in TURNS[some]]
              for (i, j, _), some in zip(missing, turns, strict=True)]  # fmt: skip
    found = blocks_of(
        blocks, what.absorber, settings, phases=reference.phases, elements=reference.elements
    )
    if not table.waves.size:
        shape = (*table.known.shape[:2], len(TURNS), found[0][0].shape[1])
        table.waves = np.zeros(shape, dtype=np.complex64)
        table.phases = np.zeros(shape, dtype=np.float32)
    for (i, j, piece), some, (amplitude, phase) in zip(missing, turns, found, strict=True):
        table.waves[i, j, some] = amplitude * np.exp(1j * phase)
        table.phases[i, j, some] = phase
        table.known[i, j, piece] = True


def _route(what: _Sort, leg: float, following: float, turn: float) -> Route:
    """What FEFF is asked for an entry of a table."""
    kind, elements = WAYS[what.kind], what.elements()
    if kind.closed:  # its third leg is not too short, which no structure asks for
        least = (leg**2 + following**2 - NEAREST**2) / (2.0 * leg * following)
        turn = min(turn, 180.0 - float(np.degrees(np.arccos(min(least, 1.0)))))
    points = _points(np.array([leg]), np.array([following]), np.array([turn]))[0]
    points -= points[kind.absorber]
    numbers = tuple(0 if p == kind.absorber else elements[p] for p in kind.route)
    return Route(points[list(kind.route)], numbers)
