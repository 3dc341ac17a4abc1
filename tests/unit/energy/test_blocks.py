"""The blocks of docs/energy.md make what they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.core import UserError
from htinvert.plugins import build

PAGE = Path(__file__).parents[3] / "docs" / "energy.md"


def blocks() -> list[dict[str, Any]]:
    """The energy blocks of the page, one from each line or block that begins with `energy:`."""
    found = []
    for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        found += [yaml.safe_load(part)["energy"] for part in re.split(r"\n(?=energy:)", text)]
    return found


def test_the_page_shows_every_engine_that_it_explains() -> None:
    assert {block["use"] for block in blocks()} >= {
        "lammps", "sevennet", "ase", "abinit", "espresso", "vasp",
    }  # fmt: skip


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block["use"])
def test_a_block_of_the_page_is_accepted(
    block: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it lacks, in a sentence, what is not installed here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_upf").mkdir()
    (tmp_path / "my.model").touch()
    try:
        made = build("energy", block, tmp_path)
    except UserError as error:
        if re.search("not installed|has no calculator mace", str(error)):
            pytest.skip(str(error))
        raise
    assert made.offer.model
    if block["use"] == "vasp":
        assert made.magnetic_moments == {"Ni": 2.0}
        with pytest.raises(UserError, match="VASP cannot run"):
            made.check_elements({"Ni"})
    if block["use"] == "abinit" and shutil.which("abinit"):
        assert made.cutoff >= 500
