"""Oriented crystals: directions mean the same whatever cell the crystal came in."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.cell import Cell
from ase.neighborlist import neighbor_list
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from htinvert.core import UserError
from htinvert.structures.block import oriented_crystal
from htinvert.structures.crystal import standard_crystal
from htinvert.structures.oriented import Grain, oriented

CDTE = bulk("CdTe", "zincblende", a=6.629, cubic=True)
QUARTZ = crystal(
    ["Si", "O"],
    [(0.4697, 0, 0), (0.4135, 0.2669, 0.1191)],
    spacegroup=152,
    cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
)
MOLYBDENUM_BORIDE = crystal(
    ["Mo", "Mo", "B"],
    [(0, 0, 0), (0.172, 0.672, 0.5), (0.388, 0.888, 0)],
    spacegroup=127,
    cellpar=[6.065, 6.065, 3.144, 90, 90, 90],
)
CORUNDUM = crystal(
    ["Al", "O"],
    [(0, 0, 0.352), (0.306, 0, 0.25)],
    spacegroup=167,
    cellpar=[4.805, 4.805, 13.1, 90, 90, 120],
)
MONOCLINIC = crystal(
    ["Zr", "O", "O"],
    [(0.275, 0.04, 0.208), (0.07, 0.332, 0.345), (0.45, 0.757, 0.479)],
    spacegroup=14,
    cellpar=[5.15, 5.21, 5.32, 90, 99.2, 90],
)
ORTHORHOMBIC = Atoms(
    "CuAuPd",
    scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.3], [0.5, 0, 0.6]],
    cell=[3.1, 4.2, 5.3],
    pbc=True,
)
PHASES = [CDTE, QUARTZ, MOLYBDENUM_BORIDE, CORUNDUM, MONOCLINIC, ORTHORHOMBIC]
UNIMODULAR = [np.array(m) for m in (
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]],
    [[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[1, 1, 0], [0, 1, 0], [0, 2, 1]],
    [[2, 0, 0], [0, 1, 0], [0, 0, 1]], [[1, -1, 0], [1, 1, 0], [0, 0, 1]],
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]],
)]  # fmt: skip


def described(phase: Atoms, matrix: np.ndarray, seed: int) -> Atoms:
    """Describe the crystal by another cell, order, origin and orientation, with 1e-9 Å of noise."""
    rng = np.random.default_rng(seed)
    other = make_supercell(phase, matrix)
    other = other[rng.permutation(len(other))]
    other.positions += rng.uniform(-3, 3, 3) + rng.normal(scale=1e-9, size=(len(other), 3))
    quaternion = rng.normal(size=4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    turn = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    other.set_cell(other.cell.array @ turn, scale_atoms=True)
    return other


def perpendicular(phase: Atoms, zone: tuple[int, int, int]) -> tuple[int, int, int]:
    """Find the smallest direction at a right angle to the zone axis, in the conventional cell."""
    cell = standard_crystal(phase).cell
    grid = np.array([v for v in np.ndindex(7, 7, 7) if v != (3, 3, 3)]) - 3
    right = np.abs(grid @ cell @ (zone @ cell)) < 1e-6
    u, v, w = min(grid[right].tolist(), key=lambda d: (np.abs(d).sum(), d))
    return u, v, w


@settings(max_examples=12, deadline=None)
@given(
    phase=st.sampled_from(PHASES),
    matrix=st.sampled_from(UNIMODULAR),
    seed=st.integers(0, 1000),
)
def test_a_crystal_is_the_same_in_every_description(
    phase: Atoms, matrix: np.ndarray, seed: int
) -> None:
    one, other = standard_crystal(phase), standard_crystal(described(phase, matrix, seed))
    assert len(one.atoms) % len(one.numbers) == 0
    np.testing.assert_allclose(other.cell, one.cell, atol=2e-6)  # Å
    np.testing.assert_allclose(other.fractions, one.fractions, atol=2e-6)
    np.testing.assert_array_equal(other.numbers, one.numbers)


def test_the_primitive_cell_keeps_the_polarity_of_zinc_blende() -> None:
    """Along [111] the bond goes from the cation to the anion, whatever the cell and the origin."""
    turned = Atoms(
        CDTE.numbers, scaled_positions=-CDTE.get_scaled_positions(), cell=CDTE.cell, pbc=True
    )
    for phase in (CDTE, bulk("CdTe", "zincblende", a=6.629), turned):
        view = oriented(Grain(phase, (1, -1, 0), (1, 1, 1)))
        vectors = _bonds(view.basis, view.positions, view.numbers)
        assert vectors[np.argmax(np.abs(vectors[:, 2])), 2] == pytest.approx(
            np.sqrt(3) / 4 * 6.629, abs=1e-5
        )


def _bonds(basis: np.ndarray, positions: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Vectors from cadmium to its four nearest tellurium atoms."""
    atoms = Atoms(numbers, positions=positions, cell=basis, pbc=True)
    i, vectors = neighbor_list("iD", atoms, 3.0)
    return vectors[numbers[i] == 48]


def test_handedness_is_kept() -> None:
    """Quartz and its mirror image are different crystals: their bonds cannot be superposed."""
    mirrored = QUARTZ.copy()
    mirrored.set_cell(QUARTZ.cell.array * [1, 1, -1], scale_atoms=True)
    left, right = standard_crystal(QUARTZ), standard_crystal(mirrored)
    assert (left.group, right.group) == ("P3_121", "P3_221")
    assert np.linalg.det(right.cell) > 0


