"""The planted particle of ``htinvert demo pdf``: G(r) by another program, explained by ours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import htinvert as ht
from htinvert.campaign.load import load
from htinvert.core import UserError
from htinvert.evaluation.fit import fit
from htinvert.report import demo


def test_another_programs_particle_is_explained_to_the_noise() -> None:
    """10 % noise is an Rw of 0.1, of which a scale and two parameters take a little."""
    plan = load(demo.CAMPAIGNS["pdf"])
    result = fit(plan.recipe.channels[0], demo.truth(None, demo.CAMPAIGNS["pdf"].parent))
    assert 0.07 < result.scores["rw"].cost < 0.1
    assert result.parameters["u"] == pytest.approx(0.01, rel=0.1)
    assert result.parameters["zoom"] == pytest.approx(1.0, abs=0.002)


def test_a_turned_particle_is_the_planted_one() -> None:
    folder = demo.CAMPAIGNS["pdf"].parent
    turned = demo.truth(None, folder)
    turned.rotate(40.0, (1, 2, 3))
    candidate = SimpleNamespace(atoms=turned)
    ranked = [SimpleNamespace(evaluation=candidate, members=1, rank=1, first=0)]
    assert "rank 1 of 1" in demo.verdict(ranked, None, folder)


def test_a_demo_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(UserError, match="image, pdf"):
        demo.campaign_of("pfd")


def test_the_demonstration_has_a_report(tmp_path: Path) -> None:
    """It began from an empty box, whose G(r) was asked for as a null model."""
    few = load(demo.CAMPAIGNS["pdf"], stop={"evaluations": 3}, workers=0)
    ht.run(few, tmp_path / "run").report()
    assert "Xe19" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
