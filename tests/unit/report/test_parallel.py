"""Many objectives side by side: an axis each, a line per family."""

from __future__ import annotations

import re

import numpy as np
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.ranking.rank import rank
from htinvert.report.page.charts import parallel

NAMES = ("energy", "haadf.correlation", "xray.rw", "exafs.rw", "tem.correlation")


def test_the_best_by_a_datum_lies_at_its_foot_and_rank_1_is_drawn_last() -> None:
    rows = np.array([[0.0, 4.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.5, 9.0, 1.0], [2.0, 9.0, 0, 4.0, 0.5]])
    aims = [Objective(name, 1.0) for name in NAMES]
    evaluations = []
    for index, row in enumerate(rows):
        atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.0 + 0.4 * index]], tags=1)
        relaxation = Relaxation(atoms, float(row[0]), converged=True, steps=1)
        values = dict(zip(NAMES, row.tolist(), strict=True))
        evaluations.append(
            Evaluation(Candidate(index, atoms, "random"), relaxation, objectives=values)
        )
    svg = parallel(rank(evaluations, aims), aims, "nats")
    lines = re.findall(r'points="([^"]+)" class="(\w+)"><title>rank (\d)', svg)
    assert [rank for _, _, rank in lines] == ["3", "2", "1"] and lines[-1][1] == "first"
    heights = {
        int(rank): [float(pair.split(",")[1]) for pair in points.split()]
        for points, _, rank in lines
    }
    foot = max(map(max, heights.values()))
    assert all(max(column) == foot for column in zip(*heights.values(), strict=True))
    assert heights[1][0] == foot  # the first has the lowest energy
    names = [float(y) for y in re.findall(r'y="([\d.]+)" class="tick middle">rw', svg)]
    assert abs(names[0] - names[1]) == 30.0  # of five axes every other name stands lower
