"""Regions that may be near are all that are near, and few more."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.geometry.regions import Regions
from htinvert.ranking.rank import distance

CELLS = {
    "orthorhombic": np.diag([6.0, 7.0, 15.0]),
    "leaning": np.array([[6.0, 0.0, 0.0], [5.0, 4.0, 0.0], [0.0, 0.0, 15.0]]),
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), False])
def test_all_that_are_near_are_found_among_few_others(cell, pbc) -> None:
    """Against pairing each; neighbors are made by small, wrapped and exchanged displacements."""
    rng = np.random.default_rng(0)
    regions, known = Regions(), []
    for number in range(24):
        symbols = "Cd3Te3Au2" if number % 2 else "Te3Cd3Au2"
        own = cell * (1.0 + 0.01 * rng.normal())
        atoms = Atoms(symbols, rng.uniform(0, 1, (8, 3)) @ own, cell=own, pbc=pbc)
        atoms.set_tags([1] * 6 + [0] * 2)
        known.append(atoms)
        regions.add(atoms)
    assert len(regions) == 24
    asked = rest = 0
    for atoms in known:
        moved = atoms[[2, 1, 0, 5, 4, 3, 6, 7]]
        moved.positions += rng.normal(0, rng.choice([0.1, 0.25, 0.4]), (8, 3))
        moved.wrap()
        near = [n for n, other in enumerate(known) if distance(moved, other) < 0.5]
        found = regions.near(moved, 0.5)
        assert set(near) <= set(found)
        asked, rest = asked + len(near), rest + len(found) - len(near)
    assert asked > 12
    assert rest <= 6  # of 576 pairs


def test_another_composition_is_never_near() -> None:
    regions = Regions()
    atoms = Atoms("Cu2", [[1, 1, 1], [3, 1, 1]], cell=[6, 6, 6], pbc=True)
    atoms.set_tags([1, 1])
    regions.add(atoms)
    assert regions.near(atoms, 0.5) == [0]
    other = atoms.copy()
    other.symbols = "CuAg"
    assert regions.near(other, 0.5) == []
