"""Monte Carlo of two species on a grid: heat bath, and exchange at fixed composition.

E / kT = - sum over clusters c of J_c times the product of its members' s - h sum of s, s = ±1.
Positive J of a pair favors like neighbors. Spins of 0 are no sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.forward.pdf.pairs import compiled
from htinvert.statistics.clusters import Cluster, reach

Spins = NDArray[np.int8]


def table(interacting: Sequence[Cluster], couplings: Floats) -> tuple[Any, Any, Floats]:
    """All placements around a site: offsets (z, others, 2), how many count, coupling, each (z,)."""
    widest = max(cluster.shape[1] for cluster in interacting)
    counts = [len(cluster) for cluster in interacting]
    steps = np.zeros((sum(counts), widest, 2), dtype=int)
    for cluster, end in zip(interacting, np.cumsum(counts), strict=True):
        steps[end - len(cluster) : end, : cluster.shape[1]] = cluster
    others = np.repeat([cluster.shape[1] for cluster in interacting], counts)
    return steps, others, np.repeat(np.asarray(couplings, dtype=float), counts)


def heat_bath(
    spins: Spins,
    field: Floats,
    interacting: Sequence[Cluster],
    couplings: Floats,
    *,
    sweeps: int,
    rng: np.random.Generator,
) -> None:
    """Draw every spin anew from its neighbors, ``sweeps`` times, in place.

    ``field`` is h, with what data say of the site, shape as ``spins``. The outermost rows and
    columns, as many as clusters reach, must be 0: they are not visited.
    """
    steps, others, strengths = table(interacting, couplings)
    for _ in range(sweeps):
        compiled(_sweep)(spins, field, steps, others, strengths, reach(interacting),
                         rng.random(spins.shape, dtype=np.float32))  # fmt: skip


def _sweep(
    spins: Any, field: Any, steps: Any, others: Any, strengths: Any, margin: Any, chances: Any
) -> None:
    for i in range(margin, spins.shape[0] - margin):
        for j in range(margin, spins.shape[1] - margin):
            if spins[i, j] == 0:
                continue
            total = field[i, j]
            for k in range(len(strengths)):
                product = strengths[k]
                for m in range(others[k]):
                    product *= spins[i + steps[k, m, 0], j + steps[k, m, 1]]
                total += product
            spins[i, j] = 1 if chances[i, j] * (1.0 + np.exp(-2.0 * total)) < 1.0 else -1


def exchange(
    spins: Spins,
    interacting: Sequence[Cluster],
    couplings: Floats,
    *,
    sweeps: int,
    rng: np.random.Generator,
) -> Floats:
    """Exchange unlike spins anywhere on a periodic grid (Metropolis), in place.

    Returns by how much each sweep changed E / kT, shape (sweeps,).
    """
    steps, others, strengths = table(interacting, couplings)
    changes = np.zeros(sweeps)
    for turn in range(sweeps):
        chances = rng.random((spins.size, 5))
        changes[turn] = compiled(_exchange)(spins, steps, others, strengths, chances)
    return changes


def _exchange(spins: Any, steps: Any, others: Any, strengths: Any, chances: Any) -> Any:
    ny, nx = spins.shape
    change = 0.0
    for attempt in range(len(chances)):
        a, b = int(chances[attempt, 0] * ny), int(chances[attempt, 1] * nx)
        c, d = int(chances[attempt, 2] * ny), int(chances[attempt, 3] * nx)
        if spins[a, b] == spins[c, d]:
            continue
        cost = 0.0
        for i, j in ((a, b), (c, d)):  # the second feels the first one changed
            felt = 0.0
            for k in range(len(strengths)):
                product = strengths[k]
                for m in range(others[k]):
                    p, q = i + steps[k, m, 0], j + steps[k, m, 1]
                    p, q = p + ny * (p < 0) - ny * (p >= ny), q + nx * (q < 0) - nx * (q >= nx)
                    product *= spins[p, q]
                felt += product
            cost += 2.0 * spins[i, j] * felt
            spins[i, j] = -spins[i, j]
        if cost > 0.0 and chances[attempt, 4] >= np.exp(-cost):
            spins[a, b], spins[c, d] = -spins[a, b], -spins[c, d]
        else:
            change += cost
    return change
