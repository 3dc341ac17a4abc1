"""Distances and fingerprints."""

import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.data import covalent_radii

from htinvert.geometry.distances import (
    clashes,
    clearance,
    covalent_distances,
    distances,
    shortest_ratio,
)
from htinvert.geometry.fingerprint import (
    Fingerprints,
    _Recent,
    difference,
    fingerprint,
    smeared_distances,
)


def test_covalent_distances_are_the_customary_share_of_the_sum_of_radii() -> None:
    shortest = covalent_distances(["Cd", "Te"], ratio=0.7)
    # Cordero 2008: Cd 1.44, Te 1.38 Å
    assert shortest[frozenset({"Cd", "Te"})] == pytest.approx(0.7 * 2.82)
    assert shortest[frozenset({"Te"})] == pytest.approx(0.7 * 2.76)


def test_atoms_clash_also_across_the_cell_border() -> None:
    pair = Atoms("Te2", positions=[[0, 0, 0.2], [0, 0, 9.8]], cell=[9, 9, 10], pbc=True)
    limit = {frozenset({"Te"}): 1.0}
    assert clashes(pair, np.array([True, False]), limit)
    pair.pbc = False
    assert not clashes(pair, np.array([True, False]), limit)
    assert not clashes(pair, np.array([False, False]), limit)


def every_pair(atoms: Atoms) -> float:
    """The ratio as its definition says it: all pairs, all images within 8 Å."""
    apart = distances(atoms.positions, atoms, cutoff=8.0)
    apart = np.where(apart > 1e-9, apart, np.inf)
    radii = covalent_radii[atoms.numbers]
    return float((apart.min(axis=2) / (radii[:, None] + radii)).min())


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 0, 1), (0, 0, 0)])
@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_neighbors_give_the_ratio_of_all_pairs(count: int, pbc: tuple[int, int, int]) -> None:
    rng = np.random.default_rng([count, *pbc])
    compared = 0
    for _ in range(12):
        cell = np.eye(3) * rng.uniform(2.0, 9.0, 3) + np.triu(rng.uniform(-4.0, 4.0, (3, 3)), 1)
        places = rng.uniform(-12.0, 12.0, (count, 3))  # outside of the cell, too
        atoms = Atoms(rng.choice([1, 8, 52, 55], count), places, cell=cell, pbc=pbc)
        found, expected = shortest_ratio(atoms), every_pair(atoms)
        if expected <= 1.0:
            assert found == pytest.approx(expected, rel=1e-9)
            compared += 1
        else:
            assert found > 1.0
    assert compared or (count < 5 and not all(pbc))


