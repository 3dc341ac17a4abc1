"""Objectives that are likelihoods: their numbers, the run that keeps them, ranks by other ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

import htinvert as ht
from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.plan import Plan
from htinvert.core import UserError
from htinvert.ranking.confidence import declared_accuracy
from htinvert.report.as_json import ranking_values
from htinvert.report.page.decide import show_decision
from htinvert.report.page.facts import read_run
from htinvert.report.page.page import build
from htinvert.report.plan_table import plan_table

DEMO = Path(ht.__file__).parent / "data" / "demo_pdf" / "demo.yaml"
LIKELY = {"energy": "likelihood", "pdf": "likelihood"}


def plan(objectives: dict[str, Any], **changes: Any) -> Plan:
    found: Plan = ht.load(DEMO, objectives=objectives, workers=0, **changes)
    return found


def test_numbers_follow_from_the_data_and_the_engine() -> None:
    """9.5 Å of r, qmax 25 in the header; 19 atoms of 0.1 eV each."""
    found = plan(LIKELY)
    energy, pdf = found.objectives
    assert pdf.name == "pdf.rw"
    qmax = found.recipe.channels[0].forward.qmax  # type: ignore[attr-defined]
    assert pdf.likelihood.points == pytest.approx(9.5 * qmax / np.pi, rel=0.01)
    assert 1.0 / energy.weight == pytest.approx(0.1 * np.sqrt(19.0), rel=0.01)
    assert "19 atoms" in found.said["energy"] and "300 K" in found.said["energy"]
    assert "profiled out" in found.said["pdf.rw"]


def test_numbers_by_hand_stay() -> None:
    aims = plan({"energy": {"kT": 0.25}, "pdf.rw": {"points": 30, "floor": 0.05}}).objectives
    assert aims[0].weight == 4.0
    assert (aims[1].likelihood.points, aims[1].likelihood.floor) == (30.0, 0.05)
    mixed = plan({"energy": 2.0, "pdf": "likelihood"})
    assert mixed.said["energy"] == "energy: 2 per eV, by hand"


@pytest.mark.parametrize(
    ("objectives", "says"),
    [
        ({"energy": "likely"}, "'likely' is neither a weight nor the word likelihood"),
        ({"formation_energy": "likelihood"}, "formation_energy has no likelihood"),
        ({"pdf": {"floor": 2.0}}, "floor"),
        ({"pdf": 2.0}, "objectives.pdf is unknown"),
    ],
)
def test_mistakes_are_answered(objectives: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        plan(objectives)


def test_a_metric_that_is_no_residual_is_refused() -> None:
    raw = yaml.safe_load((DEMO.parent.parent / "demo" / "demo.yaml").read_text())
    name = next(iter(raw["experiments"]))
    with pytest.raises(UserError, match="none of its metrics is a residual of least squares"):
        ht.load(DEMO.parent.parent / "demo" / "demo.yaml", objectives={name: "likelihood"})


def test_a_run_keeps_them_and_ranks_by_others_from_what_is_stored(tmp_path: Path) -> None:
    vague = {"energy": {"kT": 100.0}, "pdf.rw": {"points": 2, "floor": 0.5}}  # two are left
    run = ht.run(plan(vague, stop={"evaluations": 3}), tmp_path / "run")
    kept = objectives_of(run.path)
    assert kept[1] == run.plan.objectives[1]
    ranked = run.rank()
    values = ranked[0].evaluation.objectives
    by_hand = values["energy"] * kept[0].weight + kept[1].likelihood(values["pdf.rw"])
    assert ranked[0].total == pytest.approx(by_hand)
    assert ranking_values(ranked, kept)["unit"] == "nats"
    other = run.rank(pdf__rw=40.0, energy=1.0)
    found = [entry.evaluation.objectives for entry in other]
    assert other[0].total == pytest.approx(min(o["energy"] + 40 * o["pdf.rw"] for o in found))
    console = Console(width=100, record=True, file=io.StringIO(), markup=False)
    plans = tmp_path / "plans.yaml"
    plans.write_text("neutrons: {like: pdf, forward: {radiation: neutron}, noise: 0.02, per: d}")
    decision, wanted = show_decision(run.path, console=console, declared=plans)
    assert [len(choice) for choice in decision.choices] == [1, 1, 2]
    told = console.export_text()
    assert decision.inside[:, 0].any() and "nats" in told
    assert wanted is not None and wanted.foreseen[0].measurement.name == "neutrons"
    assert "1 d" in told and "noise 0.02 of the signal per d, as given" in told
    assert (run.path / "decide.png").is_file()
    facts, engine = read_run(run.path), declared_accuracy(run.plan.config.energy)
    _, surety = build(facts, engine, {"stages": "", "scan": "", "files": []})
    assert surety is not None  # the report claims what all data leave
    assert surety.claim.inside.tolist() == decision.inside[-1].tolist()
    with pytest.raises(UserError, match="kT holds the error"):
        show_decision(run.path, console=console, error=(5.0, None))
    again = ht.run(plan(vague, stop={"evaluations": 4}), tmp_path / "run")
    assert again.counts().ok == 4


def test_the_table_shows_what_is_by_hand_and_what_is_not() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(plan_table(plan({"energy": 2.0, "pdf": "likelihood"})))
    text = console.export_text()
    assert "2 x energy" in text
    assert "-ln L(pdf.rw; " in text
