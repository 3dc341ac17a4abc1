"""Parts of a report's page: sentences of doubt, charts, pictures."""

from __future__ import annotations

import base64
import io
import os
import re
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from PIL import Image

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.declaration.declared import sources_of
from htinvert.energy.accuracy import POTENTIAL
from htinvert.energy.ase_calculator import AseCalculator
from htinvert.energy.gpaw import Gpaw
from htinvert.energy.potential_files import BEGINNINGS, ENDINGS
from htinvert.energy.potential_sources import FAMILIES, own_source
from htinvert.energy.vasp import Vasp
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stm import Stm
from htinvert.generators.genetic import Genetic
from htinvert.image.panels import diverging
from htinvert.metrics.hog import Hog
from htinvert.metrics.registration import Registration
from htinvert.ranking.positions import Misplaced
from htinvert.ranking.rank import Ranked
from htinvert.report.demo import FOLDER as DEMO
from htinvert.report.page import charts, scenes
from htinvert.report.page.checks import closest
from htinvert.report.page.citations import SOURCES, citations
from htinvert.report.page.page import command
from htinvert.report.page.surety import next_steps, stability

UNCITED = {"store", "library"}  # generators that hand on what another run or a folder holds
OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 10.0))


def evaluation(index: int, energy: float, cost: float = 0.2) -> Evaluation:
    """A dimer with given objectives."""
    atoms = Atoms("CdTe", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[9, 9, 9], pbc=True)
    atoms.set_tags([1, 0])
    return Evaluation(
        Candidate(index, atoms, "random"),
        Relaxation(atoms, energy, True, 1),
        objectives={"energy": energy, "haadf.registration": cost},
        seconds=0.5,
    )


def test_ticks_are_round_and_inside() -> None:
    assert charts.ticks(0.0, 1.0) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert charts.ticks(-2.6, -2.4) == [-2.6, -2.55, -2.5, -2.45, -2.4]
    assert charts.ticks(0.0, 3828.0) == [0.0, 1000.0, 2000.0, 3000.0]


def test_the_pareto_plot_has_one_mark_per_choice_of_which_one_is_in_the_tab_order() -> None:
    ranked = [
        Ranked(i, evaluation(i, float(i), 0.4 - 0.05 * i), float(i), float(i), 1, i, True)
        for i in range(1, 6)
    ]
    svg = charts.pareto(ranked, OBJECTIVES, {1: 0, 2: 1, 5: 2})
    assert svg.count('role="radio"') == 3
    assert svg.count('tabindex="0"') == 1 and svg.count('tabindex="-1"') == 2
    assert "rank 5, candidate #5: 4.000, 0.1500" in svg
    assert svg.count('class="point"') == 2


def test_a_residual_is_red_where_positive_blue_where_negative_clear_where_unknown() -> None:
    uri = diverging(np.array([[1.0, -1.0], [0.0, np.nan]]), 1.0)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    red, blue, white, clear = pixels.reshape(4, 4)
    assert red[0] > 2 * red[2] and blue[2] > 2 * blue[0]
    assert white[:3].min() > 240 and clear[3] == 0


def test_a_structure_is_turned_into_the_images_frame() -> None:
    """Along x with z up: y points to the right, z up, x toward the viewer."""
    atoms = Atoms("Cd2", positions=[[0, 0, 0], [1, 2, 3]], cell=[9, 9, 9], tags=[0, 1])
    entry = Ranked(1, Evaluation(Candidate(0, atoms, "random")), 0.0, 0.0, 1, 0, True)
    first, second = scenes.structure(entry, "x", "z")["atoms"]
    moved = np.subtract(second[1:4], first[1:4])
    np.testing.assert_allclose(moved, [2.0, 3.0, 1.0])
    assert (first[4], second[4]) == (0, 1)


def test_the_closest_contact_is_named_by_its_elements() -> None:
    atoms = Atoms("CdTeTe", positions=[[0, 0, 0], [0, 0, 2.0], [0, 0, 7.0]], cell=[9] * 3)
    distance, ratio, pair = closest(atoms)
    assert (distance, pair) == (pytest.approx(2.0), "Cd-Te")
    assert ratio == pytest.approx(2.0 / (1.44 + 1.38))  # radii of Cordero et al. (2008)


def test_every_component_of_a_run_is_cited_once() -> None:
    haadf = {"forward": {"use": "stem_convolution"}, "metrics": {"registration": {}, "hog": {}}}
    stm = {"use": "stm", "density": {"use": "gpaw"}}
    config = {
        "energy": {"use": "lammps", "potential": "CdTe.sw"},
        "experiments": {"a": haadf, "b": haadf, "c": {"forward": stm, "metrics": {"hog": {}}}},
        "search": {
            "generators": [{"use": "genetic"}, {"use": "mine:Own"}],
            "screen": {"energy": {"use": "ase", "name": "mace.calculators:MACECalculator"}},
        },
    }
    used = (
        SOURCES["htinvert"], SOURCES["ase"], "LAMMPS", "F. H. Stillinger",
        "Potential CdTe.sw: Wang, Stroud and Markworth, Phys Rev B, 40, 3129 (1989).",
        *StemConvolution.sources, *Registration.sources, *Hog.sources,
        *Stm.sources, *Gpaw.sources,
        *Genetic.sources, SOURCES["screen"], "MACE",
        SOURCES["confidence"], SOURCES["page"],
    )  # fmt: skip
    cited = citations(config)
    assert len(cited) == len(used)
    for text, word in zip(cited, used, strict=True):
        assert word in text


