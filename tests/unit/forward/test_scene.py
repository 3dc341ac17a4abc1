"""What image models share: the same parameters under the same names, with the same geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert import plugins
from htinvert.core import Signal, UserError
from htinvert.forward.scene import Scene
from htinvert.forward.stem_convolution import StemConvolution

DISTORTED = {
    **{"sampling": (0.2, 0.25), "rotation": 12.0, "shear_x": 0.04, "shift_y": -1.0},
    **{"stretch_y": 0.1, "beam": "-z", "up": (1.0, 1.0, 0.0), "center": (1.0, 2.0)},
}


@dataclass(frozen=True, kw_only=True)
class Shadow(Scene):
    """A model of one's own: it counts the atoms at each pixel."""

    height: float = 1.0

    def __call__(self, atoms: Atoms) -> Signal:
        image = np.zeros(self.window_on(atoms).shape)
        for row, column in np.rint(self.view(atoms).pixels(atoms.positions)).astype(int):
            image[row, column] += self.height
        return Signal.image(image, self.pixel)


def test_a_model_of_ones_own_has_the_shared_parameters(tmp_path: Path) -> None:
    """Also where its module knows nothing of the words by which they are annotated."""
    given = {"beam": "-z", "shear_x": 0.1, "height": 2}
    assert Shadow(**plugins.validate(Shadow, given, folder=tmp_path)) == Shadow(
        beam="-z", shear_x=0.1, height=2.0
    )
    assert plugins.parameters(Shadow).model_fields.keys() >= {"sampling", "shape", "interface"}


def test_a_model_of_ones_own_shows_an_atom_where_the_others_do() -> None:
    atoms = Atoms("Te", positions=[[1.1, 2.3, 1.0]], cell=[6, 6, 4], pbc=True)
    own = Shadow(shape=(41, 45), **DISTORTED)
    other = StemConvolution(shape=(41, 45), source_size=0.8, **DISTORTED)
    image = other(atoms).data
    assert image[own(atoms).data > 0].max() > 0.8 * image.max()  # half a pixel off its middle
    points = np.array([[0.3, 1.0, 2.0], [3.0, -1.0, 0.5]])
    assert_allclose(own.view(atoms).pixels(points), other.view(atoms).pixels(points))


@pytest.mark.parametrize(
    ("missing", "message"), [("shape", "shape is not set"), ("sampling", "sampling is not set")]
)
def test_what_is_not_set_is_named(missing: str, message: str) -> None:
    given = {"shape": (8, 8), "sampling": 0.2} | {missing: None}
    with pytest.raises(UserError, match=message):
        Shadow(**given)(Atoms("H", cell=[4, 4, 4]))
