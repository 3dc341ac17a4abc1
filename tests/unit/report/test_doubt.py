"""Fits that mean nothing, and what of a model a registration fits."""

from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm import Stm
from htinvert.image.register import FREE, free_of
from htinvert.report.doubt import hardly_seen


def test_a_model_fits_what_it_has() -> None:
    """An STM block without `free` once ended in: free.source_size is unknown."""
    assert free_of(StemConvolution()) == dict(FREE)
    for model in (Stm, Stm()):
        found = free_of(model)
        assert "source_size" not in found
        assert found["blur"] == (0.0, 4.0)
        assert found["rotation"] == FREE["rotation"]


def test_a_correlation_of_noise_is_called_so() -> None:
    words = hardly_seen({"ncc": 0.03}, Stm())
    assert "their correlation is 0.03" in words
    assert "density that means something" in words
    assert "pixel size" in hardly_seen({"ncc": 0.1}, StemConvolution())
    assert hardly_seen({"ncc": 0.5}, Stm()) == ""
    assert hardly_seen({}, Stm()) == ""