def test_everything_that_ships_has_its_citation() -> None:
    texts = list(FAMILIES.values())
    for kind in ("energy", "forward", "metric", "generator"):
        for entry in entry_points(group=f"htinvert.{kind}"):
            given = {"name": "mace.calculators:MACECalculator", "potential": "CdTe.sw"}
            found = sources_of(entry.load(), given)
            assert found or entry.name in UNCITED or ":" not in entry.value, entry.name
            texts += found
    assert set(FAMILIES) == set(ENDINGS) | set(BEGINNINGS)
    for text in texts:
        assert re.search(r"\((18|19|20)\d\d\)", text), text
        assert text.endswith(".")
        for doi in re.findall(r"doi:(\S+?)[;.,]?(?: |$)", text):
            assert re.fullmatch(r"10\.\d{4,5}/\S+", doi), text


def test_a_calculator_of_ase_cites_what_it_wraps() -> None:
    assert sources_of(AseCalculator, {"name": "vasp"}) == Vasp.sources
    assert "MACE" in sources_of(AseCalculator, {"name": "mace.calculators:MACECalculator"})[0]
    assert sources_of(AseCalculator, {"name": "emt"}) == ()


@dataclass(frozen=True)
class Mine:
    """A plug-in's generator, in no file but this one."""

    sources: ClassVar[tuple[str, ...]] = ("A. Nobody, J. Nowhere 1, 1 (2026).",)

    def ask(self, indices: Any) -> Any: ...
    def tell(self, evaluations: Any) -> None: ...


def test_a_plug_in_is_cited_for_what_it_declares_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Mine=Mine))
    config = {
        "energy": {"use": "gone:Engine"},  # of a machine that had it
        "search": {"generators": [{"use": "mine:Mine", "share": 2.0}]},
    }
    assert Mine.sources[0] in citations(config)


def test_a_potential_of_ones_own_cites_what_its_file_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.eam.alloy"
    path.write_text("# DATE: 2026 CITATION: A. Nobody, J. Nowhere 1, 1 (2026) COMMENT: none\n")
    assert own_source(path) == "A. Nobody, J. Nowhere 1, 1 (2026)"
    path.write_text("# parameters\n")
    assert own_source(path) == own_source(tmp_path / "gone.sw") == ""


@pytest.mark.parametrize(
    ("origin", "base", "said"),
    [
        (DEMO, None, "htinvert demo --seed 4 --workers 2"),
        (None, DEMO, "htinvert demo --seed 4 --workers 2"),  # a run from before that was recorded
        (DEMO.parent, None, "htinvert run planted.yaml"),
        (None, None, "htinvert run planted.yaml"),
    ],
)
def test_the_command_that_repeats_a_run_is_one_that_a_user_has(
    tmp_path: Path, origin: Path | None, base: Path | None, said: str
) -> None:
    provenance = {"folder": os.path.relpath(origin, tmp_path)} if origin else {}
    config = SimpleNamespace(name="planted", seed=4, workers=2)
    facts: Any = SimpleNamespace(folder=tmp_path, provenance=provenance, base=base, config=config)
    assert command(facts) == said


@pytest.mark.parametrize(
    ("channels", "by_data", "families", "last", "said"),
    [
        (
            1,
            0.99,
            3,
            10,
            ["Measure: more data of the same kind would hardly help, as 99%", "Compute"],
        ),
        (1, 0.60, 3, 10, ["Measure: only 60% of draws from the data keep", "Compute: of these 3"]),
        (0, 1.00, 3, 10, ["Measure: energies alone rank here", "Compute"]),
        (1, 0.99, 1, 90, ["Search longer (htinvert run with --more): the best was met late"]),
        (1, 0.99, 1, 10, []),
    ],
)
def test_what_to_do_next_follows_from_what_leaves_a_doubt(
    channels: int, by_data: float, families: int, last: int, said: list[str]
) -> None:
    step = SimpleNamespace(after=last)
    facts: Any = SimpleNamespace(
        channels=range(channels), evaluated=100, done=SimpleNamespace(steps=lambda: [step])
    )
    claim = SimpleNamespace(by_image=[by_data], by_engine=[0.55])
    surety: Any = SimpleNamespace(
        faces=range(families), claim=claim, better={"dft": 1}, evidence=SimpleNamespace(nats=False)
    )
    found = next_steps(facts, surety)
    assert len(found) == len(said)
    assert all(a.startswith(b) for a, b in zip(found, said, strict=True)), found


def test_a_ranking_by_likelihoods_draws_no_error_of_the_engine() -> None:
    """kT has that of energies, the floor that of positions, with its unit and source."""
    off = Misplaced(distance=0.12, share=0.3, model=0.1, floor=0.2)
    surety: Any = SimpleNamespace(
        ranked=range(2), claim=SimpleNamespace(by_image=[0.7]), engine=POTENTIAL, by_weights=[0.8],
        evidence=SimpleNamespace(nats=True, misplaced={"xray.rw": off}),
    )  # fmt: skip
    said = " ".join(stability(surety))
    assert "70% of bootstraps of the data keep it first; kT holds the error of energies." in said
    assert "xray.rw errs by 0.2 of the signal: 0.1 by the model, 0.3 by atoms 0.12 Å off" in said
    assert "less as the best fit is better than that (interatomic potential)." in said
