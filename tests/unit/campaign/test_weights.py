"""What a cost is worth where a campaign does not say."""

from dataclasses import replace
from pathlib import Path

import pytest

from htinvert.campaign.load import load
from htinvert.campaign.loop import run
from htinvert.campaign.plan import IMAGE_WEIGHT, Plan, fit_to_start
from htinvert.campaign.resume import ready
from htinvert.campaign.weights import weighted, worths
from htinvert.report.demo import CAMPAIGN

NAME = "haadf.registration"


@pytest.fixture(scope="module")
def demo() -> Plan:
    plan = load(CAMPAIGN, workers=0, stop={"evaluations": 2})
    silent = replace(plan, config=plan.config.model_copy(update={"objectives": None}))
    return silent.calibrated(fit_to_start(silent))


def test_the_engine_s_error_is_worth_the_scatter_of_noise(demo: Plan) -> None:
    """0.1 eV is what a potential errs by; the root of the mean count is 15.5 % of the contrast."""
    found = worths(demo)[NAME]
    assert found.weight == pytest.approx(13.0, abs=4.0)  # 0.1 eV over 0.008, from 20 draws
    assert "16% of the contrast" in found.why
    assert "by 0.1 eV per atom" in found.why


def test_what_a_file_says_stays(demo: Plan) -> None:
    said = load(CAMPAIGN)
    assert weighted(said).objectives == said.objectives
    derived = {o.name: o.weight for o in weighted(demo).objectives}
    assert derived["energy"] == 1.0
    assert derived[NAME] == worths(demo)[NAME].weight


def test_a_run_goes_on_with_the_weights_it_began_with(demo: Plan, tmp_path: Path) -> None:
    run(demo, tmp_path / "run")
    kept = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(kept.replace(f"{NAME}: 12", f"{NAME}: 17"))
    weights = {o.name: o.weight for o in ready(demo, tmp_path / "run").objectives}
    assert weights[NAME] == pytest.approx(17.0, abs=0.5)


def test_without_a_start_structure_it_is_a_convention(demo: Plan) -> None:
    space = replace(demo.space, template=demo.space.template[:0])
    found = worths(replace(demo, space=space))[NAME]
    assert (found.weight, found.why) == (
        IMAGE_WEIGHT,
        "a convention, because the start structure has no atoms",
    )