def test_the_zone_axis_is_the_beam_and_tilt_turns_up_to_the_left() -> None:
    view = oriented(Grain(bulk("Cu", cubic=True), (0, 0, 1), (0, 1, 0), 30.0))
    assert view.basis[0] == pytest.approx([3.61, 0, 0])
    # with the beam on [001] and [010] up, [100] is right; 30 degrees lift it
    lattice = np.linalg.solve(view.basis.T, 3.61 * np.array([0, np.cos(np.pi / 6), 0.5]))
    assert lattice == pytest.approx(np.rint(lattice), abs=1e-9)


@pytest.mark.parametrize(
    ("zone", "period"), [((0, 0, 1), 1.0), ((1, 1, 0), 2**-0.5), ((1, 1, 2), 1.5**0.5)]
)
def test_the_repeat_along_the_beam_is_the_lattice_vector(
    zone: tuple[int, int, int], period: float
) -> None:
    view = oriented(Grain(CDTE, zone, perpendicular(CDTE, zone)))
    assert view.basis[0, 0] == pytest.approx(6.629 * period)
    assert abs(np.linalg.det(view.basis)) == pytest.approx(6.629**3 / 4)


def test_flip_swaps_the_elements() -> None:
    kept, flipped = (oriented(Grain(CDTE, (1, 1, 0), (0, 0, 1), flip=f)) for f in (False, True))
    np.testing.assert_array_equal(kept.numbers, flipped.numbers[::-1])


def test_a_block_is_periodic() -> None:
    block = oriented_crystal(
        Grain(CDTE, (1, 1, 0), (1, -1, 1)), width=(5, 12), depth=(4, 12), height=(10, 20)
    )
    assert block.cell.lengths() == pytest.approx(6.629 * np.array([0.5**0.5, 1.5**0.5, 3**0.5]))
    assert block.cell.angles() == pytest.approx([90, 90, 90])
    assert len(block) == 12
    assert (np.bincount(neighbor_list("i", block, 3.2)) == 4).all()


@pytest.mark.parametrize("phase", [QUARTZ, CORUNDUM, MOLYBDENUM_BORIDE])
def test_a_block_of_any_crystal_has_its_bulk_coordination(phase: Atoms) -> None:
    block = oriented_crystal(
        Grain(phase, (2, 1, 0), (0, 0, 1)), width=(1, 20), depth=(1, 20), height=(1, 40)
    )
    expected, found = (
        Counter(zip(atoms.symbols, np.bincount(neighbor_list("i", atoms, 2.9)), strict=True))
        for atoms in (phase, block)
    )
    assert {key: count * len(block) / len(phase) for key, count in expected.items()} == found


@pytest.mark.parametrize(
    ("grain", "message"),
    [
        (Grain(CDTE, (0, 0, 0), (0, 0, 1)), "zone_axis \\[0, 0, 0\\] is no direction"),
        (Grain(CDTE, (1, 1, 0), (2, 2, 0)), "up .* is parallel to zone_axis .* such as"),
        (Grain(CDTE, (1, 1, 0), (1, 0, 0)), "45.00 degrees .* nearest valid .*\\[1, -1, 0\\]"),
        (Grain(CDTE, (1, 1, 0.5), (0, 0, 1)), "no lattice direction; give three integers"),  # type: ignore[arg-type]
        (Grain(CDTE, "110", (0, 0, 1)), "give three integers"),  # type: ignore[arg-type]
        (Grain(CDTE, (1, 1, 0), (0, 0, 1), float("nan")), "tilt is nan"),
        (Grain(bulk("Cu"), (1, 1, 0), (0, 0, 1), flip=True), "flip swaps .* Cu has 1"),
        (Grain(Atoms("Cu"), (1, 1, 0), (0, 0, 1)), "periodic along 0 of 3"),
        (Grain(Atoms(), (1, 1, 0), (0, 0, 1)), "holds no atoms"),
        (
            Grain(Atoms("Cu2", cell=[3, 3, 3], pbc=True), (1, 1, 0), (0, 0, 1)),
            "symmetry of Cu2 could not be found, .* atoms coincide; check",
        ),
    ],
)
def test_a_mistake_gets_a_sentence(grain: Grain, message: str) -> None:
    with pytest.raises(UserError, match=message):
        oriented(grain)


def test_the_conventional_cell_can_be_looked_at() -> None:
    atoms = standard_crystal(bulk("Si", "diamond", a=5.431)).atoms
    assert len(atoms) == 8
    assert atoms.cell.cellpar() == pytest.approx(Cell.new([5.431] * 3).cellpar())
    assert (np.bincount(neighbor_list("i", atoms, 2.5)) == 4).all()


def test_a_triclinic_crystal_can_be_seen_along_any_axis() -> None:
    cell = Cell.new([4.1, 5.2, 6.3, 80, 95, 105])
    phase = Atoms("CuAu", scaled_positions=[[0, 0, 0], [0.4, 0.5, 0.6]], cell=cell, pbc=True)
    view = oriented(Grain(phase, (1, 0, 0), (0, 0, 1)))
    assert abs(np.linalg.det(view.basis)) == pytest.approx(cell.volume, rel=1e-6)
    with pytest.raises(UserError, match="parallel to zone_axis .*; choose another one"):
        oriented(Grain(phase, (1, 0, 0), (2, 0, 0)))
