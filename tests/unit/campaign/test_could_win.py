"""A costly datum is asked only of the families that could still be among the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.campaign import funnel
from htinvert.campaign.funnel import BestOf
from htinvert.core import Candidate, Evaluation, Exhausted, Objective, Relaxation
from htinvert.metrics.likelihood import Likelihood
from htinvert.ranking.rank import Ranked, rank

CHEAP = (Objective("energy", 2.0), Objective("image.correlation", 100.0))
ALL = (*CHEAP, Objective("exafs.rw", 1.0, Likelihood(20.0, 0.1)))
FIRST = 5


def evaluated(index: int, values: dict[str, float], operator: str = "random") -> Evaluation:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.0 + 0.05 * index]], cell=[9, 9, 90], tags=1)
    relaxation = Relaxation(atoms, values["energy"], converged=True, steps=1)
    return Evaluation(Candidate(index, atoms, operator), relaxation, objectives=values)


def table(seed: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    rows = rng.uniform([0.0, 0.0, 0.1], [2.0, 1.0, 0.5], size=(60, 3))
    names = [objective.name for objective in ALL]
    return [dict(zip(names, row.tolist(), strict=True)) for row in rows]


def search(
    generator: BestOf, rows: list[dict[str, float]], out: int
) -> tuple[dict[int, float], str]:
    """Sums of what is evaluated, by row, and why it ends; with so many results out at once."""
    sums: dict[int, float] = {}
    waiting: list[Evaluation] = []
    while True:
        try:
            asked = generator.ask([len(sums) + len(waiting)])
        except Exhausted as end:
            return sums, str(end)
        for candidate in asked:
            number = round((candidate.atoms.positions[1, 2] - 2.0) / 0.05)
            relaxation = Relaxation(candidate.atoms, 0.0, converged=True, steps=0)
            waiting.append(Evaluation(candidate, relaxation, objectives=rows[number]))
            sums[number] = sum(o.worth(rows[number][o.name]) for o in ALL)
        if len(waiting) >= out:
            generator.tell([waiting.pop(0)])
            if len(sums) == len(rows):
                generator.tell(waiting)


@pytest.mark.parametrize("out", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_first_are_those_of_all_and_few_are_evaluated(
    seed: int, out: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = table(seed)
    ranked = rank(
        [evaluated(i, {o.name: row[o.name] for o in CHEAP}) for i, row in enumerate(rows)], CHEAP
    )
    known: list[Ranked] = list(ranked)
    monkeypatch.setattr(funnel, "families", lambda *_: known)
    monkeypatch.setattr(funnel, "objectives_of", lambda *_: CHEAP)
    (tmp_path / "config.yaml").touch()
    generator = BestOf(str(tmp_path), first=FIRST, objectives=ALL)
    sums, why = search(generator, rows, out)
    every = {i: sum(o.worth(row[o.name]) for o in ALL) for i, row in enumerate(rows)}
    best = sorted(every, key=every.__getitem__)[:FIRST]
    assert set(best) <= set(sums)
    assert len(sums) < 40
    assert f"{60 - len(sums)} families" in why and "whatever exafs.rw says" in why
