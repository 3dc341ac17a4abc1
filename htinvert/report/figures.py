"""Pictures of a campaign: simulation fused into the experiment, and the Pareto plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Evaluation, Metric, Objective
from htinvert.declaration.abilities import Structural
from htinvert.evaluation.placed import Placed
from htinvert.image.draw import ACCENT
from htinvert.ranking.rank import Ranked
from htinvert.report.labels import Crowd, along, labels
from htinvert.report.save import save
from htinvert.signals.kind import Kind

FRONT, PALE = "#00798c", "#b8bfc6"
NUMBERED = 5  # families whose ranks are shown
SIZE, RADIUS, STAR = 8.0, 3.5, 6.0  # of their numbers, their marks, the best's [points of print]


def draw_placed(path: Path, placed: Placed, kind: Kind, *, title: str, note: str = "") -> None:
    """Draw experiment, simulation and residual as their kind of data is drawn, to a file."""
    plt = pyplot()
    figure = plt.figure(layout="constrained")
    kind.draw(figure, placed, title=title, note=note)
    save(figure, path)
    plt.close(figure)


def draw_pareto(
    path: Path,
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    *,
    title: str,
    start: Evaluation | None = None,
) -> None:
    """Draw all families over energy and the first other objective; the best is starred."""
    plt = pyplot()
    names = [objective.name for objective in objectives]
    x_name = next((name for name in names if name in ENERGIES), names[0])
    y_name = next((name for name in names if name != x_name), x_name)
    zero = min(r.evaluation.objectives[x_name] for r in ranked) if x_name in ENERGIES else 0.0
    x = np.array([r.evaluation.objectives[x_name] for r in ranked]) - zero
    y = np.array([r.evaluation.objectives[y_name] for r in ranked])
    front = np.array([r.on_front for r in ranked])
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    axis.scatter(x, y, s=16, color=PALE, label=f"{len(ranked)} families")
    order = np.argsort(x[front])
    axis.plot(x[front][order], y[front][order], "o-", color=FRONT, ms=5, lw=1, label="Pareto front")
    best = f"rank 1, candidate #{ranked[0].evaluation.candidate.index}"
    axis.plot(x[0], y[0], "*", color=ACCENT, ms=2.5 * STAR, label=best)
    if start is not None and start.ok:
        point = start.objectives[x_name] - zero, start.objectives[y_name]
        axis.plot(*point, "s", color="k", ms=6, mfc="none", label="start structure")
        _frame(axis, x, y, point)
    else:
        _frame(axis, x, y)
    unit = ENERGIES.get(x_name, "")
    above = f"{x_name.replace('_', ' ')} above the lowest [{unit}]"
    axis.set_xlabel(above.replace("[eV]", "[eV per cell]") if unit else x_name)
    axis.set_ylabel(f"{y_name} (0 is a perfect match)")
    axis.set_title(title, fontsize=11)
    axis.legend(frameon=True, edgecolor="none", fontsize=8, loc="best")
    figure.draw_without_rendering()  # from here on it is known where points appear
    _number(axis, ranked, np.column_stack([x, y]), front)
    save(figure, path)
    plt.close(figure)


def _number(
    axis: Any, ranked: Sequence[Ranked], values: NDArray[np.float64], front: NDArray[np.bool_]
) -> None:
    """Write the ranks of the next best beside their points, shape (n, 2), as far as these show."""
    from matplotlib.patheffects import withStroke

    at, frame = (
        some * 72.0 / axis.figure.dpi  # points of print from the lower left
        for some in (axis.transData.transform(values), axis.get_window_extent().get_points())
    )
    seen = ((frame[0] <= at) & (at <= frame[1])).all(axis=1)
    named = [i for i in range(1, min(NUMBERED, len(ranked))) if seen[i]]
    place = np.arange(len(at))
    large = front | (place < NUMBERED)
    radii = np.where(place > 0, RADIUS, STAR)[large]
    line = along(at[front][np.argsort(at[front, 0])], step=0.5 * RADIUS)
    points = np.concatenate([at, line])
    around = Crowd(frame, SIZE, RADIUS, at[large], radii, points)
    for label in labels([(ranked[i].rank, (at[i, 0], at[i, 1])) for i in named], around):
        leader = {"arrowprops": {"arrowstyle": "-", "lw": 0.6, "shrinkA": 0, "shrinkB": 0}}
        axis.annotate(
            label.text,
            label.line[1] if label.line else label.at,
            label.at,
            "figure points",
            **(leader if label.line else {}),
            ha="center",
            va="center",
            fontsize=SIZE,
            path_effects=[withStroke(linewidth=2.0, foreground="w")],
        )


def _frame(
    axis: Any,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    also: tuple[float, float] | None = None,
) -> None:
    """Show the better nine tenths of the points; outliers would squeeze all others together."""
    for i, (values, limit) in enumerate(((x, axis.set_xlim), (y, axis.set_ylim))):
        low, high = float(values.min()), float(np.percentile(values, 90))
        if also is not None:
            low, high = min(low, also[i]), max(high, also[i])
        margin = 0.06 * max(high - low, 1e-3)
        limit(low - margin, high + margin)
    axis.spines[["top", "right"]].set_visible(False)


def phrase(detail: Mapping[str, float]) -> str:
    """What a score is made of, as far as it says: d_sim, d_trans and correlation."""
    known = (key for key in ("d_sim", "d_trans", "ncc") if key in detail)
    return ", ".join(f"{key} {detail[key]:.3g}" for key in known)


def footnote(metric: Metric, credit: str) -> str:
    """Which definition a metric used, and whose image it is."""
    parts = []
    if isinstance(metric, Structural):
        parts.append(f"SSIM: {metric.ssim}, intensity: {metric.intensity}")
    if credit:
        parts.append(f"image: {credit}")
    return "; ".join(parts)


def pyplot() -> Any:
    """Matplotlib without a screen."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt
