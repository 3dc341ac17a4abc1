"""Ranking: dominated families are off the front, failures never rank, like structures are one."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.ranking.rank import distance, operator_yields, pareto_front, rank

OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 10.0))


def evaluation(index: int, length: float, energy: float, cost: float) -> Evaluation:
    """A dimer of a bond length [Å] with given objectives."""
    atoms = Atoms("CdTe", positions=[[0, 0, 0], [length, 0, 0]], cell=[12, 12, 12], pbc=True)
    atoms.set_tags(1)
    candidate = Candidate(index, atoms, "random")
    objectives = {"energy": energy, "haadf.registration": cost}
    return Evaluation(candidate, Relaxation(atoms, energy, True, 1), objectives=objectives)


def test_the_front_of_a_textbook_example() -> None:
    values = np.array([[1, 5], [2, 3], [3, 4], [4, 1], [5, 5], [4, 1]])
    np.testing.assert_array_equal(pareto_front(values), [True, True, False, True, False, True])


@given(
    st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=25).map(
        lambda rows: np.array(rows, dtype=float)
    )
)
def test_the_front_is_what_its_definition_says(values: np.ndarray) -> None:
    def dominated(i: int) -> bool:
        return any((r <= values[i]).all() and (r < values[i]).any() for r in values)

    assert list(pareto_front(values)) == [not dominated(i) for i in range(len(values))]


def test_energy_and_fit_decide_together() -> None:
    low_energy = evaluation(0, 2.8, -2.0, 0.30)
    good_fit = evaluation(1, 3.6, -1.5, 0.10)
    poor = evaluation(2, 4.4, -1.0, 0.40)
    ranked = rank([low_energy, good_fit, poor], OBJECTIVES)
    assert [r.evaluation.candidate.index for r in ranked] == [1, 0, 2]
    assert [r.on_front for r in ranked] == [True, True, False]
    assert ranked[1].above == pytest.approx(1.5)  # -2.0 + 3.0 against -1.5 + 1.0


def test_like_structures_are_one_family_headed_by_its_best() -> None:
    ranked = rank(
        [evaluation(3, 2.80, -2.0, 0.2), evaluation(5, 2.81, -2.1, 0.2), evaluation(6, 4, 0, 1)],
        OBJECTIVES,
    )
    assert [(r.evaluation.candidate.index, r.members, r.first) for r in ranked] == [
        (5, 2, 3),
        (6, 1, 6),
    ]


def test_a_failure_is_never_ranked() -> None:
    failed = Evaluation(evaluation(0, 2.8, 0, 0).candidate, error="the energy is not finite")
    assert rank([failed], OBJECTIVES) == []


def test_distance_pairs_atoms_of_one_element_whatever_their_order() -> None:
    cell = {"cell": [10, 10, 10], "pbc": True, "tags": [1, 1, 1]}
    truth = Atoms("TeTeCd", positions=[[0, 0, 0], [3, 0, 0], [6, 0, 0]], **cell)
    found = Atoms("TeTeCd", positions=[[3, 0, 0.3], [10, 0, 0], [6, 0, 0]], **cell)
    assert distance(found, truth) == pytest.approx(0.3 / np.sqrt(3))
    assert distance(truth[:2], truth) == np.inf
    exchanged = evaluation(0, 3.0, 0.0, 0.0).relaxation.atoms  # two atoms in each other's place
    turned = exchanged.copy()
    turned.positions = turned.positions[::-1]
    assert distance(turned, exchanged) == pytest.approx(3.0)


def test_operators_are_told_apart_by_what_they_brought() -> None:
    first, again = evaluation(0, 2.8, -2.0, 0.2), evaluation(1, 2.801, -2.1, 0.2)
    hop = replace(evaluation(2, 4.0, 0.0, 1.0), seconds=3.0)
    hop = replace(hop, candidate=replace(hop.candidate, operator="hop"))
    lost = replace(hop, error="atoms fused")
    refused = {("hop", "duplicate"): 4, ("hop", "min_distance"): 1, ("none", "infeasible"): 2}
    yields = operator_yields([first, again, hop, lost], refused, OBJECTIVES)
    assert [entry.operator for entry in yields] == ["hop", "random", "none"]
    hopped, random, none = yields
    assert (random.evaluated, random.duplicates, random.families) == (2, 1, 1)
    assert random.improvements == 2
    assert (hopped.proposed, hopped.failed, hopped.families, hopped.improvements) == (7, 1, 1, 0)
    assert hopped.seconds == pytest.approx(6.0)
    assert (none.proposed, none.evaluated) == (2, 0)
