"""What the terminal shows of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from htinvert.core import UserError
from htinvert.report.potentials import potentials_of
from htinvert.report.session import _show_scan
from htinvert.report.terminal import terminal


def test_a_scan_of_a_run_without_chemical_potentials_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("name: a\nobjectives: {energy: 1.0}\n")
    with pytest.raises(UserError, match="Te has no chemical potential in this run; it has none"):
        _show_scan(tmp_path, [], [], "Te=-2.6:-2.1", [], terminal(quiet=True))


def test_a_run_whose_phases_are_lost_has_no_potentials(tmp_path: Path) -> None:
    """They were kept in its provenance; the phases themselves were once taken for numbers."""
    (tmp_path / "config.yaml").write_text("chemical_potentials: {phases: [CdTe, Cd, Te]}\n")
    assert potentials_of(tmp_path) == {}
