"""The map between pixels and lines through the specimen is that of the forward model."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from htinvert.forward.stem_convolution import StemConvolution

CELL = (20.0, 18.0, 22.0)  # Å
DIRECTIONS = [("x", "z"), ("z", "y"), ("-y", "x"), ((1.0, 1.0, 0.2), "z")]


def pictured(model: StemConvolution, atoms: Atoms) -> np.ndarray:
    """Row and column of the one spot in the image, to a fraction of a pixel."""
    image = model(atoms).data.astype(float)
    row, column = np.unravel_index(np.argmax(image), image.shape)
    low = [max(place - 6, 0) for place in (row, column)]
    part = image[low[0] : row + 7, low[1] : column + 7]
    return np.array(low) + center_of_mass(np.where(part > 0.2 * part.max(), part, 0.0))


@pytest.mark.parametrize(("beam", "up"), DIRECTIONS)
@settings(max_examples=30)
@given(data=st.data())
def test_an_atom_is_found_where_its_image_shows_it(data: st.DataObject, beam, up) -> None:
    draw = lambda low, high: data.draw(st.floats(low, high))  # noqa: E731
    position = np.array([[draw(-2.0, 2.0) + length / 2 for length in CELL]])
    model = StemConvolution(
        sampling=(0.2, 0.22),
        shape=(90, 80),
        beam=beam,
        up=up,
        source_size=1.0,
        shift_x=draw(-1.5, 1.5),
        shift_y=draw(-1.5, 1.5),
        shear_x=draw(-0.1, 0.1),
        shear_y=draw(-0.1, 0.1),
        stretch_x=draw(-0.1, 0.1),
        stretch_y=draw(-0.1, 0.1),
        rotation=draw(-40.0, 40.0),
    )
    atoms = Atoms("Te", positions=position, cell=CELL, pbc=False)
    view = model.view(atoms)
    seen = pictured(model, atoms)
    assert np.abs(view.pixels(position)[0] - seen).max() < 0.2  # px of 0.2 Å, so 0.04 Å
    beside = (view.lines(seen[None])[0] - position[0]) @ view.frame[:2].T
    assert np.linalg.norm(beside) < 0.05  # Å


@pytest.mark.parametrize("width", [-1.0, 0.0, 2.5])
@pytest.mark.parametrize("height", [7.0, 16.0])  # Å, of the atom: below and above the boundary
def test_an_atom_beyond_a_boundary_that_was_moved_is_found_too(width: float, height: float) -> None:
    position = np.array([[10.0, 9.0, height]])
    atoms = Atoms("Te", positions=position, cell=CELL, pbc=[True, True, False])
    model = StemConvolution(
        0.2, (120, 80), source_size=0.8, interface_width=width, interface_shift=0.7
    )
    view, seen = model.view(atoms), pictured(model, atoms)
    assert np.abs(view.pixels(position)[0] - seen).max() < 0.2  # px, so 0.04 Å
    np.testing.assert_allclose(view.lines(seen[None])[0, 1:], position[0, 1:], atol=0.05)  # Å


def test_lines_and_pixels_undo_each_other() -> None:
    atoms = Atoms("Te", cell=CELL, pbc=True)
    model = StemConvolution(0.2, (90, 80), rotation=20.0, shear_x=0.1, stretch_y=0.2, shift_x=3.0)
    pixels = np.random.default_rng(0).uniform(-5, 95, (50, 2))
    view = model.view(atoms)
    np.testing.assert_allclose(view.pixels(view.lines(pixels)), pixels, atol=1e-9)  # px, round-off
