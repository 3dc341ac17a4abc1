"""Pictures of a campaign: simulation fused into the experiment, and the Pareto plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import ENERGIES, Evaluation, Metric, Objective, Signal
from htinvert.declaration.abilities import Structural
from htinvert.ranking.rank import Ranked

ACCENT, FRONT, PALE = "#d1495b", "#00798c", "#b8bfc6"


@dataclass(frozen=True, eq=False)
class Match:
    """A simulated image and its place (row, column) [px] in the observed one."""

    observed: Signal
    simulated: Signal
    row: int
    column: int

    @property
    def patch(self) -> NDArray[np.float64]:
        """The part of the experiment that the simulation covers, shape as the simulation."""
        height, width = self.simulated.data.shape
        part = self.observed.data[self.row : self.row + height, self.column : self.column + width]
        return part.astype(float)

    @property
    def scaled(self) -> NDArray[np.float64]:
        """The simulation with the gain and offset that bring it closest to the experiment."""
        x, y = self.simulated.data.astype(float).ravel(), self.patch.ravel()
        gain = max(float(np.cov(x, y, bias=True)[0, 1] / max(np.var(x), 1e-30)), 0.0)
        if gain == 0.0:
            gain = float(np.std(y) / max(np.std(x), 1e-30))
        return gain * (self.simulated.data - x.mean()) + y.mean()

    @property
    def inset(self) -> tuple[int, int, int, int]:
        """Left, top, columns and rows [px] of the fused part: all of the simulation, or its middle.

        A simulation that covers the whole field is fused into the middle half of the columns, so
        that the eye can follow the lattice from one to the other.
        """
        rows, columns = self.simulated.data.shape
        left = self.column
        if columns > 0.8 * self.observed.data.shape[1]:
            left, columns = left + columns // 4, columns // 2
        return left, self.row, columns, rows

    @property
    def fused(self) -> NDArray[np.float64]:
        """The experiment with the simulation in place of its framed part."""
        left, top, columns, rows = self.inset
        picture = self.observed.data.astype(float)
        start = left - self.column
        picture[top : top + rows, left : left + columns] = self.scaled[:, start : start + columns]
        return picture

    @property
    def residual(self) -> NDArray[np.float64]:
        """Simulation less experiment, NaN where there is no simulation."""
        rows, columns = self.simulated.data.shape
        picture = np.full(self.observed.data.shape, np.nan)
        difference = self.scaled - self.patch
        picture[self.row : self.row + rows, self.column : self.column + columns] = difference
        return picture


def draw_match(path: Path, match: Match, *, title: str, note: str = "") -> None:
    """Draw experiment, simulation fused into it, and residual, side by side, as a PNG."""
    plt = pyplot()
    height, width = match.observed.data.shape
    panel = min(max(3.2, 3.6 * width / height), 5.5)  # inches
    figure, axes = plt.subplots(
        1, 3, figsize=(3 * panel + 1.0, panel * height / width + 1.1), layout="constrained"
    )
    low, high = np.percentile(match.observed.data, (0.5, 99.5))
    gray = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"}
    axes[0].imshow(match.observed.data, **gray)
    axes[1].imshow(match.fused, **gray)
    left, top, columns, rows = match.inset
    box = (left - 0.5, top - 0.5)
    axes[1].add_patch(plt.Rectangle(box, columns, rows, fill=False, edgecolor=ACCENT, lw=1.5))
    span = high - low
    shown = axes[2].imshow(match.residual, cmap="RdBu_r", vmin=-span, vmax=span)
    figure.colorbar(shown, ax=axes, fraction=0.02, pad=0.01, label="residual [image units]")
    scale_bar(axes[0], match.observed)
    names = ("experiment", "simulation fused in (framed)", "simulation - experiment")
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(title, fontsize=11)
    if note:
        figure.supxlabel(note, fontsize=8, color="#555555")
    figure.savefig(path, dpi=150)
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
    axis.plot(x[0], y[0], "*", color=ACCENT, ms=15, label=best)
    for entry, px, py in list(zip(ranked, x, y, strict=True))[1:5]:
        offset = (5, 4 if entry.rank % 2 else -11)
        axis.annotate(
            str(entry.rank), (px, py), xytext=offset, textcoords="offset points", fontsize=8
        )
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
    axis.legend(frameon=False, fontsize=8, loc="best")
    figure.savefig(path, dpi=150)
    plt.close(figure)


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


def place(detail: Mapping[str, float]) -> tuple[int, int]:
    """Row and column [px] at which a registration put the simulation; the corner where unknown."""
    return int(detail.get("row", 0)), int(detail.get("column", 0))


def scale_bar(axis: Any, observed: Signal) -> None:
    """A white bar of a round length of about a fifth of the width, on a dark ground."""
    step = observed.sampling[1]
    height, width = observed.data.shape
    target = 0.25 * width * step
    length = max((v for v in (1, 2, 5, 10, 20, 50, 100, 200) if v <= target), default=target)
    label = f"{length:g} Å" if length < 10 else f"{length / 10:g} nm"
    left, low = 0.06 * width, 0.94 * height
    ground = {"facecolor": "k", "alpha": 0.55, "edgecolor": "none", "pad": 2.5}
    axis.plot([left, left + length / step], [low, low], color="w", lw=3, solid_capstyle="butt")
    middle = left + 0.5 * length / step
    axis.text(
        middle,
        low - 0.03 * height,
        label,
        color="w",
        fontsize=8,
        ha="center",
        va="bottom",
        bbox=ground,
    )


def pyplot() -> Any:
    """Matplotlib without a screen."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    return plt
