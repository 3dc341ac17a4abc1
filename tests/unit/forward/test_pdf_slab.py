"""G(r) of a slab: pairs of a wide sheet counted one by one, no baseline but that of Qmin."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from numpy.typing import NDArray

from htinvert.core import Axis, UserError
from htinvert.forward.pdf.model import Pdf

R = 1.5 + 0.1 * np.arange(140)
U = {"Cu": 0.006, "Au": 0.009}
MODEL = Pdf(axes=(Axis("r", "Å", 0.1, 1.5),), shape=(140,), qmin=1.0, qmax=20.0, u=U,
            radiation="atomic number")  # fmt: skip


def alloy_slab(layers: int = 3) -> Atoms:
    """Layers of copper, one of the atoms gold, buckled, periodic in x and y."""
    slab = fcc111("Cu", (1, 1, layers), a=3.7, vacuum=6.0)
    slab.symbols[-1] = "Au"
    slab.positions[-1, 2] += 0.13
    return slab


def counted_one_by_one(slab: Atoms) -> NDArray[np.float64]:
    """Debye's sum from the atoms of one cell to all of a sheet that fades out far away."""
    n = 45
    i, j = np.meshgrid(np.arange(-n, n + 1), np.arange(-n, n + 1))
    shifts = np.stack([i.ravel(), j.ravel(), 0 * i.ravel()], axis=1) @ slab.cell.array
    q = np.arange(1.0, 20.0, 0.02) + 0.01
    f = np.zeros_like(q)
    for a in slab:
        for b in slab:
            r = np.linalg.norm(b.position + shifts - a.position, axis=1)
            r, counts = np.unique(np.round(r[(r > 0.1) & (r < 100)], 5), return_counts=True)
            fade = 0.5 + 0.5 * np.cos(np.pi * np.clip((r - 50) / 50, 0, 1))
            waves = np.sin(np.outer(q, r)) @ (counts * fade / r)
            f += a.number * b.number * waves * np.exp(-(U[a.symbol] + U[b.symbol]) * q**2 / 2)
    f /= len(slab) * slab.numbers.mean() ** 2
    return np.asarray(2 / np.pi * 0.02 * np.sin(np.outer(R, q)) @ f)


def test_a_slab_is_the_sum_over_the_pairs_of_a_wide_sheet() -> None:
    slab = alloy_slab()
    expected = counted_one_by_one(slab)
    off = np.linalg.norm(MODEL(slab).data - expected)
    assert off < 5e-3 * np.linalg.norm(expected)  # pairs end 6 Å beyond the data


def test_vacuum_in_a_periodic_cell_is_told_from_the_crystal() -> None:
    slab = alloy_slab()
    boxed = slab.copy()
    boxed.pbc = True
    boxed.positions[:, 2] += 5.0
    boxed.wrap()  # the sheet lies across the cell's end
    np.testing.assert_allclose(MODEL(boxed).data, MODEL(slab).data, atol=1e-5)
    cluster = molecule("C60")
    carbon = Pdf(axes=MODEL.axes, shape=MODEL.shape, qmin=1.0, qmax=20.0)
    free = carbon(cluster).data
    cluster.center(vacuum=6.0)
    cluster.pbc = True
    np.testing.assert_allclose(carbon(cluster).data, free, atol=1e-5)


def test_a_thick_slab_comes_near_to_its_crystal() -> None:
    off = []
    crystal = Pdf(axes=MODEL.axes, shape=MODEL.shape, qmin=1.0, qmax=20.0, u=0.006)
    expected = crystal(bulk("Cu", "fcc", a=3.7, cubic=True)).data
    for layers in (6, 24):
        found = crystal(fcc111("Cu", (1, 1, layers), a=3.7, vacuum=6.0)).data
        off.append(float(np.linalg.norm(found - expected) / np.linalg.norm(expected)))
    assert off[1] == pytest.approx(off[0] / 4, rel=0.15)  # pairs that a surface lacks


def test_a_wire_and_a_refinement_of_a_slab_are_refused() -> None:
    wire = alloy_slab()
    wire.pbc = (True, False, False)
    with pytest.raises(UserError, match="one direction only"):
        MODEL(wire)
    with pytest.raises(UserError, match="slab are not refined"):
        MODEL.gradient(alloy_slab(), np.ones(140))
