"""F(Q), S(Q) and I(Q) from the same function of r that G(r) is made of.

``F = Q (S - 1)`` and ``I = <f^2> + <f>^2 (S - 1)`` per atom, Faber and Ziman's S: D. A. Keen,
J. Appl. Cryst. 34, 172 (2001).
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Axis, Floats
from htinvert.forward.pdf.transform import FINEST, Radial
from htinvert.forward.pdf.weights import factors, pair_weights

QUANTITIES = {
    "G": ("r", "Å", "G [Å⁻²]"),
    "F": ("Q", "1/Å", "F [1/Å]"),
    "S": ("Q", "1/Å", "S"),
    "I": ("Q", "1/Å", "I"),
}
"""What can be simulated: its axis, the axis's unit, and what the values are called."""


def grid_for(axis: Axis, count: int, longest: float) -> Radial:
    """Steps of r [Å] whose transform holds every point of an axis of Q, for r to ``longest``."""
    every = max(int(np.ceil(axis.step * longest / np.pi)), 1)
    size = fft.next_fast_len(int(2 * np.pi * every / (axis.step * FINEST)) + 1)
    return Radial(2 * np.pi * every / (axis.step * size), size, every, axis.origin, count)


def per_q(values: Floats, grid: Radial) -> Floats:
    """F(Q)/Q of a function of r, also at Q = 0, shape (..., points)."""
    r = grid.step * np.arange(values.shape[-1])
    q = 2 * np.pi * grid.every / (grid.size * grid.step) * np.arange(grid.shown) + grid.origin
    f = fft.fft(values * _origin(grid, len(r)), n=grid.size, axis=-1)
    f = -grid.step * f[..., : grid.every * grid.shown : grid.every].imag
    limit = grid.step * (values @ r)[..., None]
    return np.where(np.abs(q) < 1e-9, limit, f / np.where(np.abs(q) < 1e-9, 1.0, q))


@functools.lru_cache(maxsize=16)
def _origin(grid: Radial, count: int) -> NDArray[np.complex128]:
    """What makes a transform begin at the first Q that is shown."""
    return np.asarray(np.exp(-1j * grid.origin * grid.step * np.arange(count)))


def quantity_of(
    ratio: Floats,
    quantity: str,
    axis: Axis,
    *,
    elements: tuple[tuple[str, ...], tuple[float, ...]],
    radiation: str,
) -> Floats:
    """F [1/Å], S [1] or I per atom (electrons², fm²) of F/Q per two elements, shape (points,)."""
    symbols, shares = elements
    count = ratio.shape[-1]
    last = axis.origin + axis.step * count
    weights = pair_weights(symbols, shares, radiation, last, axis.step, count, first=axis.origin)
    beyond = (ratio * weights).sum(axis=0)  # S - 1
    if quantity == "F":
        return np.asarray(beyond * (axis.origin + axis.step * np.arange(count)))
    if quantity == "S":
        return np.asarray(1.0 + beyond)
    f = np.array([factors(s, radiation, last, axis.step, count, axis.origin) for s in symbols])
    return np.asarray(np.array(shares) @ f**2 + (np.array(shares) @ f) ** 2 * beyond)
