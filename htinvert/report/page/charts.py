"""Charts for a page as SVG: Pareto plot with a mark per family, course of the search, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from htinvert.core import ENERGIES, Floats, Objective
from htinvert.ranking.rank import Ranked
from htinvert.ranking.survey import Step
from htinvert.report.labels import Crowd, Label, Place, along, labels
from htinvert.signals.plot import ticks

WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 14.0, 48.0
NARROW = (440.0, 320.0)  # that a telephone shows as it is
MOST_LEVEL, STAGGER = 4, 30.0  # axes whose names stand beside each other; px that others drop
MOST_LINES = 40  # families that are drawn as lines
MOST_POINTS = 1500  # of a Pareto plot; the worst are left out
MOST_NUMBERED = 9  # ranks that are written beside their marks
DOT = 5.5  # px, radius of a mark
TEXT, BASE = 16.0, 5.0  # px, height of its rank on a telephone; that ends so far below its middle


class Chart:
    """A frame with axes; marks are added in data coordinates."""

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        labels: tuple[str, str],
        size: tuple[float, float] = (WIDTH, HEIGHT),
    ) -> None:
        self.x, self.y, self.size = x, y, size
        self.marks: list[str] = []
        self._labels = labels

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point appears [px]."""
        (x0, x1), (y0, y1) = self.x, self.y
        width, height = self.size[0] - LEFT - RIGHT, self.size[1] - TOP - BOTTOM
        return LEFT + (x - x0) / (x1 - x0) * width, TOP + (y1 - y) / (y1 - y0) * height

    def line(self, points: Sequence[tuple[float, float]], css: str) -> None:
        """A line through points."""
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (self.at(*point) for point in points))
        self.marks.append(f'<polyline points="{path}" class="{css}"/>')

    def circle(self, x: float, y: float, css: str, radius: float = 4.0, more: str = "") -> None:
        """A disk, with further attributes in ``more``."""
        px, py = self.at(x, y)
        self.marks.append(
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{radius:g}" class="{css}"{more}/>'
        )

    def svg(self, title: str, *, role: str = "img", css: str = "chart") -> str:
        """The chart as markup, with its title as text alternative."""
        width, height = self.size
        parts = [*self._axis_x(), *self._axis_y(), *self.marks]
        return (
            f'<svg viewBox="0 0 {width:g} {height:g}" class="{css}" role="{role}" '
            f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
        )

    def _axis_x(self) -> list[str]:
        y = self.size[1] - BOTTOM
        middle = 0.5 * (LEFT + self.size[0] - RIGHT)
        found = [f'<line x1="{LEFT}" x2="{self.size[0] - RIGHT}" y1="{y}" y2="{y}" class="axis"/>']
        for value in ticks(*self.x):
            px, _ = self.at(value, self.y[0])
            found.append(f'<text x="{px:.1f}" y="{y + 18}" class="tick middle">{value:g}</text>')
            found.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{y}" y2="{y + 4}" class="axis"/>')
        label = escape(self._labels[0])
        found.append(f'<text x="{middle}" y="{y + 40}" class="label middle">{label}</text>')
        return found

    def _axis_y(self) -> list[str]:
        middle = 0.5 * (TOP + self.size[1] - BOTTOM)
        found = []
        for value in ticks(*self.y):
            _, py = self.at(self.x[0], value)
            right = self.size[0] - RIGHT
            found.append(
                f'<line x1="{LEFT}" x2="{right}" y1="{py:.1f}" y2="{py:.1f}" class="grid"/>'
            )
            found.append(f'<text x="{LEFT - 8}" y="{py + 4:.1f}" class="tick end">{value:g}</text>')
        label = escape(self._labels[1])
        turn = f'transform="rotate(-90 16 {middle})"'
        found.append(f'<text x="16" y="{middle}" {turn} class="label middle">{label}</text>')
        return found


def span(values: Floats, share: float = 0.92) -> tuple[float, float]:
    """Limits that show the lower ``share`` of values with a margin."""
    low, high = float(values.min()), float(np.quantile(values, share))
    margin = 0.06 * max(high - low, 1e-3)
    return low - margin, high + margin


def axes_of(objectives: Sequence[Objective]) -> tuple[str, str]:
    """Names of the objectives that a Pareto plot shows: an energy, and the first other one."""
    names = [objective.name for objective in objectives]
    x = next((name for name in names if name in ENERGIES), names[0])
    return x, next((name for name in names if name != x), x)


