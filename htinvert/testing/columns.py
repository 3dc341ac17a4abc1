"""Images of columns drawn one by one, which know nothing of the model that looks for them."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from htinvert.core import Signal


def planted(
    atoms: Atoms,
    *,
    rng: np.random.Generator,
    rotation: float,
    mirrored: bool = False,
    pixel: float = 0.2,
    size: tuple[int, int] = (400, 400),
    shift: tuple[float, float] = (0.0, 0.0),
    shear: float = 0.0,
    peak: float = 30.0,
) -> Signal:
    """Image of a structure seen along x, z up, turned counter-clockwise [degrees]; ``pixel`` [Å].

    Columns are Gaussians whose height grows less than their atoms' Z^1.6 add up, on a background
    that rises to one side; rows are displaced and counts, at most ``peak``, are random.
    ``shift`` (right, down) [Å] is where the cell's middle lies from the image's. A mirrored one is
    mirrored left to right before it is turned.
    """
    middle = atoms.cell.array.sum(axis=0) / 2
    flat = (atoms.positions - middle)[:, [1, 2]] * [1, -1]  # right, down
    weights = atoms.numbers.astype(float) ** 1.6
    copies = range(-6, 7) if atoms.pbc[1] else range(1)
    flat = np.concatenate([flat + np.array([k * atoms.cell.lengths()[1], 0.0]) for k in copies])
    weights = np.tile(weights, len(copies))
    columns, which = np.unique(flat.round(2), axis=0, return_inverse=True)
    heights = np.bincount(which.ravel(), weights) ** 0.8  # thicker columns saturate
    if mirrored:
        columns = columns * [-1, 1]
    turn = np.radians(rotation)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    places = (columns @ matrix.T) @ np.array([[1.0, shear], [0.0, 1.0]]).T + shift
    ny, nx = size
    data = np.zeros(size)
    at = places / pixel + [(nx - 1) / 2, (ny - 1) / 2]
    reach = round(2.5 / pixel)
    for (column, row), height in zip(at, heights, strict=True):
        top, left = round(row) - reach, round(column) - reach
        if not (0 <= top < ny - 2 * reach and 0 <= left < nx - 2 * reach):
            continue
        y = np.exp(-(((np.arange(top, top + 2 * reach + 1) - row) * pixel / 0.7) ** 2))
        x = np.exp(-(((np.arange(left, left + 2 * reach + 1) - column) * pixel / 0.7) ** 2))
        data[top : top + 2 * reach + 1, left : left + 2 * reach + 1] += height * np.outer(y, x)
    data = data / np.percentile(data, 99.5) + 0.3 + 0.3 * np.linspace(0, 1, nx)
    for row in range(ny):
        data[row] = np.roll(data[row], int(rng.integers(-1, 2)))
    return Signal.image(rng.poisson(peak * data).astype(np.float32), pixel)
