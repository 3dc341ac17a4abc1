"""What is computed once per object is never given to another one."""

from __future__ import annotations

import numpy as np
import pytest

from htinvert.geometry.once import Once


def test_it_is_made_once_for_an_object_and_again_for_an_equal_one() -> None:
    once: Once[int] = Once(most=4)
    made: list[str] = []

    def make() -> int:
        made.append("x")
        return len(made)

    first, equal = np.zeros(3), np.zeros(3)
    assert [once.of(first, make), once.of(first, make), once.of(equal, make)] == [1, 1, 2]
    assert once.of(first, make, also="other") == 3


def test_an_entry_goes_with_its_object_so_that_its_address_may_be_used_again() -> None:
    once: Once[float] = Once(most=4)
    for value in range(50):  # CPython gives most of these the same address
        array = np.full(7, float(value))
        assert once.of(array, lambda a=array: float(a[0])) == value
        del array
    assert len(once) <= 1


def test_the_most_that_were_used_last_are_kept() -> None:
    once: Once[str] = Once(most=2)
    a, b, c = (np.zeros(1) for _ in range(3))
    once.of(a, lambda: "a")
    once.of(b, lambda: "b")
    once.of(a, lambda: "again")
    once.of(c, lambda: "c")
    assert once.of(a, lambda: "again") == "a" and once.of(b, lambda: "new") == "new"
    assert len(once) == 2


def test_what_has_no_weak_reference_and_what_failed_is_not_kept() -> None:
    once: Once[int] = Once(most=2)
    assert once.of(1, lambda: 7) == 7 and len(once) == 0
    array = np.zeros(1)
    with pytest.raises(ZeroDivisionError):
        once.of(array, lambda: 1 // 0)
    assert once.of(array, lambda: 5) == 5
