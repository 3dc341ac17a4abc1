"""Every combination of a vary block, each built once, failures with their reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from htinvert.config.vary import read_enumeration
from htinvert.core import UserError

COPPER = "use: prototype\nformula: Cu\ncrystal: fcc\na: 3.6\ncubic: true\n"


def enumerate_(tmp_path: Path, text: str) -> list:
    path = tmp_path / "many.yaml"
    path.write_text(text, encoding="utf-8")
    return list(read_enumeration(path).build())


def test_ranges_and_lists_are_combined(tmp_path: Path) -> None:
    vary = "vary:\n  a: {from: 3.5, to: 3.7, by: 0.1}\n  repeat: [[1, 1, 1], [1, 1, 2]]\n"
    found = enumerate_(tmp_path, COPPER + vary)
    assert [built.number for built in found] == [1, 2, 3, 4, 5, 6]
    assert [len(built.atoms) for built in found] == [4, 8] * 3
    assert found[-1].atoms.cell[0, 0] == pytest.approx(3.7)


def test_keys_can_go_together(tmp_path: Path) -> None:
    found = enumerate_(tmp_path, COPPER + "vary:\n  formula, a: [[Cu, 3.6], [Al, 4.05]]\n")
    assert [str(built.atoms.symbols) for built in found] == ["Cu4", "Al4"]


def test_all_rows_of_a_table_are_built(tmp_path: Path) -> None:
    """One vacancy in a cubic cell of copper, and one substitution: a row each, by symmetry."""
    text = (
        "use: variant\nof: {use: prototype, formula: NaCl, crystal: rocksalt, a: 5.64, "
        "cubic: true}\nchange: vacancies\nvary: {choice: all}\n"
    )
    found = enumerate_(tmp_path, text)
    assert sorted(built.atoms.get_chemical_formula() for built in found) == ["Cl3Na4", "Cl4Na3"]


def test_what_cannot_be_built_comes_with_its_reason(tmp_path: Path) -> None:
    found = enumerate_(tmp_path, COPPER + "vary:\n  a: [3.6, -1.0]\n")
    assert [built.atoms is None for built in found] == [False, True]
    assert found[1].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (COPPER, "has no vary"),
        (COPPER + "vary: {a: 3.6}\n", "give a list, or"),
        (COPPER + "vary: {a: {from: 3, to: 2, by: 1}}\n", "give a list, or"),
        (COPPER + "vary: {top.tilt: [1, 2]}\n", "leads nowhere; top is no block"),
        (COPPER + "vary:\n  formula, a: [3.6]\n", "needs 2 values at once"),
        (COPPER + "vary: {a: {from: 0, to: 1, by: 1e-6}}\n", "more than 100000"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        enumerate_(tmp_path, text)
