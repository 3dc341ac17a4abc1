"""Curves as a small SVG for a page: lines over numbered axes with units."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from htinvert.core import Floats

WIDTH, HEIGHT = 640.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 12.0, 12.0, 46.0
MOST_POINTS = 900  # of a line
GRAY, BLUE, RED, PALE = "#444444", "#00798c", "#d1495b", "#bbbbbb"


@dataclass(frozen=True, eq=False)
class Line:
    """Values at x in a color; ``dots`` for measured points, else a line."""

    x: Floats
    y: Floats
    color: str
    dots: bool = False


def plot(
    lines: Sequence[Line],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    labels: tuple[str, str],
) -> str:
    """Lines between limits, with ticks and labels, as a data URI of an SVG image."""
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(values: Floats) -> Floats:
        return LEFT + (values - x[0]) / (x[1] - x[0]) * width

    def down(values: Floats) -> Floats:
        return TOP + (y[1] - values) / (y[1] - y[0]) * height

    bottom, right = TOP + height, LEFT + width
    parts = [f'<rect width="{WIDTH:g}" height="{HEIGHT:g}" fill="#fff"/>']
    frame = f'x="{LEFT}" y="{TOP}" width="{width}" height="{height}"'
    parts.append(f'<rect {frame} fill="none" stroke="#999"/>')
    for value in ticks(*x, most=7):
        px = float(across(np.array(value)))
        parts.append(f'<line x1="{px:.1f}" x2="{px:.1f}" y1="{bottom}" y2="{bottom + 4}"/>')
        parts.append(f'<text x="{px:.1f}" y="{bottom + 18}" class="m">{value:g}</text>')
    for value in ticks(*y, most=7):
        py = float(down(np.array(value)))
        parts.append(f'<line x1="{LEFT - 4}" x2="{LEFT}" y1="{py:.1f}" y2="{py:.1f}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{py + 4:.1f}" class="e">{value:g}</text>')
    parts.append(
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" class="m">{escape(labels[0])}</text>'
    )
    turn = f'transform="translate(16 {TOP + height / 2}) rotate(-90)"'
    parts.append(f'<text {turn} class="m">{escape(labels[1])}</text>')
    parts += [_drawn(line, across(line.x), down(line.y)) for line in lines]
    style = "text{font:13px sans-serif;fill:#333}line{stroke:#999}.m{text-anchor:middle}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}">'
        f"<style>{style}.e{{text-anchor:end}}</style>{''.join(parts)}</svg>"
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def limits(*values: Floats) -> tuple[float, float]:
    """Lowest and highest of all finite values, with a margin."""
    every = np.concatenate([part[np.isfinite(part)].ravel() for part in values])
    low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between two limits, at most ``most`` of them."""
    span = max(high - low, 1e-12)
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * f for f in (1, 2, 5, 10, 20) if span / (power * f) <= most)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _drawn(line: Line, x: Floats, y: Floats) -> str:
    """A line or dots, thinned to what can be seen; a gap where a value is not finite."""
    every = max(1, len(x) // MOST_POINTS)
    x, y = x[::every], y[::every]
    if line.dots:
        marks = "".join(
            f"M{px:.1f} {py:.1f}h0" for px, py in zip(x, y, strict=True) if np.isfinite(py)
        )
        look = 'fill="none" stroke-width="2.4" stroke-linecap="round"'
        return f'<path d="{marks}" stroke="{line.color}" {look}/>'
    steps, pen = [], "M"
    for px, py in zip(x, y, strict=True):
        if np.isfinite(py):
            steps.append(f"{pen}{px:.1f} {py:.1f}")
        pen = "L" if np.isfinite(py) else "M"
    return f'<path d="{"".join(steps)}" fill="none" stroke="{line.color}" stroke-width="1.4"/>'