def parallel(ranked: Sequence[Ranked], objectives: Sequence[Objective], unit: str) -> str:
    """What each objective adds for the best families, above its least: an axis each, a line each.

    Roots of the sum's unit, so that small differences show beside large ones.
    """
    shown = ranked[:MOST_LINES]
    names = [o.name for o in objectives]
    worths = np.array(
        [[o.worth(e.evaluation.objectives[o.name]) for o in objectives] for e in shown]
    )
    heights = np.sqrt(worths - worths.min(axis=0))
    top = max(float(heights.max()), 1e-9)
    width, height = NARROW
    at_x = np.linspace(LEFT, width - 40.0, len(names))
    at_y = TOP + (1.0 - heights / top) * (height - TOP - BOTTOM)
    parts = []
    for value in [0.0, *(10.0**k * m for k in range(-3, 5) for m in (1, 3))]:
        y = TOP + (1.0 - np.sqrt(value) / top) * (height - TOP - BOTTOM)
        if np.sqrt(value) > top or (value and height - BOTTOM - y < 16.0):
            continue
        parts.append(
            f'<line x1="{LEFT}" x2="{width - 40}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" class="tick end">{value:g}</text>')
    for place, (x, name) in enumerate(zip(at_x, names, strict=True)):
        drop = STAGGER * (place % 2) if len(names) > MOST_LEVEL else 0.0
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}" class="axis"/>'
        )
        for row, words in enumerate(name.replace("_", " ").split(".")):
            y = height - BOTTOM + 18 + 15 * row + drop
            parts.append(f'<text x="{x:.1f}" y="{y}" class="tick middle">{escape(words)}</text>')
    for entry, row in reversed(list(zip(shown, at_y, strict=True))):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(at_x, row, strict=True))
        css = "first" if entry.rank == 1 else "front" if entry.on_front else "other"
        parts.append(
            f'<polyline points="{line}" class="{css}"><title>rank {entry.rank}</title></polyline>'
        )
    middle = 0.5 * (TOP + height - BOTTOM)
    label = f"above its least [{unit or 'of the sum'}]"
    turn = f'transform="rotate(-90 16 {middle})"'
    parts.append(f'<text x="16" y="{middle}" {turn} class="label middle">{label}</text>')
    told = f"What each of {', '.join(names)} adds to the sum, for {len(shown)} families"
    return (
        f'<svg viewBox="0 0 {width:g} {height + STAGGER:g}" class="chart parallel" role="img" '
        f'aria-label="{escape(told, quote=True)}">{"".join(parts)}</svg>'
    )


def pareto(
    ranked: Sequence[Ranked], objectives: Sequence[Objective], choices: dict[int, int]
) -> str:
    """All families; those of ``choices`` (rank to number on the page) can be chosen."""
    x_name, y_name = axes_of(objectives)
    shown = list(ranked[:MOST_POINTS])
    shown += [entry for entry in ranked[MOST_POINTS:] if entry.on_front]
    zero = min(r.evaluation.objectives[x_name] for r in shown) if x_name in ENERGIES else 0.0
    x = np.array([r.evaluation.objectives[x_name] for r in shown]) - zero
    y = np.array([r.evaluation.objectives[y_name] for r in shown])
    unit = ENERGIES.get(x_name)
    label = f"{x_name.replace('_', ' ')} above the lowest [{unit}]" if unit else x_name
    chosen = [i for i, entry in enumerate(shown) if entry.rank in choices]
    limits_x, limits_y = _frame(x, chosen), _frame(y, chosen)
    chart = Chart(limits_x, limits_y, labels=(label, f"{y_name} (0 is a perfect match)"))
    for i in range(len(shown)):
        if i not in chosen and x[i] <= limits_x[1] and y[i] <= limits_y[1]:
            chart.circle(x[i], y[i], "point", 2.6)
    front = sorted((x[i], y[i]) for i, entry in enumerate(shown) if entry.on_front)
    line = [p for p in front if p[0] <= limits_x[1] and p[1] <= limits_y[1]]
    chart.line(line, "front")
    at = [chart.at(min(v, limits_x[1]), min(w, limits_y[1])) for v, w in zip(x, y, strict=True)]
    numbered = [(shown[i].rank, at[i]) for i in chosen if shown[i].rank <= MOST_NUMBERED]
    beside = _ranks(numbered, [at[i] for i in chosen], at, [chart.at(*p) for p in line])
    for i in reversed(chosen):
        mark = _Mark(shown[i], choices[shown[i].rank], at[i], beside.get(shown[i].rank))
        chart.marks.append(mark.drawn(f"{x[i]:.3f}, {y[i]:.4f}"))
    title = f"Pareto plot of {len(shown)} families over {x_name} and {y_name}"
    if not choices:
        return chart.svg(title, css="chart pareto")
    return chart.svg(f"{title}; choose one", role="radiogroup", css="chart pareto")


def _frame(values: Floats, chosen: list[int]) -> tuple[float, float]:
    """Limits that show most values and nine tenths of those that can be chosen."""
    low, high = span(values)
    most = float(np.quantile(values[chosen], 0.9)) if chosen else high
    return low, max(high, most + 0.03 * (most - low), low + 1e-6)


