"""``htinvert fit FOLDER DATA --mix`` against a mixture that PDFgui's engine planted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ase.io import write
from ase.spacegroup import crystal

from .conftest import fit as run
from .conftest import mistake as said

DATA = Path(__file__).with_name("tio2_mixture.gr")


@pytest.fixture
def polymorphs(tmp_path):
    """Both with cells as far off as those of an approximate theory: 0.3 to 2 %."""
    folder = tmp_path / "tio2"
    folder.mkdir()
    anatase = crystal(["Ti", "O"], [(0, 0, 0), (0, 0, 0.2081)], spacegroup=141,
                      cellpar=[3.80, 3.80, 9.70, 90, 90, 90], primitive_cell=True)  # fmt: skip
    rutile = crystal(["Ti", "O"], [(0, 0, 0), (0.3053, 0.3053, 0)], spacegroup=136,
                     cellpar=[4.64, 4.64, 2.968, 90, 90, 90])  # fmt: skip
    write(folder / "anatase.cif", anatase)
    write(folder / "rutile.cif", rutile)
    return folder


def test_shares_and_lengths_of_a_planted_mixture_are_found(polymorphs, tmp_path):
    """70 and 30 % of the atoms; 4 standard errors, and no more than a hundredth."""
    result = run(polymorphs, DATA, "--mix", "--json", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads(result.output)
    assert found == json.loads((tmp_path / "out" / "mixture.json").read_text())
    phases = {phase["name"]: phase for phase in found["phases"]}
    for name, share in (("anatase", 0.7), ("rutile", 0.3)):
        assert abs(phases[name]["atoms"] - share) < 4 * phases[name]["share_error"] < 0.04
        assert phases[name]["mass"] == pytest.approx(phases[name]["atoms"])  # of one composition
        assert phases[name]["cost_without"] > 3 * found["costs"]["rw"]
    for name, length in (("anatase: cell a", 3.785), ("anatase: cell c", 9.514),
                         ("rutile: cell a", 4.594), ("rutile: cell c", 2.959)):  # fmt: skip
        cell = found["derived"][name]
        assert abs(cell["value"] - length) < 4 * cell["standard_error"] < 0.015, name
    assert found["costs"]["rw"] < 0.06
    assert (tmp_path / "out" / "fit.png").stat().st_size > 10_000


def test_what_cannot_be_a_mixture_is_said_in_a_sentence(polymorphs, tmp_path):
    (polymorphs / "rutile.cif").unlink()
    for structure, sentence in (
        (polymorphs, "a mixture needs two structures or more"),
        (polymorphs / "anatase.cif", "is no folder"),
    ):
        assert sentence in said(run(structure, DATA, "--mix", "-o", tmp_path / "out"))