@pytest.mark.parametrize("size", [3.0, 7.0, 20.0])
def test_many_atoms_clash_as_few_do(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(int(size))
    said = set()
    for _ in range(20):
        cell = np.eye(3) * rng.uniform(size, 2.0 * size, 3)
        cell += np.triu(rng.uniform(-size, size, (3, 3)), 1)
        places = rng.uniform(-2.0 * size, 2.0 * size, (12, 3))
        atoms = Atoms(rng.choice([8, 29], 12), places, cell=cell, pbc=rng.random(3) < 0.5)
        points, mask = rng.uniform(-30.0, 30.0, (50, 3)), rng.random(12) < 0.3
        shortest = covalent_distances(["O", "Cu"], ratio=0.9)
        answers = []
        for many in (10**9, -1):
            monkeypatch.setattr("htinvert.geometry.distances.MANY_PAIRS", many)
            free = clearance(points, "Cu", atoms, shortest)
            answers.append((free.tolist(), clashes(atoms, mask, shortest)))
        assert answers[0] == answers[1]
        said.update(answers[0][0])
    assert said == {True, False} or size < 5.0


def test_atoms_at_one_place_have_no_distance_at_all() -> None:
    assert shortest_ratio(Atoms("Cu2", np.ones((2, 3)), cell=[9, 9, 9], pbc=True)) == 0.0
    assert shortest_ratio(Atoms("Cu", cell=[30, 30, 30], pbc=True)) == np.inf
    assert shortest_ratio(Atoms()) == np.inf


def test_thousands_of_atoms_need_no_table_of_pairs() -> None:
    crystal = bulk("Cu", cubic=True).repeat((12, 12, 12))  # 6912 atoms, 48 million pairs
    tracemalloc.start()
    ratio = shortest_ratio(crystal)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ratio == pytest.approx(3.61 / np.sqrt(2) / 2.64)
    assert peak < 100e6  # bytes; all pairs take 8 each at the least


def test_the_shortest_ratio_of_bulk_cdte_is_about_one() -> None:
    crystal = bulk("CdTe", "zincblende", a=6.48)
    assert shortest_ratio(crystal) == pytest.approx(6.48 * np.sqrt(3) / 4 / 2.82)


@pytest.fixture
def crystal() -> Atoms:
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    atoms.rattle(0.3, seed=1)
    return atoms


def test_a_fingerprint_is_blind_to_translation_rotation_mirror_and_order(crystal: Atoms) -> None:
    twin = crystal[np.random.default_rng(0).permutation(len(crystal))]
    twin.positions[:, 0] *= -1
    twin.translate([1.0, 2.0, 3.0])
    twin.wrap()
    twin.rotate(30, (1, 2, 3), rotate_cell=True)
    assert difference(fingerprint(crystal), fingerprint(twin)) < 1e-9


def test_a_fingerprint_grows_with_displacement(crystal: Atoms) -> None:
    gaps = []
    for amplitude in (0.02, 0.1, 0.5):
        moved = crystal.copy()
        moved.rattle(amplitude, seed=2)
        gaps.append(difference(fingerprint(crystal), fingerprint(moved)))
    assert gaps[0] < 2e-3 < gaps[1] < gaps[2]


def test_other_elements_are_as_different_as_can_be(crystal: Atoms) -> None:
    assert difference(fingerprint(crystal), fingerprint(bulk("Cu"))) == 1.0


def test_a_vacancy_is_seen(crystal: Atoms) -> None:
    assert difference(fingerprint(crystal), fingerprint(crystal[:-1])) > 0.01


def test_the_first_like_fingerprint_is_found_among_many(crystal: Atoms) -> None:
    rng = np.random.default_rng(4)
    vectors = []
    for number in range(60):
        moved = crystal.copy() if number % 3 else crystal[:-1]
        moved.rattle(0.2, rng=rng)
        vectors.append(fingerprint(moved))
    known = Fingerprints()
    for vector in vectors:
        known.add(vector)
    other = fingerprint(bulk("Cu"))
    assert known.first_like(other, within=0.9) is None
    for within in (1e-9, 0.05, 0.3):
        for vector in vectors[::7]:
            alike = [i for i, one in enumerate(vectors) if difference(one, vector) < within]
            assert known.first_like(vector, within=within) == alike[0]


def test_a_fingerprint_is_computed_once_for_whoever_asks(
    crystal: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    monkeypatch.setattr(
        "htinvert.geometry.fingerprint.smeared_distances",
        lambda atoms: computed.append(1) or np.ones(3),
    )
    crystal.rattle(0.01, seed=11)  # nobody has asked for this one
    fingerprint(crystal)
    fingerprint(crystal.copy())
    assert len(computed) == 1
    crystal.positions[0] += 0.5
    fingerprint(crystal)
    crystal.set_tags(1 - crystal.get_tags())
    fingerprint(crystal)
    assert len(computed) == 3


def test_the_oldest_fingerprints_go_where_they_take_too_many_bytes(
    crystal: Atoms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.geometry.fingerprint.RECENT", 8 * fingerprint(crystal).nbytes)
    recent = _Recent()
    made = [recent.of(bytes([number]), crystal) for number in range(20)]
    kept = [number for number in (19, 15, 5) if recent.of(bytes([number]), crystal) is made[number]]
    assert kept == [19, 15]


@pytest.mark.parametrize("region", [False, True])
def test_many_atoms_have_the_fingerprint_that_few_have(
    region: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    atoms = bulk("NaCl", "rocksalt", 5.64, cubic=True)
    atoms.rattle(0.2, rng=np.random.default_rng(1))
    atoms.set_tags([int(region)] * 3 + [0] * 5)
    few = smeared_distances(atoms)
    monkeypatch.setattr("htinvert.geometry.fingerprint.MANY_PAIRS", 0)
    assert smeared_distances(atoms) == pytest.approx(few, abs=1e-12)