def _ranks(
    numbered: Sequence[tuple[int, Place]],
    marks: Sequence[Place],
    points: Sequence[Place],
    line: Sequence[Place],
) -> dict[int, Label]:
    """Where ranks are written: by the first of marks that lie together, for all of them."""
    if not numbered:
        return {}
    frame = (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM)
    seen = np.concatenate([points, along(np.reshape(line, (-1, 2)), step=0.4 * DOT)])
    around = Crowd(frame, TEXT, DOT, np.array(marks), np.full(len(marks), DOT), seen)
    return {label.numbers[0]: label for label in labels(numbered, around)}


@dataclass(frozen=True)
class _Mark:
    """A family that can be chosen, where it stands [px], and where its rank is written if it is."""

    entry: Ranked
    number: int
    place: Place
    label: Label | None

    def drawn(self, values: str) -> str:
        """A mark for mouse and keyboard."""
        (px, py), rank = self.place, self.entry.rank
        name = f"rank {rank}, candidate #{self.entry.evaluation.candidate.index}"
        css = "choice on-front" if self.entry.on_front else "choice"
        first = self.number == 0
        return (
            f'<g role="radio" aria-checked="{str(first).lower()}" tabindex="{0 if first else -1}" '
            f'data-choice="{self.number}" class="{css}" aria-label="{name}: {values}">'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="11" class="target"/>'
            f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{DOT}" class="dot"/>{self._rank()}</g>'
        )

    def _rank(self) -> str:
        """The rank, also of marks that cannot be told from this one."""
        if self.label is None:
            return ""
        x, y = self.label.at
        text = f'<text x="{x:.1f}" y="{y + BASE:.1f}" class="tick middle">{self.label.text}</text>'
        if self.label.line is None:
            return text
        (x1, y1), (x2, y2) = self.label.line
        place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        return f'<line {place} class="leader"/>{text}'


def course(steps: Sequence[Step], evaluated: int, met: Sequence[tuple[int, int]]) -> str:
    """The best weighted sum over evaluations; ``met``: number of evaluation and rank of a face."""
    totals = [step.total for step in steps]
    low, high = min(totals), float(np.quantile(totals, 0.8)) if len(totals) > 4 else max(totals)
    margin = 0.08 * max(high - low, 1e-3)
    chart = Chart(
        (0.0, float(max(evaluated, 1))),
        (low - 2 * margin, high + margin),
        labels=("evaluations", "best weighted sum so far"),
        size=(WIDTH, 300.0),
    )
    points: list[tuple[float, float]] = []
    for step in steps:
        total = min(step.total, high + margin)
        if points:
            points.append((float(step.after), points[-1][1]))
        points.append((float(step.after), total))
    points.append((float(evaluated), points[-1][1]))
    chart.line(points, "front")
    labeled = -1e9
    for after, rank in sorted(met):
        chart.circle(float(after), low - margin, "met", 4.0)
        px, py = chart.at(float(after), low - margin)
        if px - labeled > 16:
            chart.marks.append(
                f'<text x="{px:.1f}" y="{py - 8:.1f}" class="tick middle">{rank}</text>'
            )
            labeled = px
    title = (
        f"Best weighted sum over {evaluated} evaluations: {len(steps)} improvements, the last in "
        f"evaluation {steps[-1].after}; dots mark where the claimed families were first met"
    )
    return chart.svg(title)


def scale(items: Sequence[tuple[str, float, str]], title: str) -> str:
    """Values on one line from 0, each with a name above or below: floor, best, null models."""
    high = 1.08 * max(value for _, value, _ in items)
    width, height, line = WIDTH, 130.0, 64.0
    marks = [f'<line x1="20" x2="{width - 20}" y1="{line}" y2="{line}" class="axis"/>']
    ends = [-1e9, -1e9, -1e9, -1e9]
    rows = (line - 16, line + 26, line - 36, line + 46)
    for name, value, css in sorted(items, key=lambda item: item[1]):
        x = 20 + value / high * (width - 40)
        text = f"{name} {value:.3f}"
        half = 4.8 * len(text)
        place = min(max(x, half), width - half)
        row = next((i for i in range(4) if place - half > ends[i] + 6), 3)
        ends[row] = place + half
        y = rows[row]
        marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{line}" y2="{y}" class="leader"/>')
        marks.append(f'<circle cx="{x:.1f}" cy="{line}" r="6" class="{css}"/>')
        shift = -4 if y < line else 12
        marks.append(f'<text x="{place:.1f}" y="{y + shift}" class="tick middle">{text}</text>')
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" class="chart" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(marks)}</svg>'
    )


def shares(rows: Sequence[tuple[str, float, str]]) -> list[dict[str, Any]]:
    """Rows of a bar chart made of HTML: name, share of the longest [%], text."""
    longest = max((value for _, value, _ in rows), default=0.0) or 1.0
    return [
        {"name": name, "width": round(100 * value / longest, 1), "text": text}
        for name, value, text in rows
    ]
