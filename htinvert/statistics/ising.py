"""Monte Carlo of two species on a grid: heat bath, and exchange at fixed composition.

E / kT = - sum over shells k of J_k times the sum over pairs of s s' - h sum of s, with s = ±1.
Positive J favors like neighbors. Spins of 0 are no sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats
from htinvert.forward.pdf.pairs import compiled

Spins = NDArray[np.int8]


def table(offsets: Sequence[NDArray[np.int_]], couplings: Floats) -> tuple[Any, Floats]:
    """Offsets (z, 2) of all shells, and the coupling of each, shape (z,)."""
    counts = [len(shell) for shell in offsets]
    return np.concatenate(offsets), np.repeat(np.asarray(couplings, dtype=float), counts)


def heat_bath(
    spins: Spins,
    field: Floats,
    offsets: Sequence[NDArray[np.int_]],
    couplings: Floats,
    *,
    sweeps: int,
    rng: np.random.Generator,
) -> None:
    """Draw every spin anew from its neighbors, ``sweeps`` times, in place.

    ``field`` is h, with what data say of the site, shape as ``spins``. The outermost rows and
    columns, as many as offsets reach, must be 0: they are not visited.
    """
    steps, strengths = table(offsets, couplings)
    for _ in range(sweeps):
        compiled(_sweep)(spins, field, steps, strengths, int(np.abs(steps).max()),
                         rng.random(spins.shape, dtype=np.float32))  # fmt: skip


def _sweep(spins: Any, field: Any, steps: Any, strengths: Any, margin: Any, chances: Any) -> None:
    for i in range(margin, spins.shape[0] - margin):
        for j in range(margin, spins.shape[1] - margin):
            if spins[i, j] == 0:
                continue
            total = field[i, j]
            for k in range(len(strengths)):
                total += strengths[k] * spins[i + steps[k, 0], j + steps[k, 1]]
            spins[i, j] = 1 if chances[i, j] * (1.0 + np.exp(-2.0 * total)) < 1.0 else -1


def exchange(
    spins: Spins,
    offsets: Sequence[NDArray[np.int_]],
    couplings: Floats,
    *,
    sweeps: int,
    rng: np.random.Generator,
) -> None:
    """Exchange unlike spins anywhere on a periodic grid (Metropolis), in place."""
    steps, strengths = table(offsets, couplings)
    for _ in range(sweeps):
        compiled(_exchange)(spins, steps, strengths, rng.random((spins.size, 5)))


def _exchange(spins: Any, steps: Any, strengths: Any, chances: Any) -> None:
    ny, nx = spins.shape
    for attempt in range(len(chances)):
        a, b = int(chances[attempt, 0] * ny), int(chances[attempt, 1] * nx)
        c, d = int(chances[attempt, 2] * ny), int(chances[attempt, 3] * nx)
        if spins[a, b] == spins[c, d]:
            continue
        cost = 0.0
        for k in range(len(strengths)):
            cost += strengths[k] * spins[(a + steps[k, 0]) % ny, (b + steps[k, 1]) % nx]
        cost *= 2.0 * spins[a, b]
        spins[a, b] = -spins[a, b]
        other = 0.0
        for k in range(len(strengths)):
            other += strengths[k] * spins[(c + steps[k, 0]) % ny, (d + steps[k, 1]) % nx]
        cost += 2.0 * spins[c, d] * other
        if cost <= 0.0 or chances[attempt, 4] < np.exp(-cost):
            spins[c, d] = -spins[c, d]
        else:
            spins[a, b] = -spins[a, b]


def neighbor_sums(spins: Spins, offsets: Sequence[NDArray[np.int_]]) -> NDArray[np.float32]:
    """Sum of the spins of each shell, shape (shells, i, j); beyond the grid there are none."""
    margin = max(int(np.abs(shell).max()) for shell in offsets)
    padded = np.pad(spins, margin)
    ny, nx = spins.shape
    found = np.zeros((len(offsets), ny, nx), dtype=np.float32)
    for total, shell in zip(found, offsets, strict=True):
        for i, j in shell:
            total += padded[margin + i : margin + i + ny, margin + j : margin + j + nx]
    return found
