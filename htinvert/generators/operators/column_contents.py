"""What columns may hold: elements by intensity, heights by the crystal, the likeliest first.

An intensity tells an element as well as its noise lets it; a height is one of those at which the
host has atoms; and neighbors that the host has are likelier than those that it has not. Contents of
all columns together are looked for by Gibbs sampling from hot to cold (S. Geman & D. Geman, IEEE
Trans. Pattern Anal. Mach. Intell. 6, 721 (1984)), and all that was met is put in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import REGION_TAG, Floats, Space
from htinvert.generators.operators.columns import FoundColumns
from htinvert.geometry.distances import covalent_distances, distances, limits

NOISE = 0.07  # of an intensity, relative: models and thermal motion are not known better
LAYER = 0.3  # Å: heights of the host that are nearer are one
BOND = 1.25  # of a covalent sum, up to which two atoms are neighbors
SHORT = 0.85  # of it, below which they are too close
BOUND, FOREIGN, CLASH = 1.0, -2.0, -8.0  # log chance of a known neighbor, of an unknown, too close
CUTOFF = 4.5  # Å, beyond any bond
CHAINS, SWEEPS = 128, 150  # from hot to cold
HOT, WARM, COLD = 6.0, 2.0, 0.7  # temperatures of a log chance; what is met from WARM on counts
CHANGED = 50  # of the likeliest contents, of which each column is changed, too
FARTHEST = 15.0  # log chance below the likeliest, beyond which nothing is proposed

Content = tuple[str, float]
"""Element, and height along the column [Å]; no element where a column is empty."""


@dataclass(frozen=True, eq=False)
class Chances:
    """Log chances of what columns hold.

    Attributes:
        contents: what one column may hold, the first being nothing.
        alone: of each column's contents, shape (columns, contents).
        pairs: of two columns' contents, shape (columns, columns, contents, contents).
    """

    contents: Sequence[Content]
    alone: Floats
    pairs: Floats


def chances_of(
    columns: FoundColumns, space: Space, host: Atoms, *, worth: dict[str, float]
) -> Chances:
    """Log chances of all contents; ``worth`` is what an atom counts, by element."""
    contents: list[Content] = [("", 0.0)]
    contents += [(s, h) for s in worth for h in layers(host, columns.along)]
    expected = np.array([worth.get(symbol, 0.0) for symbol, _ in contents])
    noise = np.hypot(columns.noise, NOISE * expected)
    off = (columns.intensities[:, None] - expected) / noise
    alone = -0.5 * off**2 - np.log(noise)
    symbols = [symbol for symbol, _ in contents[1:]]
    known = neighbors_of(host, [s for s, (_, most) in space.composition.items() if most])
    count, names = len(columns.places), host.get_chemical_symbols()
    places = np.array([[_at(p, h, columns.along) for _, h in contents[1:]] for p in columns.places])
    pairs = np.zeros((count, count, len(contents), len(contents)))
    for i in range(count):
        if names:
            gaps = distances(places[i], host, cutoff=CUTOFF).min(axis=2)
            alone[i, 1:] += _neighborly(gaps, symbols, names, known).sum(axis=1)
        for j in range(i):
            other = Atoms(symbols, places[j], cell=host.cell, pbc=host.pbc)
            gaps = distances(places[i], other, cutoff=CUTOFF).min(axis=2)
            pairs[i, j, 1:, 1:] = _neighborly(gaps, symbols, symbols, known)
            pairs[j, i] = pairs[i, j].T
    return Chances(contents, alone, pairs)


def likeliest(
    chances: Chances, space: Space, *, rng: np.random.Generator
) -> list[tuple[float, tuple[int, ...]]]:
    """Log chance and contents of all columns, the likeliest first, as the composition allows."""
    count, options = chances.alone.shape
    symbols = list(space.composition)
    kinds = np.array([-1, *(symbols.index(s) for s, _ in chances.contents[1:])])
    bounds = np.array([space.composition[s] for s in symbols])
    every = np.arange(count)
    states = rng.integers(0, options, (CHAINS, count))
    met = []
    for heat in np.geomspace(HOT, COLD, SWEEPS):
        for i in rng.permutation(count):
            chance = chances.alone[i] + chances.pairs[every, i, states].sum(axis=1)
            chance -= _beyond(states, i, kinds, bounds)
            heights = np.exp((chance - chance.max(axis=1, keepdims=True)) / heat).cumsum(axis=1)
            states[:, i] = (rng.random((CHAINS, 1)) * heights[:, -1:] > heights).sum(axis=1)
        if heat < WARM:
            met.append(states.copy())
    best = _ordered(np.concatenate(met), chances)[1][:CHANGED]
    changed = np.repeat(best, count * options, axis=0).reshape(len(best), count, options, count)
    changed[:, every, :, every] = np.arange(options)
    values, found = _ordered(np.concatenate([*met, changed.reshape(-1, count)]), chances)
    fits = _fit(kinds[found], bounds)
    values, found = values[fits], found[fits]
    near = values >= values.max(initial=-np.inf) - FARTHEST
    return [
        (float(value), tuple(map(int, state)))
        for value, state in zip(values[near], found[near], strict=True)
    ]


def _ordered(states: NDArray[np.int_], chances: Chances) -> tuple[Floats, NDArray[np.int_]]:
    """Log chances of states, shape (n, columns), and these, each once, the likeliest first."""
    states = np.unique(states, axis=0)
    every = np.arange(states.shape[1])
    values = chances.alone[every, states].sum(axis=1)
    for i in every:
        rest = every[i + 1 :]
        values += chances.pairs[i, rest, states[:, [i]], states[:, rest]].sum(axis=1)
    order = np.argsort(-values, kind="stable")
    return values[order], states[order]


def built(columns: FoundColumns, held: Sequence[Content], host: Atoms) -> Atoms:
    """The host with what each column holds."""
    child = host.copy()
    for place, (symbol, height) in zip(columns.places, held, strict=True):
        if symbol:
            child += Atoms(symbol, [_at(place, height, columns.along)], tags=[REGION_TAG])
    return child


def layers(host: Atoms, along: Floats) -> list[float]:
    """Heights along a column [Å] at which a host has atoms; 0 without one."""
    length = float(np.linalg.norm(along))
    found: list[float] = []
    for height in np.sort(host.positions @ (along / length) % length):
        apart = [(height - other) % length for other in found]
        if all(min(gap, length - gap) > LAYER for gap in apart):
            found.append(float(height))
    return found or [0.0]


def neighbors_of(host: Atoms, symbols: Sequence[str]) -> set[frozenset[str]]:
    """Pairs of elements that are neighbors in a host; all pairs of one that the host lacks."""
    names = host.get_chemical_symbols()
    every = {frozenset((a, b)) for a in symbols for b in {*symbols, *names}}
    if len(host) < 2:
        return every
    gaps = distances(host.positions, host, cutoff=CUTOFF)
    gaps = np.where(gaps < 0.1, np.inf, gaps).min(axis=2)
    bond = limits(names, names, covalent_distances(names, ratio=1.0))
    found = {frozenset((names[i], names[j])) for i, j in np.argwhere(gaps < BOND * bond)}
    new = set(symbols) - set(names)
    return found | {pair for pair in every if pair & new} if found else every


def _neighborly(
    gaps: Floats, first: Sequence[str], second: Sequence[str], known: set[frozenset[str]]
) -> Floats:
    """Log chance of pairs by their distances [Å], shape (m, n)."""
    bond = limits(list(first), list(second), covalent_distances({*first, *second}, ratio=1.0))
    usual = np.array([[frozenset((a, b)) in known for b in second] for a in first])
    near = np.where(gaps < BOND * bond, np.where(usual, BOUND, FOREIGN), 0.0)
    return np.where(gaps < SHORT * bond, CLASH, near)


def _fit(kinds: NDArray[np.int_], bounds: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which states, by their elements of shape (n, columns), the composition allows."""
    counts = (kinds[:, :, None] == np.arange(len(bounds))).sum(axis=1)
    return np.asarray(((counts >= bounds[:, 0]) & (counts <= bounds[:, 1])).all(axis=1))


def _beyond(
    states: NDArray[np.int_], i: int, kinds: NDArray[np.int_], bounds: NDArray[np.int_]
) -> Floats:
    """Log chance that each content of a column costs by leaving the composition, (n, contents)."""
    held = kinds[states]
    held[:, i] = -1
    counts = (held[:, :, None] == np.arange(len(bounds))).sum(axis=1)
    low, high = bounds.T
    missing = np.maximum(low - counts, 0).sum(axis=1) + np.maximum(counts - high, 0).sum(axis=1)
    gains = np.where(counts < low, -1, np.where(counts >= high, 1, 0))
    own = np.where(kinds < 0, 0, gains[:, kinds])
    return np.asarray(-CLASH * (missing[:, None] + own), dtype=float)


def _at(place: Floats, height: float, along: Floats) -> Floats:
    unit = along / np.linalg.norm(along)
    return np.asarray(place + (height - place @ unit) * unit)
