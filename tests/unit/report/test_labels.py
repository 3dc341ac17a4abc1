"""Numbers beside marks can be read wherever the marks lie."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from matplotlib.text import Text
from numpy.typing import NDArray

from htinvert.core import Candidate, Evaluation, Objective, Relaxation
from htinvert.ranking.rank import Ranked, pareto_front
from htinvert.report import figures
from htinvert.report.labels import CLOSE, DIGIT, Crowd, Label, along, labels
from htinvert.report.page import charts

OBJECTIVES = (Objective("energy", 1.0), Objective("haadf.registration", 10.0))
HEIGHT, RADIUS = 8.0, 3.5
FRAME = (0.0, 0.0), (400.0, 300.0)


def written(marks: NDArray[np.float64], points: NDArray[np.float64] | None = None) -> list[Label]:
    """Labels of marks, numbered from 1."""
    seen = marks if points is None else points
    around = Crowd(FRAME, HEIGHT, RADIUS, marks, np.full(len(marks), RADIUS), seen)
    return labels([(i + 1, (x, y)) for i, (x, y) in enumerate(marks)], around)


def half(label: Label) -> NDArray[np.float64]:
    """Half of a text's width and height."""
    return 0.5 * HEIGHT * np.array([DIGIT * len(label.text), 1.0])


@pytest.mark.parametrize("spread", [0.5, 5.0, 15.0, 60.0])
@pytest.mark.parametrize("seed", range(4))
def test_each_of_thirty_numbers_is_written_once_on_no_mark_and_no_other_number(
    spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    marks = np.clip(rng.normal((150.0, 100.0), spread, (30, 2)), 0.0, 300.0)
    some = written(marks[:9], marks)
    assert sorted(number for label in some for number in label.numbers) == list(range(1, 10))
    for label in some:
        assert (np.abs(marks[:9] - label.at) >= half(label) + RADIUS).any(axis=1).all()
        assert (np.array(FRAME[0]) <= label.at - half(label)).all()
        assert (label.at + half(label) <= np.array(FRAME[1])).all()
    for one, other in combinations(some, 2):
        apart = np.abs(np.subtract(one.at, other.at))
        assert (apart >= half(one) + half(other) - 1e-9).any()


def test_marks_that_lie_on_each_other_share_a_label_and_others_do_not() -> None:
    near = 0.9 * CLOSE * HEIGHT
    marks = np.array([[100.0, 100.0], [300.0, 200.0], [100.0, 100.0 + near], [100.0, 140.0]])
    assert [label.text for label in written(marks)] == ["1, 3", "2", "4"]


def test_a_number_that_stands_aside_has_a_line_to_its_own_mark() -> None:
    """The mark in the middle of a ring of others is told from these."""
    turn = np.linspace(0.0, 2.0 * np.pi, 9)[:8]
    ring = np.array([150.0, 100.0]) + 11.0 * np.column_stack([np.cos(turn), np.sin(turn)])
    marks = np.array([[150.0, 100.0], *ring])
    middle = written(marks)[0]
    assert middle.numbers == (1,) and middle.line is not None
    end = np.array(middle.line[1])
    assert np.hypot(*(end - marks[0])) == pytest.approx(RADIUS)
    assert all(label.line is None for label in written(marks[:1]))


def test_a_number_leaves_a_line_and_small_points_to_be_seen() -> None:
    mark = np.array([[150.0, 100.0]])
    line = along(np.array([[100.0, 50.0], [200.0, 150.0]]), step=2.0)  # through the first choice
    free, aside = written(mark, np.empty((0, 2))), written(mark, line)
    covered = [(np.abs(line - f[0].at) < half(f[0])).all(axis=1).sum() for f in (free, aside)]
    assert covered[0] > 0 == covered[1]


def crowd(count: int) -> list[Ranked]:
    """Families, of which half lie together where the best is."""
    rng = np.random.default_rng(3)
    energies, costs = rng.uniform(0.0, 3.0, count), rng.uniform(0.15, 0.4, count)
    energies[::2], costs[::2] = 0.02 * energies[::2], 0.15 + 0.006 * costs[::2]
    places = np.argsort(energies + 10.0 * costs)
    front = pareto_front(np.column_stack([energies, costs]))
    atoms = Atoms("CdTe", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[9, 9, 9], pbc=True)
    found = []
    for rank, i in enumerate(map(int, places), start=1):
        values = {"energy": float(energies[i]), "haadf.registration": float(costs[i])}
        evaluation = Evaluation(
            Candidate(i, atoms, "random"),
            Relaxation(atoms, values["energy"], True, 1),
            objectives=values,
        )
        found.append(Ranked(rank, evaluation, 0.0, 0.0, 1, i, bool(front[i])))
    return found


def test_every_rank_of_the_pareto_picture_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranks 3 and 5 of the demo lay on each other."""
    drawn: list[Any] = []
    monkeypatch.setattr(figures, "save", lambda figure, _: drawn.append(figure))
    figures.draw_pareto(tmp_path / "pareto.png", crowd(30), OBJECTIVES, title="crowd")
    figure = drawn[0]
    figure.draw_without_rendering()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    assert sorted(int(n) for text in texts for n in text.get_text().split(",")) == [2, 3, 4, 5]
    boxes = [Text.get_window_extent(text) for text in texts]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_every_rank_to_nine_is_on_the_page() -> None:
    svg = charts.pareto(crowd(30), OBJECTIVES, {rank: rank - 1 for rank in range(1, 13)})
    found = re.findall(r'class="tick middle">([\d, ]+)</text></g>', svg)
    assert sorted(int(n) for text in found for n in text.split(",")) == list(range(1, 10))
