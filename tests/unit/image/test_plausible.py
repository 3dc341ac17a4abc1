"""What no image of atoms has."""

import warnings

import pytest

from htinvert.core import UserError
from htinvert.image.plausible import check_steps


@pytest.mark.parametrize("step", [-1.0, 0.0, float("nan")])
def test_a_pixel_size_of_nothing_is_asked_to_be_above_0(step: float) -> None:
    """A sampling of -1 was answered with a warning of NumPy's and the advice to give -0.1."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=r"is none; .* to a number above 0"):
            check_steps((step, step), "a.tif")


def test_a_lost_unit_is_suggested_back() -> None:
    with pytest.raises(UserError, match=r"did the unit get lost.* such as 0\.2"):
        check_steps((200.0, 200.0), "a.tif")
