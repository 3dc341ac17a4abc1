"""How a cost of G(r) changes with positions: each step of the simulation, backwards.

The cost's slope at every point of r goes back through the transforms to one slope per bin of
distance, which every pair reads at its own distance, so that a gradient costs two simulations
however many atoms there are (reverse accumulation: Griewank & Walther, *Evaluating Derivatives*,
2nd ed. (2008), chapter 3). It is exact for the histogram that is counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from scipy import fft

from htinvert.core import Floats
from htinvert.forward.pdf import pairs
from htinvert.forward.pdf.transform import WIDEST, Radial, widths


def from_r(slope: Floats, grid: Radial, count: int) -> Floats:
    """Slope by F at the first Q, shape (count,), of one by G(r) at the points that are shown."""
    spread = np.zeros(grid.every * (len(slope) - 1) + 1)
    spread[:: grid.every] = slope
    found = fft.rfft(spread, n=grid.size)[:count]
    turned = np.exp(1j * grid.q(count) * grid.origin) * np.conj(found)
    return np.asarray(2 / np.pi * grid.q_step * turned.imag)


def from_q(slope: Floats, grid: Radial) -> Floats:
    """Slope by a function of r, shape (..., size // 2), of one by its F(Q), shape (..., count)."""
    values = fft.irfft(-1j * slope, n=grid.size, axis=-1) * grid.size / 2
    return np.asarray(grid.step * values[..., : grid.size // 2])


def from_values(
    slope: Floats, variance: float, motion: tuple[float, float, float], zoom: float, grid: Radial,
    *, bins: int,
) -> Floats:  # fmt: skip
    """Slope by pairs per bin, shape (bins,), of one by their Gaussians, shape (size // 2,)."""
    r, sigma = widths(bins, variance, motion, zoom)
    found = np.zeros(bins)
    pairs.compiled(_gather)(slope, r, sigma, grid.step, found)
    return found


def by_position(atoms: Atoms, slope: Floats, reach: float) -> Floats:
    """Slope by positions [1/Å], shape (n, 3), of one by pairs per bin, shape (rows, bins).

    ``reach`` [Å] is that to which pairs were counted.
    """
    symbols, kinds = pairs.kinds_of(atoms)
    points, owners = pairs.images(atoms, reach)
    out = np.zeros((len(atoms), 3))
    table = pairs.rows(len(symbols))
    pairs.compiled(_pull)(points, owners, kinds, table, np.ascontiguousarray(slope), reach, out)
    return out


def _gather(values: Any, r: Any, sigma: Any, step: Any, out: Any) -> None:
    """Sum values under a Gaussian around each distance (compiled)."""
    for k in range(len(out)):
        s = sigma[k]
        first = max(int((r[k] - WIDEST * s) / step) + 1, 0)
        last = min(int((r[k] + WIDEST * s) / step) + 1, len(values))
        x = first * step - r[k]
        height = np.exp(-0.5 * (x / s) ** 2) / (s * np.sqrt(2 * np.pi))
        ratio = np.exp(-(x * step + 0.5 * step * step) / (s * s))
        change = np.exp(-((step / s) ** 2))
        found = 0.0
        for i in range(first, last):
            found += height * values[i]
            height *= ratio
            ratio *= change
        out[k] = found


def _pull(
    points: Any, owners: Any, kinds: Any, table: Any, slope: Any, reach: Any, out: Any
) -> None:
    """Add what each ordered pair's distance changes to both of its atoms (compiled)."""
    width = pairs.BIN
    for i in range(len(out)):
        for j in range(len(points)):
            if j == i:
                continue
            u = points[i, 0] - points[j, 0]
            v = points[i, 1] - points[j, 1]
            w = points[i, 2] - points[j, 2]
            distance = np.sqrt(u * u + v * v + w * w)
            if distance >= reach or distance == 0.0:
                continue
            row = slope[table[kinds[i], kinds[owners[j]]]]
            k = max(int(distance / width), 1)
            t = distance / width - k
            a, b, c, d = row[k - 1], row[k], row[k + 1], row[k + 2]
            change = -a * (3 * t * t - 6 * t + 2) / 6 + b * (3 * t * t - 4 * t - 1) / 2
            change += -c * (3 * t * t - 2 * t - 2) / 2 + d * (3 * t * t - 1) / 6
            change /= width * distance
            o = owners[j]
            out[i, 0] += change * u
            out[i, 1] += change * v
            out[i, 2] += change * w
            out[o, 0] -= change * u
            out[o, 1] -= change * v
            out[o, 2] -= change * w
