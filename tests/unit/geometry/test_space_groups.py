"""The operations that a name of a space group means, in all of spglib's 530 settings."""

import warnings

import numpy as np
import pytest
import spglib

from htinvert.core import UserError
from htinvert.geometry import space_groups
from htinvert.geometry.space_groups import (
    by_hall,
    by_number,
    by_symbol,
    centered,
    is_group,
    listed,
    number_of,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of spglib's error handling
    EVERY = [spglib.get_spacegroup_type(hall) for hall in range(1, 531)]
    TABLE = {hall: spglib.get_symmetry_from_database(hall) for hall in range(1, 531)}


def keys(hall: int) -> set[tuple[int, ...]]:
    """What spglib's table holds for a setting, as whole numbers."""
    found = TABLE[hall]
    steps = np.rint(found["translations"] * 24).astype(int) % 24
    return set(map(tuple, np.hstack([found["rotations"].reshape(-1, 9), steps]).tolist()))


def words(hall: int) -> list[str]:
    """The operations of a setting as a CIF lists them."""
    found = TABLE[hall]
    texts = []
    for rotation, shift in zip(found["rotations"], found["translations"], strict=True):
        rows = []
        for row, step in zip(rotation, shift, strict=True):
            terms = [
                f"{'+' if n > 0 else '-'}{axis}" for n, axis in zip(row, "xyz", strict=True) if n
            ]
            whole = round(step * 24) % 24
            rows.append("".join(terms) + (f"+{whole}/24" if whole else ""))
        texts.append(",".join(rows))
    return texts


def test_every_setting_is_found_by_its_symbols() -> None:
    for kind in EVERY:
        names = {str(kind.international).split("=")[-1], str(kind.international_full)}
        for name in names | {name.replace(" ", "") for name in names}:
            choice = f":{kind.choice}" if kind.choice else ""
            found = by_symbol(name + choice)
            assert keys(kind.hall_number) in [option.keys() for option in found], name + choice
            assert {option.number for option in found} == {kind.number}


def test_every_setting_is_found_by_its_hall_symbol_and_by_its_operations() -> None:
    for kind in EVERY:
        found = by_hall(str(kind.hall_symbol))
        assert found is not None and found.number == kind.number
        assert found.keys() == keys(kind.hall_number)
        assert listed(words(kind.hall_number)).keys() == keys(kind.hall_number)


@pytest.mark.parametrize(
    ("symbol", "hall"),
    [
        ("F d -3 m Z", 526),
        ("F d -3 m S", 525),
        ("Fd-3mZ", 526),
        ("Fd-3m:2", 526),
        ("F d 3 m :1", 525),
        ("F d -3 m (origin choice 2)", 526),
        ("F d -3 m origin 1", 525),
        ("R -3 c H", 460),
        ("R -3 c R", 461),
        ("R-3c:R", 461),
        ("R -3 c :h", 460),
        ("P n n n :1", 228),
        ("C m c a", 304),
        ("P 63/m m c", 488),
        ("P6_3/mmc", 488),
        ("P 6(3)/m m c", 488),
        ("P6<sub>3</sub>/mmc", 488),
        ("I a 3 d", 530),
    ],
)
def test_spellings_of_databases_mean_one_setting(symbol: str, hall: int) -> None:
    assert [option.keys() for option in by_symbol(symbol)] == [keys(hall)]


def test_a_change_of_basis_of_a_hall_symbol_is_followed() -> None:
    # Int. Tables B (2010), A1.4.2: origin 2 of Fd-3m is origin 1 moved by an eighth of the cell.
    moved = by_hall("F 4d 2 3 -1d (x-1/8,y-1/8,z-1/8)")
    assert moved is not None and moved.keys() == keys(526)
    turned = by_hall("P 2y (z,x,y)")
    assert turned is not None and turned.keys() == keys(4)
    assert by_hall("P 2y (x,x,y)") is None


def test_hall_symbols_are_understood_without_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space_groups, "_halls", dict)
    for kind in EVERY:
        found = by_hall(str(kind.hall_symbol))
        assert found is not None and found.number == kind.number
        assert found.keys() == keys(kind.hall_number)


@pytest.mark.parametrize(
    ("symbol", "hall"),
    [
        ("F 4d 2 3 -1cd", 527),  # as Int. Tables B write it, where spglib has F 4d 2 3 -1ad
        ("P 31 2c (0 0 1)", 438 + 2),
        ("P 61 2 (0 0 -1)", 472),
        ('-R 3 2"c (-y+z,x+z,-x+y+z)', 461),  # as cctbx writes rhombohedral axes
        ("P 2y (x+y,-x+y,z)", None),
    ],
)
def test_hall_symbols_that_no_table_has_are_understood(symbol: str, hall: int | None) -> None:
    found = by_hall(symbol)
    assert found is not None and is_group(found)
    if hall is not None:
        assert found.keys() == keys(hall)


def test_operations_that_are_no_group_and_centerings_left_out_are_seen() -> None:
    cell = np.eye(3) * 4.0
    half = listed(["x,y,z", "-x,y,z+1/4"])
    assert not is_group(half)
    bare = listed(["x,y,z", "-x,-y,-z"])
    assert number_of(bare, cell) == 2
    assert len(centered(bare, "F")) == 8


def test_thirds_and_decimals_of_operations_are_whole_fractions() -> None:
    assert listed(["-y,x-y,z+0.333"]).keys() == listed(["-Y, X-Y, 1/3+Z"]).keys()
    assert listed(["x+.5,y,z"]).keys() == listed(["1/2+x,y,z"]).keys()


@pytest.mark.parametrize("text", ["x,y", "x,y,q", "x,x,z", "x;y;z"])
def test_an_operation_that_is_none_gets_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="symmetry operation"):
        listed([text])


def test_names_that_are_none_get_a_sentence() -> None:
    with pytest.raises(UserError, match="space group F d -3 q is not known; write a symbol"):
        by_symbol("F d -3 q")
    with pytest.raises(UserError, match="F d -3 m :3 has no setting 3; choose one of :1, :2"):
        by_symbol("F d -3 m :3")
    with pytest.raises(UserError, match="no space group 231"):
        by_number(231)
