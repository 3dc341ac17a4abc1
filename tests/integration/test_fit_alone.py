"""A run that nothing but fits rank is labeled: by `check`, at its end, by `rank` and the report."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from htinvert.core import Objective
from htinvert.ranking.rank import fit_alone

WORDS = "fit alone: haadf.registration ranks and no energy does, which overfits"


@pytest.mark.parametrize(
    ("weights", "warns"),
    [
        ({"haadf.registration": 1.0}, True),
        ({"haadf.registration": 1.0, "energy": 0.0}, True),
        ({"haadf.registration": 1.0, "energy": 1.0}, False),
        ({"haadf.registration": 1.0, "interface_energy": 1.0}, False),
        ({"energy": 1.0}, False),
    ],
)
def test_a_warning_where_no_energy_has_a_weight(weights: dict[str, float], warns: bool) -> None:
    said = fit_alone([Objective(name, weight) for name, weight in weights.items()])
    assert said.startswith(WORDS) is warns
    assert bool(said) is warns


def test_a_run_by_fit_alone_says_so_everywhere(
    campaign: Callable[..., Path],
    htinvert: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    path = campaign(objectives={"haadf.registration": 1.0})
    folder = tmp_path / "runs" / "tiny"
    for arguments in (("check", path), ("run", path), ("rank", folder), ("report", folder)):
        done = htinvert(*arguments)
        assert done.returncode == 0, done.stderr
        if arguments[0] != "report":
            assert WORDS in " ".join(done.stdout.split()), arguments
    page = next(folder.glob("*.html")).read_text(encoding="utf-8")
    assert WORDS in page
