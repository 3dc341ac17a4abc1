"""Short-range order of occupations, and what interactions predict at other temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from htinvert.core import Floats
from htinvert.statistics.clusters import Cluster, around, clusters, reach
from htinvert.statistics.ising import Spins, exchange

SHELLS = 6  # whose order is told
SIDE = 48  # sites along a simulated cell, a multiple of all orders' periods up to 4, and of 6
SETTLE, COUNT = 150, 400  # sweeps at each temperature
APART = 10  # sweeps between two looks at the order
TEMPERATURES = (0.2, 5.0, 21)  # lowest, highest and number, over that of the images
BLOCK = 8  # sites along a block, of which errors are taken
PEAK = 1.15  # how far a heat capacity's maximum stands above both ends, to be a transition


@dataclass(frozen=True, eq=False)
class ShortRangeOrder:
    """Warren and Cowley's parameters of shells, with standard errors; each of shape (k,).

    alpha = 1 - P(unlike neighbor) / its chance: negative where unlike neighbors are favored
    (J. M. Cowley, Phys. Rev. 77, 669 (1950)).
    """

    alpha: Floats
    error: Floats


def short_range_order(
    images: Sequence[Spins], lattice: str, count: int = SHELLS
) -> ShortRangeOrder:
    """Order of sites with spins ±1 (0: no site), each image about its own composition."""
    pairs = clusters(lattice, count)
    above, below = [], []
    for spins in images:
        there = spins != 0
        mean = float(spins[there].mean())
        left = np.where(there, spins - mean, 0.0)
        known = around(there.astype(np.int8), pairs)
        above.append(_blocks(left * (around(spins, pairs) - mean * known)))
        below.append(_blocks(known * there * (1.0 - mean**2)))
    top, bottom = np.concatenate(above, axis=1), np.concatenate(below, axis=1)
    total = bottom.sum(axis=1)
    alpha = top.sum(axis=1) / total
    spread = ((top - alpha[:, None] * bottom) ** 2).sum(axis=1)
    return ShortRangeOrder(alpha, np.sqrt(spread) / total)


def _blocks(values: Floats) -> Floats:
    """Sums over blocks, shape (k, blocks)."""
    _, ny, nx = values.shape
    padded = np.pad(values, ((0, 0), (0, -ny % BLOCK), (0, -nx % BLOCK)))
    cut = padded.reshape(len(values), padded.shape[1] // BLOCK, BLOCK, -1, BLOCK)
    return np.asarray(cut.sum(axis=(2, 4)).reshape(len(values), -1))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What interactions make of one composition, over temperatures; each of shape (t,).

    Attributes:
        temperature: over that of the images.
        order: root of the structure factor's highest peak over that of perfect order, 0 to 1.
        heat_capacity: per site, in Boltzmann's constant.
        alpha: of the first shell.
        transition: temperature of the heat capacity's maximum; nan where there is none.
        at_images: order of the shells at the images' own temperature, to be compared.
    """

    temperature: Floats
    order: Floats
    heat_capacity: Floats
    alpha: Floats
    transition: float
    at_images: Floats


def predict(
    lattice: str,
    couplings: Floats,
    *,
    fraction: float,
    larger: Sequence[str] = (),
    seed: int = 0,
    side: int = SIDE,
) -> Prediction:
    """Cool a cell of fixed composition by Monte Carlo, from five times the images' temperature.

    Args:
        lattice: ``square`` or ``hexagonal``.
        couplings: J / kT of each shell, then of each larger cluster, at the temperature at which
            the images were frozen.
        fraction: of the second species.
        larger: names of the clusters of more than two sites.
        seed: of the random numbers.
        side: sites along the periodic cell.
    """
    rng = np.random.default_rng(seed)
    interacting = clusters(lattice, len(couplings) - len(larger), larger)
    row = np.full(side * side, -1, dtype=np.int8)
    row[: round(fraction * side * side)] = 1
    spins = rng.permutation(row).reshape(side, side)
    low, high, number = TEMPERATURES
    ladder = np.unique(np.r_[np.geomspace(low, high, number), 1.0])[::-1]
    rows = []
    frozen = np.zeros(SHELLS)
    for temperature in ladder:
        order, heat, alpha = _at(spins, interacting, couplings / temperature, lattice, rng)
        rows.append((temperature, order, heat, alpha[0]))
        if temperature == 1.0:
            frozen = alpha
    table = np.array(rows)[::-1].T
    return Prediction(table[0], table[1], table[2], table[3], _transition(table), frozen)


def _at(
    spins: Spins,
    interacting: Sequence[Cluster],
    couplings: Floats,
    lattice: str,
    rng: np.random.Generator,
) -> tuple[float, float, Floats]:
    """Order, heat capacity per site, and order of the shells of a cell at one temperature."""
    exchange(spins, interacting, couplings, sweeps=SETTLE, rng=rng)
    changes, alphas = [], []
    power = np.zeros(spins.shape)
    every = clusters(lattice, SHELLS)
    mean = float(spins.mean())
    for _ in range(COUNT // APART):
        changes.append(exchange(spins, interacting, couplings, sweeps=APART, rng=rng))
        seen = _products(spins, every) / [len(shell) for shell in every]
        alphas.append((seen - mean**2) / (1.0 - mean**2))
        power += np.abs(np.fft.fft2(spins - mean)) ** 2
    peak = float(np.sqrt(power.max() / len(alphas))) / spins.size
    heat = float(np.var(np.cumsum(changes))) / spins.size
    return peak, heat, np.asarray(np.mean(alphas, axis=0))


def _products(spins: Spins, interacting: Sequence[Cluster]) -> Floats:
    """What a site of a periodic cell adds up with its neighbors, on average, shape (clusters,)."""
    margin = reach(interacting)
    padded = np.pad(spins, margin, mode="wrap")
    inner = (slice(None), *[slice(margin, margin + side) for side in spins.shape])
    return np.asarray((spins * around(padded, interacting)[inner]).mean(axis=(1, 2)), dtype=float)


def _transition(table: Floats) -> float:
    """Temperature of the heat capacity's maximum, if the cell is ordered below it and not above."""
    temperature, order, heat, _ = table
    best = int(heat.argmax())
    inside = 0 < best < len(heat) - 1 and heat[best] > PEAK * max(heat[0], heat[-1])
    if not inside or order[: best + 1].max() < 0.4 or order[best + 1 :].min() > 0.4:
        return float("nan")
    return float(temperature[best])
