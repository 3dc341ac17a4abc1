"""What a cost is to be read between: the floor that noise sets, null models, repeats.

A figure of merit has no zero and no end of its own. Beside it stand what structures score that
know nothing (atoms put at random, the start structure as given) and what a perfect structure would
score in data with this noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from htinvert.core import EvaluationFailed, Floats, Metric, Region, Signal, Space, UserError
from htinvert.generators.random import Random
from htinvert.geometry.distances import covalent_distances
from htinvert.geometry.roles import region_mask
from htinvert.signals.kind import Repeating
from htinvert.signals.seen import Seen

SCRAMBLES = 12
NOISES = 8
SCATTERS = 20
SMOOTHED = 0.02  # white noise, relative to the contrast, that no recorded image is below


@dataclass(frozen=True)
class Bounds:
    """What a metric's cost is to be read between, each with its standard deviation.

    Attributes:
        floor: of a perfect structure under the data's white noise; lower than anything real.
        repeat: of an image against its own nearest lattice repeat, None where it has none.
        start: of the start structure as given, two perfect grains as a rule; None where unknown.
        scrambled: of the same atoms at random places in the region; empty where there is no room.
        noise: standard deviation of the white noise, relative to the spread of the data.
    """

    floor: tuple[float, float]
    repeat: float | None
    start: float | None
    scrambled: tuple[float, ...]
    noise: float


def bounds(
    metric: Metric,
    found: Seen,
    *,
    region: Region | None,
    start: Atoms | None = None,
    seed: int = 1,
) -> Bounds:
    """What a family's cost by a metric is to be read between."""
    observed, kind = found.channel.observed, found.kind
    noise = kind.noise(observed) or 0.0
    costs = _noisy_costs(metric, found, noise, np.random.default_rng(seed), NOISES)
    repeat = kind.repeat_cost(metric, observed) if isinstance(kind, Repeating) else None
    return Bounds(
        floor=(float(np.mean(costs)), float(np.std(costs))),
        repeat=repeat,
        start=None if start is None else _cost(metric, found, start),
        scrambled=scrambled_costs(metric, found, region, seed=seed),
        noise=noise / max(float(np.nanstd(observed.data)), 1e-12),
    )


def scrambled_costs(
    metric: Metric, found: Seen, region: Region | None, *, seed: int = 1
) -> tuple[float, ...]:
    """Costs of structures with the same atoms at random places in the region."""
    atoms = found.atoms
    inside = atoms.symbols[region_mask(atoms)]
    counts = {symbol: int((inside == symbol).sum()) for symbol in sorted(set(inside))}
    space = Space(
        atoms,
        region,
        {symbol: (count, count) for symbol, count in counts.items()},
        covalent_distances(atoms.get_chemical_symbols()),
    )
    costs = []
    for candidate in Random(space, (), seed).ask(range(SCRAMBLES)):
        cost = _cost(metric, found, candidate.atoms)
        if cost is not None:
            costs.append(cost)
    return tuple(costs)


def _cost(metric: Metric, found: Seen, atoms: Atoms) -> float | None:
    """Cost of another structure with the same fitted model, None where it cannot be simulated.

    An empty box cannot, nor what a model refuses: one atom has no G(r), a slab neither.
    """
    if not len(atoms):
        return None
    try:
        return float(metric(found.forward(atoms), found.channel.observed).cost)
    except (EvaluationFailed, UserError):
        return None


def _like(data: Floats, found: Seen) -> Signal:
    """Data on the axes of a simulation."""
    return Signal(np.ascontiguousarray(data, dtype=np.float32), found.simulated.axes)


def scatter(metric: Metric, found: Seen, *, seed: int = 1) -> tuple[float, float] | None:
    """Standard deviation of a cost under the data's noise, and the noise over the data's spread.

    That of a perfect structure in this window. Noise that is less than :data:`SMOOTHED` is taken
    for that, for such data were smoothed. None where the kind of data does not tell its noise.
    """
    observed = found.channel.observed
    noise, spread = found.kind.noise(observed), float(np.nanstd(observed.data))
    if noise is None or not spread > 0.0:
        return None
    noise = max(noise, SMOOTHED * spread)
    costs = _noisy_costs(metric, found, noise, np.random.default_rng(seed), SCATTERS)
    return float(np.std(costs, ddof=1)), noise / spread


def _noisy_costs(
    metric: Metric, found: Seen, noise: float, rng: np.random.Generator, count: int
) -> list[float]:
    """Costs of a perfect structure in this many draws of white noise."""
    clean = found.placed.matched
    draws = (clean + rng.normal(0.0, max(noise, 1e-12), clean.shape) for _ in range(count))
    return [metric(_like(clean, found), _like(noisy, found)).cost for noisy in draws]
