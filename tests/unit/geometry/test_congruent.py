"""Free clusters whose distances agree and which are not one."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cluster import Octahedron

from htinvert.geometry import congruent
from htinvert.geometry.congruent import cluster_distance
from htinvert.geometry.duplicates import displacement
from htinvert.geometry.fingerprint import difference, fingerprint
from htinvert.geometry.known import Known


def ring(golden: set[int]) -> Atoms:
    """Eight atoms on a ring, 2.7 Å apart, some of them of gold."""
    angles = np.arange(8) * np.pi / 4.0
    radius = 2.7 / 2.0 / np.sin(np.pi / 8.0)
    places = radius * np.stack([np.cos(angles), np.sin(angles), np.zeros(8)], axis=1)
    symbols = ["Au" if number in golden else "Cu" for number in range(8)]
    return Atoms(symbols, places + 10.0, cell=[20.0] * 3, tags=1)


ONE, OTHER = ring({0, 1, 3, 4}), ring({0, 1, 2, 5})  # the smallest homometric pair of a cycle


def test_unlike_orders_of_equal_distances_are_told_apart() -> None:
    assert difference(fingerprint(ONE), fingerprint(OTHER)) < 1e-9
    assert cluster_distance(ONE, OTHER) > 1.0
    families = Known.families()
    families.add(ONE)
    assert families.find(OTHER) is None


def test_two_atoms_exchanged_among_many_make_another_structure() -> None:
    """In a cluster of 79, and among 64 atoms of a crystal, of which a fingerprint hardly tells."""
    ball = Octahedron("Cu", 5, cutoff=1)
    slab = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 2, 4))
    for atoms in (Atoms(ball.symbols, ball.positions), slab):
        atoms.set_tags(1 if not atoms.pbc.any() else atoms.positions[:, 2] > 3.5)
        free = np.flatnonzero(atoms.get_tags())
        atoms.symbols[free[::5]] = "Pt"
        other = atoms.copy()
        other.symbols[free[[5, 6]]] = other.symbols[free[[6, 5]]]
        families = Known.families()
        families.add(atoms)
        assert difference(fingerprint(atoms), fingerprint(other)) < 2e-3
        assert families.find(other) is None
        atoms.rattle(0.03, seed=2)
        assert families.find(atoms) == 0


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_cluster_is_the_same_but_for_data_that_show_a_side(mirrored: bool) -> None:
    turned = OTHER.copy()
    turned.rotate(33.0, "z", center="COP")
    if mirrored:
        turned.positions[:, 0] *= -1.0
    turned = turned[np.random.default_rng(1).permutation(8)]
    turned.rattle(0.02)
    assert displacement(OTHER, turned) < 0.1
    assert displacement(OTHER, turned, turn=False) > 0.5
    known = Known.basins(apart=True, turn=False)
    known.add(OTHER)
    assert known.find(turned) is None
    assert known.find(OTHER) == 0


def test_turns_that_are_tried_are_turns() -> None:
    """Of a compact cluster even skewed ones pair the right atoms; of a loose one they may not."""
    places = np.random.default_rng(3).uniform(-4.0, 4.0, (7, 3))
    turns = congruent._turns(places, places[::-1], np.full(7, 29), np.full(7, 29))
    assert len(turns)
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), len(turns) * [np.eye(3)], atol=1e-9)
