"""Which symmetry operations the words of a CIF mean, and where they contradict each other.

A file may name its group by a Hermann-Mauguin symbol, a number, a Hall symbol, a list of
operations, or several of these. Operations that are a group of the kind that is named count; else
all that is said must agree, and the settings that are left open are all given back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from ase.io.cif import CIFBlock
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.geometry.space_groups import (
    Operations,
    by_hall,
    by_number,
    by_symbol,
    centered,
    is_group,
    listed,
    number_of,
    preferred,
)

UNKNOWN = (None, "", ".", "?")
SYMBOL = ("_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m",
          "_space_group.name_h-m_alt", "_symmetry.space_group_name_h-m",
          "_space_group_name_h-m_full", "_symmetry_space_group_name_h-m_alt",
          "_space_group.name_h-m_full")  # fmt: skip
HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall", "_space_group.name_hall",
        "_symmetry.space_group_name_hall")  # fmt: skip
NUMBER = ("_space_group_it_number", "_symmetry_int_tables_number", "_space_group.it_number",
          "_symmetry.int_tables_number")  # fmt: skip
CODE = ("_space_group_it_coordinate_system_code", "_space_group.it_coordinate_system_code")
LISTED = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz",
          "_symmetry_equiv_pos_as_xyz", "_symmetry_equiv.pos_as_xyz")  # fmt: skip


def operations_of(block: CIFBlock, cell: NDArray[np.float64]) -> list[Operations]:
    """Operations that the file may mean, the likeliest first; those that do not fit the cell out.

    Raises :class:`UserError` where the file contradicts itself.
    """
    told, number = _told(block)
    texts = [str(text) for text in column_of(first_of(block, LISTED)) if text not in UNKNOWN]
    own = listed(texts) if texts else None
    if own is None and told is None:
        return [listed(())]
    fitting = [option for option in told or [] if option.fit(cell)]
    if own is None:
        if not fitting:
            assert told  # noqa: S101  (else there was nothing to fit)
            raise UserError(
                f"its cell ({_shape(block)}) has not the shape that {told[0].name} asks for; check "
                "the cell, the symbol and its setting"
            )
        return preferred(fitting)
    group = own.fit(cell) and is_group(own)
    same = [option for option in fitting if option.keys() == own.keys()]
    if group and (told is None or same):
        return [own]
    found = number_of(own, cell) if group else 0
    if group and told is not None and found == number:  # in a setting that no table has
        named = [one for one in told if len(told) == 1 and one.name.endswith((":1", ":2"))]
        return [own, *(one for one in named if one.fit(cell))]
    letter = str(first_of(block, SYMBOL) or "P").strip(" '\"")[:1].upper()
    whole = centered(own, letter)
    options = [option for option in (own, whole) if option.fit(cell) and is_group(option)]
    options += preferred(fitting)
    if not options:
        raise UserError(
            "the symmetry operations that it lists make no group, or not one that its cell "
            f"({_shape(block)}) can have; check them and the cell"
        )
    return options


def _told(block: CIFBlock) -> tuple[list[Operations] | None, int]:
    """Settings by what names the group, None where nothing does, and its number or 0."""
    symbol, hall, number, code = (first_of(block, names) for names in (SYMBOL, HALL, NUMBER, CODE))
    listing = first_of(block, LISTED) is not None
    named: list[list[Operations]] = []
    said = [f"{word}" for word in (symbol, hall, number) if word is not None]
    if hall is not None and (found := by_hall(str(hall))) is not None:
        named.append([found])
    if symbol is not None:
        try:
            named.append(by_symbol(str(symbol), code=str(code or "")))
        except UserError:
            if not (listing or named):
                raise
    if number is not None and not named and not (listing and symbol is not None):
        named.append(by_number(_whole(number)))
    if hall is not None and not named and not listing:
        raise UserError(
            f"Hall symbol {hall} is not known; give the Hermann-Mauguin symbol, or list the "
            "symmetry operations"
        )
    if not named:
        return None, 0
    chosen = named[0]
    for others in named[1:]:
        keys = [other.keys() for other in others]
        chosen = [option for option in chosen if option.keys() in keys]
    if number is not None:
        chosen = [option for option in chosen if option.number == _whole(number)]
    if not chosen and listing:
        return None, 0  # the operations are what counts
    if not chosen:
        raise UserError(
            f"its words on the space group contradict each other ({', '.join(said)}); correct or "
            "remove what is wrong"
        )
    return chosen, chosen[0].number


def first_of(block: CIFBlock, names: Iterable[str]) -> Any:
    """The first of some items that says something, None where none does."""
    for name in names:
        value = block.get(name)
        if isinstance(value, list) and name not in LISTED:
            value = value[0] if value else None
        if value not in UNKNOWN:
            return value
    return None


def _whole(value: Any) -> int:
    try:
        return int(str(value).strip(" '\""))
    except ValueError:
        raise UserError(f"its space group has the number {value}, which is none") from None


def _shape(block: CIFBlock) -> str:
    return " ".join(f"{value}" for value in block.get_cellpar() or ())


def column_of(values: Any) -> list[Any]:
    """A column of a loop, or a single value as one; empty where there is none."""
    if values is None:
        return []
    return list(values) if isinstance(values, list) else [values]
