"""Parts of a report's page: one pass over a run, sentences of doubt, charts, pictures."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from PIL import Image

from htinvert.core import Candidate, Evaluation, Objective, Relaxation, UserError
from htinvert.demo import FOLDER as DEMO
from htinvert.rank import Ranked
from htinvert.report.page import charts, scenes
from htinvert.report.page.checks import closest
from htinvert.report.page.citations import SOURCES, citations
from htinvert.report.page.facts import Pass
from htinvert.report.page.page import command

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


def test_a_pass_holds_only_the_lowest_sums_but_counts_all() -> None:
    done = Pass(OBJECTIVES, kept=10)
    energies = np.random.default_rng(0).permutation(1000).astype(float)
    made = 0

    def stream() -> Iterator[Evaluation]:
        nonlocal made
        for index, energy in enumerate(energies):
            made += 1
            yield evaluation(index, float(energy))

    done.read(stream())
    assert made == done.good == 1000 and done.seconds == pytest.approx(500.0)
    kept = [e.objectives["energy"] for e in done.best()]
    assert sorted(kept) == [float(i) for i in range(10)]
    records = np.minimum.accumulate(energies)
    assert [step.total - 2.0 for step in done.steps] == sorted(set(records), reverse=True)
    best = int(np.argmin(energies))
    assert done.number_of(best) == done.steps[-1].after == best + 1


def test_failures_are_counted_by_kind_with_an_example() -> None:
    done = Pass(OBJECTIVES)
    lost = [replace(evaluation(i, 0.0), error=f"exploded: atom {i} moved 5 Å") for i in range(3)]
    done.read([*lost, evaluation(3, 1.0)])
    assert done.failures == {"exploded": 3} and "atom 0" in done.examples["exploded"]
    assert done.yields["random"].failed == 3 and done.good == 1


def test_an_objective_that_a_run_lacks_is_a_mistake_with_a_sentence() -> None:
    with pytest.raises(UserError, match="has no stm"):
        Pass((Objective("stm.correlation", 1.0),)).read([evaluation(0, 1.0)])


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
    uri = scenes.diverging(np.array([[1.0, -1.0], [0.0, np.nan]]), 1.0)
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


def test_what_a_run_used_is_cited_once_and_nothing_else() -> None:
    config = {
        "energy": {"use": "lammps"},
        "experiments": {
            "a": {"forward": {"use": "stem_convolution"}, "metrics": {"registration": None}},
            "b": {"forward": {"use": "stem_convolution"}, "metrics": {"correlation": None}},
        },
        "search": {"generators": [{"use": "genetic"}, {"use": "mine:Own"}]},
    }
    found = citations(config)
    assert len(found) == len(set(found)) == 9
    assert SOURCES["lammps"] in found and SOURCES["gpaw"] not in found


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
