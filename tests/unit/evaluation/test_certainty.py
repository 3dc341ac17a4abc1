"""What is said of a fitted parameter whose value means nothing."""

from __future__ import annotations

import pytest

from htinvert.evaluation.certainty import Certainty, bound_met, notes


@pytest.mark.parametrize(
    ("value", "bound"),
    [(0.1, 0.1), (-0.1, -0.1), (0.09985, 0.1), (0.0990, None), (0.0, None)],
)
def test_a_value_at_the_end_of_its_range_is_at_its_bound(value, bound):
    """To a thousandth of the range, as near as the methods come to rest."""
    assert bound_met(value, (-0.1, 0.1)) == bound


UNITS = {"source_size": "Å", "interface_shift": "Å"}


def told(**sure: Certainty) -> list[str]:
    """What is said of parameters."""
    return notes(sure, lambda name: UNITS.get(name, "1"))


def test_a_bound_is_said_with_what_to_do():
    wide = Certainty(2.0, 0.01, (0.3, 2.0))
    (note,) = told(source_size=wide, shear_x=Certainty(0.02, 0.01, (-0.1, 0.1)))
    assert note.startswith("source_size (2 Å) ends at its bound: widen its range")
    assert note.endswith("is not determined: take it out of free")


def test_parameters_with_the_same_trouble_share_a_sentence():
    lost, ended = Certainty(0.0, 1.0, (-3.0, 3.0)), Certainty(2.0, 0.01, (0.3, 2.0))
    first, second = told(a=lost, b=ended, c=lost, d=ended)
    assert first.startswith("b (2), d (2) end at their bounds: widen their ranges (free: b, d)")
    assert second.startswith("a (from -1 to 1 fit as well), c (from -1 to 1 fit as well) are not")


def test_the_error_of_a_value_at_its_bound_is_not_shown():
    assert Certainty(2.0, 0.01, (0.3, 2.0)).word == "at its bound"
    assert Certainty(1.0, 0.01, (0.3, 2.0)).word == "0.01000"
    assert not told(source_size=Certainty(1.0, 0.01, (0.3, 2.0)))


def test_a_value_that_may_lie_in_a_quarter_of_its_range_is_not_determined():
    slid = Certainty(1.5, 0.01, (-3.0, 3.0), spread=(-2.9, 1.5))
    assert not slid.determined
    assert slid.word == "not determined (-2.9 to 1.51)"
    (note,) = told(interface_shift=slid)
    assert note.startswith(
        "interface_shift (from -2.9 to 1.51 Å fit as well) is not determined: do not use its value"
    )
    assert not Certainty(0.0, 1.0, (-3.0, 3.0)).determined
    assert Certainty(0.0, 0.1, (-3.0, 3.0), spread=(-0.2, 0.1)).determined
    assert Certainty(2.9, 1.0, (-3.0, 3.0)).reach == (1.9, 3.0)
    lost = Certainty(3.0, 1.7, (-3.0, 3.0))  # nothing held it, so a bound did
    assert lost.word == "not determined (1.3 to 3)"
    (note,) = told(shear_x=lost)
    assert note.startswith("shear_x (from 1.3 to 3 fit as well) is not determined")


def test_a_value_that_takes_up_what_the_model_leaves_out_is_said_not_to_stand_alone():
    source = Certainty(1.2, 0.02, (0.3, 3.0), takes_up="thermal motion")
    assert source.determined
    assert source.word == "0.02000, not it alone"
    assert not told(source_size=source)  # nothing is wrong with it
    assert source.remark("source_size") == (
        "source_size holds thermal motion, too: fit it, but do not read more out of it"
    )
