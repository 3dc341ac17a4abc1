"""What speaks for each of the best families: pieces of their data, and errors of the engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from htinvert.core import Floats, Metric, Objective, weighted_sum
from htinvert.energy.accuracy import Accuracy
from htinvert.geometry.distances import MANY_PAIRS, near_pairs
from htinvert.geometry.roles import frozen_mask
from htinvert.metrics.likelihood import Likelihood, is_likely
from htinvert.ranking.confidence import Evidence, energy_weight
from htinvert.ranking.positions import misplaced, with_error
from htinvert.ranking.rank import Ranked
from htinvert.signals.seen import Seen

Places = NDArray[np.int64]

SAME_SITE = 0.4  # Å
BONDED = 1.25  # of the sum of covalent radii
RATTLES, FEWEST_RATTLES = 8, 4  # draws that tell what misplaced atoms cost; fewer for images
RATTLED_PIXELS = 200**2  # that are larger than this


def gather(
    ranked: Sequence[Ranked],
    seen_of: Sequence[dict[str, Seen]],
    objectives: Sequence[Objective],
    *,
    engine: Accuracy,
    nats: bool | None = None,
) -> Evidence:
    """What speaks for families whose signals, per channel, have been simulated again.

    ``nats`` says whether the objectives are some of a sum of log-likelihoods; as they look if None.
    """
    nats = is_likely(objectives) if nats is None else nats
    values = [entry.evaluation.objectives for entry in ranked]
    structures = [entry.evaluation.atoms for entry in ranked]
    sites = [] if nats else shared_sites(structures)
    errors: dict[str, Floats] = {}
    if not nats:
        per_energy = [
            energy_weight(objectives, atoms, found)
            for atoms, found in zip(structures, values, strict=True)
        ]
        errors["energy"] = engine.energy * surroundings(structures, sites) * per_energy
    windows, off = {}, {}
    aims = {objective.name: objective for objective in objectives}
    for objective in objectives:
        channel, _, metric = objective.name.partition(".")
        if not metric or channel not in seen_of[0]:
            continue
        seen = [each[channel] for each in seen_of]
        chosen = seen[0].channel.metrics[metric]
        costs = [found[objective.name] for found in values]
        pieces = seen[0].pieces(chosen)  # the same of all families, for they are compared in pairs
        windows[objective.name] = np.array(
            [each.piece_costs(chosen, pieces, cost) for each, cost in zip(seen, costs, strict=True)]
        )
        if isinstance(objective.likelihood, Likelihood):
            best = float(objective.likelihood.misfit(min(costs)))
            error = misplaced(objective, seen[0], engine.position, best=best)
            off[objective.name], aims[objective.name] = error, with_error(objective, error)
        elif not nats:
            moved = objective.weight * rattled(seen, sites, chosen, engine.position)
            errors["position"] = np.concatenate([errors.get("position", moved[:0]), moved])
    totals = np.array([weighted_sum(found, aims.values()) for found in values])
    return Evidence(totals, windows, errors, aims, nats, off)


def shared_sites(structures: Sequence[Atoms]) -> list[Places]:
    """Numbers of the sites that atoms are at, one array per structure.

    Atoms of two structures, of one element and within 0.4 Å (and periodic images), are at one site.
    """
    known = structures[0][:0]
    found = []
    for atoms in structures:
        numbers = np.full(len(atoms), -1)
        if len(known):
            match = _matched_many if len(atoms) * len(known) > MANY_PAIRS else _matched
            for row, column in match(atoms, known):
                numbers[row] = column
        new = np.flatnonzero(numbers < 0)
        numbers[new] = len(known) + np.arange(len(new))
        known += atoms[new]
        found.append(numbers)
    return found


def _matched(atoms: Atoms, known: Atoms) -> list[tuple[int, int]]:
    """Pairs of an atom and a site of its element within 0.4 Å, the sum of all gaps smallest."""
    gaps = get_distances(atoms.positions, known.positions, cell=atoms.cell, pbc=atoms.pbc)[1]
    gaps[atoms.numbers[:, None] != known.numbers] = np.inf
    pairs = zip(*linear_sum_assignment(np.minimum(gaps, 10.0)), strict=True)
    return [(row, column) for row, column in pairs if gaps[row, column] <= SAME_SITE]


def _matched_many(atoms: Atoms, known: Atoms) -> list[tuple[int, int]]:
    """The same for thousands of atoms, of whom each takes the nearest site that is left."""
    both = atoms[:]
    both += known
    some = np.arange(len(atoms))
    first, second, apart = near_pairs(both, cutoff=SAME_SITE, chosen=some)
    like = (second >= len(atoms)) & (both.numbers[first] == both.numbers[second])
    first, second, apart = first[like], second[like] - len(atoms), apart[like]
    taken: dict[int, int] = {}
    used: set[int] = set()
    for k in np.argsort(apart, kind="stable"):
        row, column = int(first[k]), int(second[k])
        if row not in taken and column not in used:
            taken[row] = column
            used.add(column)
    return list(taken.items())


def surroundings(structures: Sequence[Atoms], sites: Sequence[Places]) -> Floats:
    """Which structure has which atom in which surroundings: 1 or 0, shape (kinds, structures).

    An atom is of one kind with another at the same site that is bonded to the same sites.
    """
    kinds: dict[tuple[int, frozenset[int]], int] = {}
    entries = []
    for column, (atoms, numbers) in enumerate(zip(structures, sites, strict=True)):
        cutoffs = BONDED * np.asarray(covalent_radii)[atoms.numbers]
        bonded: list[set[int]] = [set() for _ in numbers]
        for i, j in zip(*neighbor_list("ij", atoms, cutoffs), strict=True):
            bonded[i].add(int(numbers[j]))
        for number, others in zip(numbers, bonded, strict=True):
            kind = kinds.setdefault((int(number), frozenset(others)), len(kinds))
            entries.append((kind, column))
    found = np.zeros((len(kinds), len(structures)))
    found[tuple(np.array(entries).T)] = 1.0
    return found[~found.all(axis=1)]


def rattled(
    seen: Sequence[Seen],
    sites: Sequence[Places],
    metric: Metric,
    distance: float,
    *,
    seed: int = 1,
) -> Floats:
    """What misplaced atoms do to costs: one factor per draw, shape (draws, families).

    Atoms that may move are put ``distance`` [Å] off along each axis, those at one site by the same.
    A signal stays where it is: a jump to another repeat of the lattice is no error of an atom.
    """
    rng = np.random.default_rng(seed)
    most = 1 + max(int(numbers.max()) for numbers in sites)
    pixels = seen[0].channel.observed.data.size
    draws = int(np.clip(RATTLES * RATTLED_PIXELS / pixels, FEWEST_RATTLES, RATTLES))
    costs = np.empty((draws, len(seen)))
    for row in costs:
        moves = rng.normal(0.0, distance, (most, 3))
        for place, (found, numbers) in enumerate(zip(seen, sites, strict=True)):
            atoms = found.atoms.copy()
            moving = ~frozen_mask(atoms)
            atoms.positions[moving] += moves[numbers[moving]]
            row[place] = np.nanmean(found.shares(metric, found.forward(atoms)))
    return np.asarray((costs - costs.mean(axis=0)) / np.sqrt(draws - 1))
