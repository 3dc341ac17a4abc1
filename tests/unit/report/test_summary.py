"""The table of the best families."""

import pytest
from ase import Atoms
from ase.build import bulk

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.ranking.rank import Ranked, rank, unit_of_sum
from htinvert.report.run import Families
from htinvert.report.summary import family_table, other_ranks

FIT = Objective("pdf.rw", 1.0)


@pytest.mark.parametrize(
    ("objectives", "unit"),
    [
        ([Objective("energy", 1.0), FIT], "eV"),  # a weight is worth eV per unit of the cost
        ([Objective("formation_energy", 1.0)], "eV/atom"),
        ([FIT], ""),
        ([Objective("energy", 0.5), FIT], ""),
        ([Objective("energy", 1.0), Objective("interface_energy", 1.0)], ""),
    ],
)
def test_the_sum_has_the_unit_of_its_only_energy(objectives: list[Objective], unit: str) -> None:
    """It once said eV where only a fit ranked."""
    assert unit_of_sum(objectives) == unit
    values = {objective.name: 1.5 for objective in objectives}
    best = Evaluation(Candidate(0, Atoms("Cu"), "start"), objectives=values)
    ranked = [Ranked(1, best, 1.5, 0.0, 1, 0, on_front=True)]
    heads = [column.header for column in family_table(ranked, objectives).columns]
    assert (f"above\n[{unit}]" if unit else "above") in heads
    head = f"<th>above [{unit}]</th>" if unit else "<th>above</th>"
    assert head in Families(ranked, objectives)._repr_html_()


def test_ranks_under_other_weights_stand_beside_the_rank() -> None:
    """At a third of the weight 0.3 and 0.6, as given 0.9 and 0.8, at three times 2.7 and 1.4."""

    def found(index: int, energy: float, cost: float) -> Evaluation:
        atoms = bulk("Cu", a=3.6 + 0.5 * index)
        numbers = {"energy": energy, "haadf.ssim": cost}
        relaxation = Relaxation(atoms, energy, True, 1)
        return Evaluation(Candidate(index, atoms, "random"), relaxation, objectives=numbers)

    aims = (Objective("energy", 1.0), Objective("haadf.ssim", 3.0))
    ranked = rank([found(1, 0.0, 0.3), found(2, 0.5, 0.1)], aims)  # sums of 0.9 and 0.8
    assert other_ranks(ranked, aims) == {1: "2,1", 2: "1,2"}
    assert other_ranks(ranked, aims[:1]) == {}
