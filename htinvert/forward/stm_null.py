"""What fits any lattice: surfaces made of plane waves, or of the image itself, to judge fits by.

A figure of merit says something about a structure only where it is better than three plane waves,
which know nothing but the lattice; and none can be better than the lattice average of the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from htinvert.core import Floats, Signal
from htinvert.density.grid import Density, GivenDensity

_KAPPA = 1.0  # 1/Å, any: heights do not depend on it
_ISOVALUE = 1e-4  # 1/Å³, any
_GRID = 32
_LENGTH, _TOP = 24.0, 8.0  # Å
_CORRUGATION = 0.4  # Å from the lowest to the highest place; gain is fitted anyway


def plane_waves(cell: Floats, *, phase: float) -> Floats:
    """Sum of the lattice's three shortest plane waves, shape (32, 32).

    ``cell`` has the in-plane vectors [Å] as rows. ``phase`` [degrees] is the triplet's, the one
    number of it that no choice of the origin changes.
    """
    reciprocal = np.linalg.inv(cell).T
    pairs = [(h, k) for h in range(-2, 3) for k in range(-2, 3) if (h, k) > (0, 0)]
    pairs.sort(key=lambda hk: float(np.linalg.norm(np.array(hk) @ reciprocal)))
    first, second = (np.array(pair) for pair in pairs[:2])
    third = next(
        np.array(pair)
        for pair in pairs[2:]
        if any(np.array_equal(np.abs(s), np.abs(pair)) for s in (first + second, first - second))
    )
    # first + sign2 second + sign3 third = 0, so that the sum of phases has a meaning
    if np.array_equal(third, first + second) or np.array_equal(-third, first + second):
        second = second
    else:
        second = -second
    third = -(first + second)
    i, j = np.meshgrid(np.arange(_GRID) / _GRID, np.arange(_GRID) / _GRID, indexing="ij")
    waves = [2 * np.pi * (h * i + k * j) for h, k in (first, second, third)]
    return np.asarray(sum(np.cos(wave + np.radians(phase) / 3) for wave in waves))


def lattice_average(observed: Signal, forward: Any, atoms: Atoms, *, orders: int = 2) -> Floats:
    """The image itself averaged over the lattice that a fitted model has found, shape (32, 32).

    Least squares of a Fourier series with ``orders`` along either vector: what no model of one cell
    can do better than, fitted to the same pixels. ``forward`` has the image's shape.
    """
    ny, nx = observed.data.shape
    rows, columns = np.indices((ny, nx))
    view = forward.view(atoms)
    cell = forward.specimen(atoms).cell.array[:2, :2]
    pixels = np.stack([rows.ravel(), columns.ravel()], axis=-1).astype(float)
    i, j = (view.lines(pixels)[:, :2] @ np.linalg.inv(cell)).T
    values = observed.data.astype(float).ravel()
    solution, *_ = np.linalg.lstsq(_harmonics(i, j, orders), values - values.mean(), rcond=None)
    grid = np.arange(_GRID) / _GRID
    one, two = np.meshgrid(grid, grid, indexing="ij")
    return np.asarray((_harmonics(one.ravel(), two.ravel(), orders) @ solution).reshape(_GRID, -1))


def _harmonics(i: Floats, j: Floats, orders: int) -> Floats:
    """Cosines and sines at fractional places, one column each, the constant first."""
    columns = [np.ones_like(i)]
    for h in range(orders + 1):
        for k in range(-orders, orders + 1):
            if (h, k) > (0, 0):
                wave = 2 * np.pi * (h * i + k * j)
                columns += [np.cos(wave), np.sin(wave)]
    return np.stack(columns, axis=-1)


def with_relief(forward: Any, atoms: Atoms, relief: Floats, name: str) -> Any:
    """An STM model that shows ``relief``, shape (n1, n2), in the cell of ``atoms``, heights [Å].

    It is a density that decays over the relief, so that the null model goes the way of all others.
    Structures other than ``atoms`` look the same to it. A mirrored model sees it mirrored back.
    """
    from dataclasses import replace

    cell = atoms.cell.array.copy()
    cell[2] = [0.0, 0.0, _LENGTH]
    scaled = (relief - relief.mean()) * (_CORRUGATION / max(float(np.ptp(relief)), 1e-300))
    z = np.arange(240) * _LENGTH / 240 - _TOP
    values = np.exp(-2 * _KAPPA * (z - scaled[..., None]))
    values[:, :, z < -2.0] = 1.0
    carrier = Atoms("Rn", positions=[[0.0, 0.0, _TOP]], cell=cell, pbc=True)
    density = Density(
        np.minimum(values, 1e-2)[None].astype(np.float32), carrier, (), "approximate", name
    )
    return replace(
        forward,
        density=GivenDensity(density),
        mode="constant_current",
        isovalue=_ISOVALUE,
        above=8.0,
        tip_radius=0.0,
        bias_low=None,
        bias_high=None,
    )
