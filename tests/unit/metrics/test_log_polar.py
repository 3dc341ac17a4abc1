"""The log-polar map: what shifts it, what leaves it alone."""

import numpy as np
import pytest
from ase import Atoms

from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.log_polar import prepare_map, signature, spectrum_map, turns

OBLIQUE = Atoms("AuPt", [[0, 0, 0], [0, 1.4, 1.1]], cell=[[3, 0, 0], [0, 4.4, 0], [0, 1.3, 3.6]])
OBLIQUE.pbc = True  # no rotation but the half turn maps this lattice to itself
MODEL = StemConvolution(sampling=0.3, shape=(200, 200))


def image(**pose: float) -> np.ndarray:
    model = StemConvolution(sampling=0.3, shape=(200, 200), **pose)
    return model(OBLIQUE).data


@pytest.mark.parametrize(("rotation", "magnification"), [(17.0, 1.0), (80.0, 1.15), (140.0, 0.88)])
def test_turn_and_magnification_are_recovered_to_a_bin(
    rotation: float, magnification: float
) -> None:
    stretch = magnification - 1
    seen = image(rotation=rotation, stretch_x=stretch, stretch_y=stretch, shift_x=1.3)
    (found,) = turns(
        prepare_map(spectrum_map(seen, 0.3)), spectrum_map(image(), 0.3), magnification=(0.8, 1.25)
    )
    assert found.rotation == pytest.approx(rotation, abs=0.75)  # a bin is 0.75 degrees
    assert found.magnification == pytest.approx(magnification, rel=0.029)  # and 2.9 %


def test_the_signature_does_not_know_turn_and_place() -> None:
    first = signature(spectrum_map(image(), 0.3))
    turned = signature(spectrum_map(image(rotation=33.0, shift_y=2.0), 0.3))
    other = StemConvolution(sampling=0.3, shape=(200, 200))
    cubic = Atoms("Au", cell=[3, 2.9, 2.9], pbc=True)
    unlike = signature(spectrum_map(other(cubic).data, 0.3))
    assert first @ turned > 0.9  # 0.97; what is left is the window
    assert first @ unlike < 0.7


def test_a_constant_image_gives_zeros() -> None:
    assert not spectrum_map(np.ones((64, 64)), 0.3).any()
