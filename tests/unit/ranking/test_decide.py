"""Which datum decides, and whether data can be of one structure."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.metrics.likelihood import Likelihood
from htinvert.ranking.decide import Decision, choices_of, contenders
from htinvert.ranking.rank import rank
from htinvert.report.page.decide import sentences

NAMES = ("energy", "haadf.correlation", "xray.rw")


def evaluated(index: int, values: tuple[float, float, float]) -> Evaluation:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.0 + 0.4 * index]], tags=1)
    objectives = dict(zip(NAMES, values, strict=True))
    relaxation = Relaxation(atoms, values[0], converged=True, steps=1)
    return Evaluation(Candidate(index, atoms, "random"), relaxation, objectives=objectives)


def decision(
    p_values: dict[str, list[float]], misfits: dict[str, tuple[float, float]] | None = None
) -> Decision:
    """Three families, the first of which is the joint best."""
    aims = [Objective(name, 1.0) for name in NAMES]
    table = [(0.0, 0.1, 0.1), (0.0, 0.05, 0.3), (0.0, 0.4, 0.06)]
    ranked = rank([evaluated(i, row) for i, row in enumerate(table)], aims)
    worths = {name: np.array(column) for name, column in zip(NAMES, np.array(table).T, strict=True)}
    choices = choices_of(NAMES)
    inside = np.ones((len(choices), 3), dtype=bool)
    inside[-1] = [True, False, False]
    found = {name: np.array(values) for name, values in p_values.items()}
    return Decision(ranked, choices, inside, worths, found, misfits or {})


def test_choices_are_each_alone_then_pairs_then_all() -> None:
    assert choices_of(NAMES) == (
        *((name,) for name in NAMES),
        ("energy", "haadf.correlation"),
        ("energy", "xray.rw"),
        ("haadf.correlation", "xray.rw"),
        NAMES,
    )
    assert {len(choice) for choice in choices_of("abcdef")} == {1, 2, 5, 6}


def test_the_best_by_one_datum_is_compared_whatever_its_joint_rank() -> None:
    """Its image is the best of sixty, and its G(r) the worst; the forty best always are."""
    aims = [
        Objective("energy", 1.0),
        Objective("haadf.correlation", 1.0, Likelihood(20.0, 0.1, root=False)),
        Objective("xray.rw", 1.0, Likelihood(200.0, 0.05)),
    ]
    rows = [(0.01 * i, 0.3 + 0.01 * i, 0.1 + 0.01 * i) for i in range(60)]
    rows[59] = (1.0, 0.01, 0.9)
    ranked = rank([evaluated(i, row) for i, row in enumerate(rows)], aims)
    assert ranked[-1].evaluation.candidate.index == 59
    assert contenders(ranked, aims) == [*ranked[:40], ranked[-1]]


@pytest.mark.parametrize(
    ("haadf", "xray", "is_so"),
    [
        ([0.5, 1.0, 0.001], [0.6, 0.001, 1.0], False),  # the first is left by both
        ([0.01, 1.0, 0.001], [0.6, 0.001, 1.0], True),  # none is
        ([0.03, 1.0, 0.001], [0.03, 0.001, 1.0], False),  # at 5 % shared by two, the first is
    ],
)
def test_data_are_inconsistent_where_none_is_left_by_each(
    haadf: list[float], xray: list[float], is_so: bool
) -> None:
    found = decision({"energy": [0.0, 0.0, 0.0], NAMES[1]: haadf, NAMES[2]: xray})
    assert found.inconsistent is is_so
    said = " ".join(sentences(found, "nats"))
    assert ("The data are inconsistent" in said) is is_so
    assert "haadf.correlation 0.1, xray.rw 0.0" in said


def test_what_nothing_fits_is_no_contradiction() -> None:
    found = decision(
        {NAMES[1]: [0.01, 1.0, 0.0], NAMES[2]: [0.6, 0.0, 1.0]}, {NAMES[1]: (0.6, 0.15)}
    )
    assert not found.inconsistent
    assert "Nothing that was found fits haadf.correlation: the best misfit is 0.60" in " ".join(
        sentences(found)
    )
