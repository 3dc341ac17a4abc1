"""The grid of probe positions: complete, no larger than needed, and enough for the image."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert.forward.scan import Grid, fourier_series, needed, scan_grid, scan_tiles
from htinvert.forward.scene import Window
from htinvert.forward.slab import cut_slab
from htinvert.forward.stem_convolution import Lattice, sum_series

OBLIQUE = np.array([[5.0, 2.0], [0.0, 7.0]])


def small_window(size, at=(0.0, 0.0), shape=(8, 8)):
    return Window(np.array(at), np.eye(2) * size / 7, shape)


@pytest.mark.parametrize("basis", [np.diag([5.0, -31.0]), OBLIQUE])
@pytest.mark.parametrize("first", [(0.0, 0.0), (-0.37, 0.11)])
def test_tiles_cover_every_point_once_and_hold_it_with_its_padding(basis, first):
    periodic = (first[0] == 0.0, first[1] == 0.0)
    grid = Grid(basis, (11, 43), periodic, first)
    covered = np.zeros(grid.counts, dtype=int)
    for tile in scan_tiles(grid, tile=3.0, padding=4.0, sampling=0.1):
        covered += tile.mask
        inside = grid.points(*np.nonzero(tile.mask)) - tile.corner
        whole = np.isclose(tile.size / abs(np.diag(basis)) % 1, 0) & (basis is not OBLIQUE)
        room = np.where(whole, -1e-9, 4.0 - grid.step - 1e-9)
        assert (inside >= room).all() and (tile.size - inside >= room).all()
    assert (covered == 1).all()


def test_a_short_period_gets_a_box_of_whole_periods():
    """Two periods of 5 Å are no larger than a tile with its padding, and have no seam."""
    grid = Grid(np.diag([5.0, 31.0]), (11, 43), (True, True))
    assert {tile.size[0] for tile in scan_tiles(grid, tile=3.0, padding=4.0, sampling=0.1)} == {
        10.0
    }


def test_only_points_near_pixels_are_needed():
    grid = Grid(np.diag([10.0, 40.0]), (21, 81), (True, True))
    mask = needed(grid, small_window(4.0, at=(1.0, 38.0)), margin=1.0)
    rows = np.flatnonzero(mask.any(axis=0)) * 40 / 81
    wrapped = (rows + 20) % 40 - 20  # the window reaches over the unit's edge
    assert -2.0 - 2.5 < wrapped.min() < -2.0 - 0.9
    assert 2.0 + 0.9 < wrapped.max() < 2.0 + 2.5


def test_what_does_not_repeat_gets_room_that_a_small_shift_does_not_change():
    """Else a fit of the shift would begin a new scan with every step."""
    slab = cut_slab(Atoms("Au"), beam="z", up="y", thickness=1.0)
    one, two = (scan_grid(slab, small_window(12.0, at=(x, 1.0)), 0.3) for x in (1.0, 1.5))
    assert_allclose(one.basis, two.basis)
    assert one.periodic == (False, False)
    assert one.first == two.first


@pytest.mark.parametrize("basis", [np.diag([5.0, -7.0]), OBLIQUE])
def test_the_series_passes_through_every_point(basis):
    values = np.random.default_rng(0).random((9, 13))
    grid = Grid(basis, (9, 13), (True, True))
    for i, j in [(0, 0), (3, 8), (8, 12)]:
        at = grid.points(np.array([i]), np.array([j]))[0]
        window = Window(at, np.eye(2) * 0.1, (1, 1))
        found = sum_series(fourier_series(values), Lattice(basis, {}), window)
        assert found[0, 0] == pytest.approx(values[i, j], abs=1e-4)  # interpolation of the series


def test_unknown_points_take_their_neighbors_value():
    values = np.full((5, 7), 2.0)
    values[:, 3:] = np.nan
    series = fourier_series(values)
    assert series[2, 0] == pytest.approx(2.0)
    assert np.abs(series).sum() == pytest.approx(2.0)
