"""Room for another atom is what a table of all distances says, in every kind of cell."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.geometry.distances import clashes, covalent_distances, distances, limits, room

LEAST = covalent_distances(["Cd", "Te"])
CELLS = {
    "long": (np.diag([9.0, 12.0, 40.0]), True),
    "thin": (np.diag([2.5, 3.0, 20.0]), True),  # an atom's own images are near
    "skew": (np.array([[6.0, 0, 0], [5.0, 4.0, 0], [1.0, 2.0, 7.0]]), True),
    "slab": (np.diag([8.0, 8.0, 30.0]), (True, True, False)),
    "cluster": (np.diag([15.0, 15.0, 15.0]), False),
    "none": (np.zeros((3, 3)), False),
}


def crowd(kind: str, rng: np.random.Generator) -> Atoms:
    cell, pbc = CELLS[kind]
    places = rng.uniform(-0.3, 1.3, (40, 3)) @ (cell if cell.any() else np.diag([9.0, 9.0, 9.0]))
    return Atoms("Cd20Te20", places, cell=cell, pbc=pbc)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("most", [1.0, 1.4])
def test_room_is_the_least_ratio_of_the_table(kind: str, most: float) -> None:
    rng = np.random.default_rng(1)
    atoms = crowd(kind, rng)
    points = atoms.positions[rng.integers(40, size=60)] + rng.normal(0, 1.5, (60, 3))
    allowed = limits(["Te"], atoms.get_chemical_symbols(), LEAST)
    table = distances(points, atoms, cutoff=most * float(allowed.max())).min(axis=2) / allowed
    expected = np.where(table.min(axis=1) <= most, table.min(axis=1), np.inf)
    found = room(points, "Te", atoms, LEAST, most=most)
    assert np.isfinite(expected).any()
    assert found == pytest.approx(expected, abs=1e-9)
    few = room(points[:20], "Te", atoms, LEAST, most=most)  # of a cluster by a table, too
    assert few == pytest.approx(expected[:20], abs=1e-9)


def test_without_atoms_or_limits_there_is_room_everywhere() -> None:
    points = np.zeros((2, 3))
    assert np.isinf(room(points, "Te", Atoms(), LEAST)).all()
    assert np.isinf(room(points, "Te", Atoms("Ar", [[0, 0, 0.1]]), {})).all()


@pytest.mark.parametrize("kind", CELLS)
def test_clashes_are_the_same_by_a_table_and_by_near_pairs(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    for few in (0, 10**9):
        monkeypatch.setattr("htinvert.geometry.distances.SOME_PAIRS", few)
        rng = np.random.default_rng(2)
        said.append(
            [
                clashes(atoms, np.arange(len(atoms)) < 3, LEAST)
                for atoms in (crowd(kind, rng)[rng.permutation(40)[:size]] for size in [3, 30] * 15)
            ]
        )
    assert said[0] == said[1]
    assert True in said[0]
    assert kind == "thin" or False in said[0]  # there its own images are too near


def test_limits_are_those_of_the_pairs() -> None:
    found = limits(["Te", "Cd"], ["Cd", "Te", "Cd"], LEAST)
    cd, te = (LEAST[frozenset((name, "Cd"))] for name in ("Cd", "Te"))
    assert found.tolist() == [[te, LEAST[frozenset(("Te",))], te], [cd, te, cd]]
    assert limits([], ["Cd"], LEAST).shape == (0, 1)
