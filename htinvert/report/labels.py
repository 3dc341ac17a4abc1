"""Where numbers stand beside marks that may lie together: joined, aside, at the end of a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]  # px, or any other unit of a picture
Line = tuple[Place, Place]
CLOSE = 0.7  # heights of a text between marks that have one number after the other in common
DIGIT = 0.62  # width of a digit, a comma or a blank, in heights of a text
GAP = 0.15  # heights of a text between it and its mark
STEP, STEPS = 0.5, 12  # heights of a text by which it goes aside, and how often at most
AWAY = 0.5  # what a step away costs, in points of no number that a text would cover
HIDDEN = 100.0  # and what a mark or another number that it would cover does
CROSSED = 20.0  # and a mark that is crossed by its line
SIDES = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))
BETWEEN = tuple((x * a, y * b) for a, b in ((1, 0.5), (0.5, 1)) for x, y in SIDES[:4])


@dataclass(frozen=True)
class Label:
    """Numbers of marks that lie together, the middle of their text, and where its line ends.

    ``line`` is None where the text stands so near that none is needed.
    """

    numbers: tuple[int, ...]
    at: Place
    line: Line | None

    @property
    def text(self) -> str:
        """What is written."""
        return ", ".join(map(str, self.numbers))


@dataclass(frozen=True)
class Crowd:
    """What labels have to stand beside: other marks, small points, and the frame [px].

    Attributes:
        frame: least and largest x and y of a text.
        height: of a text.
        radius: of a mark that has a number.
        marks: middles of marks that no text may cover, shape (n, 2).
        radii: of these, (n,).
        points: middles of what is better left to be seen, (n, 2).
    """

    frame: tuple[Place, Place]
    height: float
    radius: float
    marks: NDArray[np.float64]
    radii: NDArray[np.float64]
    points: NDArray[np.float64]


def labels(places: Sequence[tuple[int, Place]], around: Crowd) -> list[Label]:
    """Where the number of each mark stands: the first beside it, later ones where there is room.

    Marks that cannot be told apart share a label. ``places`` has numbers and middles of marks, in
    the order in which they may choose.
    """
    found: list[Label] = []
    taken: list[_Text] = []
    for group in _together(places, CLOSE * around.height):
        numbers = tuple(number for number, _ in group)
        spots = _spots(", ".join(map(str, numbers)), [place for _, place in group], around)
        best = min(spots, key=lambda text: _cost(text, taken, around))
        taken.append(best)
        found.append(Label(numbers, best.at, best.line))
    return found


def along(corners: NDArray[np.float64], *, step: float) -> NDArray[np.float64]:
    """Points of a line through corners, shape (n, 2), for it is better left to be seen, too."""
    if len(corners) < 2:
        return corners
    ends = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    way = np.arange(0.0, ends[-1], step)
    return np.column_stack([np.interp(way, ends, values) for values in corners.T])


@dataclass(frozen=True)
class _Text:
    """A text as it may stand: half its size, its middle, its marks, its line, how far off it is."""

    size: Place
    at: Place
    marks: Sequence[Place]
    line: Line | None
    step: int


def _together(places: Sequence[tuple[int, Place]], near: float) -> list[list[tuple[int, Place]]]:
    """Numbers and middles of marks, those together that are within ``near`` of the first."""
    groups: list[list[tuple[int, Place]]] = []
    for number, place in places:
        group = next((g for g in groups if np.hypot(*np.subtract(g[0][1], place)) < near), None)
        if group is None:
            groups.append(group := [])
        group.append((number, place))
    return groups


def _spots(words: str, marks: Sequence[Place], around: Crowd) -> list[_Text]:
    """Where a text may stand beside its marks."""
    size = 0.5 * DIGIT * around.height * len(words), 0.5 * around.height
    (low_x, low_y), (high_x, high_y) = around.frame
    middle = np.mean(marks, axis=0)
    found = []
    for step, (sx, sy) in product(range(STEPS + 1), (*SIDES, *BETWEEN)):
        off = around.radius * (0.7 if sx and sy else 1.0) + (GAP + STEP * step) * around.height
        x, y = middle + np.multiply((sx, sy), np.add(size, off))
        if low_x + size[0] <= x <= high_x - size[0] and low_y + size[1] <= y <= high_y - size[1]:
            line = _line(np.array([x, y]), size, middle, around.radius) if step else None
            found.append(_Text(size, (float(x), float(y)), marks, line, step))
    return found or [_Text(size, (float(middle[0]), float(middle[1])), marks, None, 0)]


def _line(at: NDArray[np.float64], size: Place, middle: NDArray[np.float64], radius: float) -> Line:
    """The line from the edge of a text to that of its marks."""
    way = middle - at
    out = min(half / max(abs(w), 1e-9) for half, w in zip(size, way, strict=True))
    start, stop = at + out * way, middle - way * min(1.0, radius / np.hypot(*way))
    return (float(start[0]), float(start[1])), (float(stop[0]), float(stop[1]))


def _cost(text: _Text, taken: Sequence[_Text], around: Crowd) -> float:
    """How little a text is wanted where it stands."""
    hidden = _covered(text, around.marks, around.radii)
    crossed = _marks_crossed(text, around)
    for other in taken:
        apart = np.abs(np.subtract(text.at, other.at)) - np.add(text.size, other.size)
        hidden += bool((apart < 0.0).all())
        crossed += _runs_into(text, other) + _runs_into(other, text) + _cross(text, other)
    faint = _covered(text, around.points, np.zeros(1))
    return HIDDEN * hidden + CROSSED * crossed + faint + AWAY * text.step


def _covered(text: _Text, points: NDArray[np.float64], radii: NDArray[np.float64]) -> int:
    """How many marks of these radii a text covers."""
    return int((np.abs(points - text.at) < text.size + radii[:, None]).all(axis=1).sum())


def _marks_crossed(text: _Text, around: Crowd) -> int:
    """How many marks other than its own the line of a text crosses."""
    if text.line is None:
        return 0
    start, along_it = np.array(text.line[0]), np.subtract(text.line[1], text.line[0])
    away = around.marks - start
    share = np.clip(away @ along_it / (along_it @ along_it), 0.0, 1.0)
    apart = np.hypot(*(away - share[:, None] * along_it).T)
    own = (around.marks[:, None] == np.array(text.marks)).all(axis=2).any(axis=1)
    return int(((apart < around.radii) & ~own).sum())


def _runs_into(text: _Text, other: _Text) -> bool:
    """Whether the line of a text runs through another text."""
    if text.line is None:
        return False
    way = np.linspace(*text.line, 16)
    return _covered(other, way, np.zeros(1)) > 0


def _cross(text: _Text, other: _Text) -> bool:
    """Whether the lines of two texts cross."""
    if text.line is None or other.line is None:
        return False
    (a, b), (c, d) = text.line, other.line
    return _turn(a, b, c) != _turn(a, b, d) and _turn(c, d, a) != _turn(c, d, b)


def _turn(a: Place, b: Place, c: Place) -> bool:
    """Whether the way from a over b to c turns to the left."""
    return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])
