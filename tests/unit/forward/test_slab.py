"""The specimen in the beam's frame: thickness, surfaces, thermal motion, cropping."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose

from htinvert.core import UserError
from htinvert.forward.slab import configurations, crop, cut_slab, slices_through


@pytest.fixture
def crystal():
    return bulk("NaCl", "rocksalt", a=5.64, cubic=True)


def test_thickness_is_rounded_to_whole_repeats(crystal):
    slab = cut_slab(crystal, beam="z", up="y", thickness=30.0)
    assert slab.depth == pytest.approx(5 * 5.64)
    assert len(slab.numbers) == 5 * len(crystal)


def test_the_beam_enters_between_layers(crystal):
    slab = cut_slab(crystal, beam="z", up="y", thickness=5.0)
    layers = np.unique(slab.positions[:, 2].round(6))
    assert_allclose(layers, [5.64 / 4, 3 * 5.64 / 4], atol=1e-6)


def test_depth_is_counted_from_the_viewer():
    """The beam comes from the viewer: what is nearer is hit first."""
    atoms = Atoms("AuC", positions=[[0, 0, 5.0], [0, 0, 1.0]])
    slab = cut_slab(atoms, beam="z", up="y", thickness=10.0)
    assert_allclose(slab.positions[:, 2], [0.5, 4.5])


def test_a_structure_without_period_along_the_beam_is_taken_as_it_is(crystal):
    crystal.pbc = (True, True, False)
    slab = cut_slab(crystal, beam="z", up="y", thickness=300.0)
    assert slab.depth == pytest.approx(5.64 / 2 + 1.0)
    assert len(slab.numbers) == len(crystal)


def test_a_beam_along_no_repeat_vector_is_refused(crystal):
    with pytest.raises(UserError, match="orient the structure"):
        cut_slab(crystal, beam=(0.0, 1.0, 1.0), up="x", thickness=10.0)


def test_slices_are_whole_fractions_of_the_repeat(crystal):
    slab = cut_slab(crystal, beam="z", up="y", thickness=30.0)
    assert slices_through(slab, 6.0) == 5
    assert slices_through(slab, 2.0) == 15


@pytest.mark.parametrize("count", [1, 2, 5])
def test_displacements_have_the_width_of_each_element(crystal, count):
    slab = cut_slab(crystal.repeat(6), beam="z", up="y", thickness=1.0)
    motion = {"Na": 0.2, "Cl": 0.05}
    for moved in configurations(slab, rms_displacement=motion, seed=0, count=count):
        kicks = (moved.positions - slab.positions)[:, :2]
        assert kicks[slab.numbers == 11].std() == pytest.approx(0.2, rel=0.1)  # 1728: 1.7 %
        assert kicks[slab.numbers == 17].std() == pytest.approx(0.05, rel=0.1)


def test_in_the_mean_of_its_configurations_every_atom_is_in_its_place(crystal):
    """And they are independent but for that: a correlation of -1/3 in four."""
    slab = cut_slab(crystal.repeat(6), beam="z", up="y", thickness=1.0)
    moved = list(configurations(slab, rms_displacement=0.1, seed=0, count=4))
    kicks = np.array([one.positions - slab.positions for one in moved])[..., :2]
    assert_allclose(kicks.mean(axis=0), 0.0, atol=1e-12)
    between = np.corrcoef(kicks.reshape(4, -1))[~np.eye(4, dtype=bool)]
    assert_allclose(between, -1 / 3, atol=0.06)  # 3456 numbers: 0.017


def test_an_element_without_displacement_is_named(crystal):
    slab = cut_slab(crystal, beam="z", up="y", thickness=1.0)
    with pytest.raises(UserError, match="Cl"):
        next(configurations(slab, rms_displacement={"Na": 0.1}, seed=0, count=1))


@pytest.mark.parametrize("corner", [(0.0, 0.0), (-17.3, 4.1)])
def test_a_box_of_whole_periods_holds_whole_cells(crystal, corner):
    slab = cut_slab(crystal, beam="x", up="z", thickness=1.0)
    numbers, positions = crop(slab, np.array(corner) + 0.1, np.array([2 * 5.64, 3 * 5.64]))
    assert len(numbers) == 6 * len(crystal)
    assert (positions[:, :2] >= 0).all()


def test_cropping_an_oblique_lattice_leaves_no_holes():
    """Density inside a large box is that of the crystal."""
    layer = bulk("Au", "hcp", a=2.88, c=4.7)
    slab = cut_slab(layer, beam="z", up="y", thickness=1.0)
    numbers, _ = crop(slab, np.array([-31.0, 12.0]), np.array([60.0, 50.0]))
    expected = len(layer) * 60.0 * 50.0 / (layer.cell.volume / 4.7)
    assert len(numbers) == pytest.approx(expected, rel=0.02)  # surface atoms


def sites(slab, size):
    """What a box of ``size`` [Å] holds after kicks, as sorted rows (number, right, down, depth)."""
    moved = next(configurations(slab, rms_displacement=0.1, seed=0, count=1))
    numbers, positions = crop(moved, np.array([0.3, -4.1]), np.full(2, size))
    rows = np.column_stack([numbers, positions])
    return rows[np.lexsort(rows.T.round(4))]


@pytest.mark.parametrize("beam", ["x", "y", "z"])
@pytest.mark.parametrize("seed", range(3))
def test_kicks_do_not_depend_on_how_the_crystal_is_written(crystal, beam, seed):
    up = {"x": "y", "y": "z", "z": "x"}[beam]
    rng = np.random.default_rng(seed)
    moved = crystal[rng.permutation(len(crystal))]
    moved.positions += rng.integers(-2, 3, size=(len(crystal), 3)) @ crystal.cell.array
    moved.positions += rng.normal(scale=1e-9, size=(len(crystal), 3))  # rounding
    if seed == 0:
        moved.wrap()
    slabs = [cut_slab(atoms, beam=beam, up=up, thickness=12.0) for atoms in (crystal, moved)]
    assert_allclose(sites(slabs[0], 11.0), sites(slabs[1], 11.0), atol=1e-6)


@pytest.mark.parametrize("way", [1, -1, 2])
def test_a_repeat_vector_that_leans_along_the_beam_changes_nothing(crystal, way):
    """The same lattice by c + a, looked at along a."""
    leaning = crystal.copy()
    leaning.set_cell(crystal.cell.array + way * np.outer([0, 0, 1], crystal.cell.array[0]))
    slabs = [cut_slab(atoms, beam="x", up="y", thickness=12.0) for atoms in (crystal, leaning)]
    assert_allclose(sites(slabs[0], 11.0), sites(slabs[1], 11.0), atol=1e-6)


def test_the_columns_of_a_primitive_cell_stand_at_their_own_depths():
    """Copper [110] by its primitive cell: neighbors are half a period deeper, as in the crystal."""
    primitive = bulk("Cu", a=3.6)
    beam = tuple(primitive.cell.array[0] / np.linalg.norm(primitive.cell.array[0]))
    slab = cut_slab(primitive, beam=beam, up="x", thickness=10.0)
    numbers, positions = crop(slab, np.zeros(2), np.full(2, 20.0))
    box = Atoms(numbers, positions, cell=[60, 60, slab.depth], pbc=[False, False, True])
    inner = np.abs(positions[:, :2] - 10.0).max(axis=1) < 5.0
    i, distance = neighbor_list("id", box, 2.6)  # the nearest are at 2.546 Å
    assert (np.bincount(i, minlength=len(box))[inner] == 12).all()
    assert_allclose(distance, 3.6 / np.sqrt(2), atol=1e-6)
