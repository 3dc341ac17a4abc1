"""Two grains moved apart or together along the normal of their boundary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.forward.cross_section import cross_section
from htinvert.forward.interface import CLOSEST, move_grain
from htinvert.forward.stem_convolution import StemConvolution

UP = np.array([0.0, 0.0, 1.0])


@pytest.fixture
def grains() -> Atoms:
    """Eight layers of copper, the boundary between the fourth and the fifth."""
    return bulk("Cu", "fcc", a=3.6, cubic=True).repeat((1, 2, 4))


def test_the_upper_grain_moves_and_the_cell_grows(grains: Atoms) -> None:
    wide = move_grain(grains, normal=UP, width=0.7, height=7.0)
    upper = grains.positions[:, 2] > 7.0
    np.testing.assert_allclose(wide.positions[upper, 2] - grains.positions[upper, 2], 0.7)
    np.testing.assert_array_equal(wide.positions[~upper], grains.positions[~upper])
    np.testing.assert_allclose(wide.cell.lengths(), [3.6, 7.2, 14.4 + 0.7])


def test_the_other_boundary_keeps_its_width(grains: Atoms) -> None:
    wide = move_grain(grains, normal=UP, width=-0.3, height=7.0)
    gap = wide.cell[2, 2] - np.ptp(wide.positions[:, 2])
    assert gap == pytest.approx(1.8)  # Å, a layer of fcc copper


def test_no_width_is_no_change(grains: Atoms) -> None:
    assert move_grain(grains, normal=UP, width=0.0) is grains


def test_atoms_that_collide_are_removed_from_the_lower_grain(grains: Atoms) -> None:
    closed = move_grain(
        grains, normal=UP, width=-3.6 + 0.2, height=7.0
    )  # two layers onto each other
    distances = closed.get_all_distances(mic=True)[np.triu_indices(len(closed), 1)]
    assert distances.min() >= CLOSEST
    assert len(grains) - len(closed) == 8  # two layers of four atoms
    assert (closed.positions[:, 2] > 3.5).sum() == (grains.positions[:, 2] > 7.0).sum()


def test_collisions_do_not_depend_on_the_order_of_the_atoms(grains: Atoms) -> None:
    order = np.random.default_rng(1).permutation(len(grains))
    one = move_grain(grains, normal=UP, width=-2.9, height=7.0)
    other = move_grain(grains[order], normal=UP, width=-2.9, height=7.0)
    rows = [np.array(sorted(map(tuple, a.positions.round(9)))) for a in (one, other)]
    np.testing.assert_array_equal(*rows)


def test_the_upper_grain_slides_along_the_boundary(grains: Atoms) -> None:
    slid = StemConvolution(interface_shift=0.8).specimen(grains)
    upper = grains.positions[:, 2] >= 7.2
    np.testing.assert_allclose(slid.positions[upper] - grains.positions[upper], [[0, 0.8, 0]] * 16)
    np.testing.assert_array_equal(slid.positions[~upper], grains.positions[~upper])
    np.testing.assert_array_equal(slid.cell.array, grains.cell.array)


@pytest.mark.parametrize("normal", ["y", "-y", (0.0, 1.0, 1.0)])
def test_any_direction_can_be_the_normal(normal: object, grains: Atoms) -> None:
    model = StemConvolution(sampling=0.2, shape=(60, 60), up=normal, interface_width=0.5)  # type: ignore[arg-type]
    assert model(grains).data.shape == (60, 60)
    assert np.abs(model(grains).data - replace(model, interface_width=0.0)(grains).data).max() > 0


def test_the_integral_is_the_sum_of_cross_sections_with_a_gap_too(grains: Atoms) -> None:
    wide = move_grain(grains, normal=UP, width=1.0)
    _, width, height = wide.cell.lengths()
    pixels = (154, 72)  # of 0.1 Å: the widened cell, exactly
    assert (height, width) == pytest.approx((15.4, 7.2))
    image = StemConvolution(sampling=0.1, shape=pixels, interface_width=1.0)(grains)
    expected = len(grains) * cross_section(29, beam_energy=200e3, inner=100.0, outer=150.0)
    assert image.data.sum() * 0.1**2 == pytest.approx(expected, rel=2e-3)


def test_a_gap_is_recovered_from_an_image(grains: Atoms) -> None:
    from htinvert.core import Channel
    from htinvert.evaluation.fit import fit
    from htinvert.metrics.correlation import Correlation

    model = StemConvolution(sampling=0.2, shape=(70, 50))
    observed = replace(model, interface_width=0.42)(grains)
    free = {"interface_width": (-1.0, 1.5)}
    channel = Channel("haadf", observed, model, {"match": Correlation()}, free)
    assert fit(channel, grains).parameters["interface_width"] == pytest.approx(0.42, abs=0.01)  # Å
