"""A paired comparison on paper: the table in the terminal, as CSV, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.channels import make_described, observe
from htinvert.config.experiment import Experiment
from htinvert.core import Signal, UserError
from htinvert.evaluation.blame import answerable
from htinvert.forward.stm import Stm
from htinvert.image.compare import REFERENCE, Comparison, Difference
from htinvert.image.compare_structures import compare_in_place, compare_stm
from htinvert.image.compare_surfaces import SurfaceVerdict
from htinvert.report.save import save
from htinvert.report.terminal import counted_bar
from htinvert.signals.image import require_image
from htinvert.structures.file import from_file
from htinvert.structures.write import write_table

COLORS = {"candidate": "C0", "null": "0.6", "floor": "C2"}


def compare_with_progress(
    structures: Sequence[Path],
    experiment: Experiment,
    *,
    folder: Path,
    output: Path,
    size: int,
    most: int,
    console: Any,
) -> Comparison:
    """Compare structures over at most ``most`` windows of ``size`` px; write table and picture.

    STM surfaces are fitted anew in each window of the whole image, beside null models and the
    data's floor; any other channel is fitted once, and its windows are parts of the one image.
    """
    require_image(experiment)
    channel, said = make_described("image", experiment, folder=folder)
    console.print(said, soft_wrap=True)
    atoms = {path.stem: from_file(path) for path in structures}
    if len(atoms) < len(structures):
        raise UserError("two structures have one name; rename a file, because the table names them")
    with answerable([channel], at=""), _bar(console) as advance:
        if isinstance(channel.forward, Stm):
            whole = observe(experiment.model_copy(update={"crop": None}), folder=folder)
            verdict = compare_stm(atoms, channel, whole, size=size, most=most, observer=advance)
            lines, comparison = first_fits(verdict), verdict.comparison
            output.mkdir(parents=True, exist_ok=True)
            draw_fits(verdict, channel.observed, output / "fits.png", note=experiment.credit)
        else:
            comparison = compare_in_place(atoms, channel, size=size, most=most, observer=advance)
            lines = []
    write_comparison(comparison, output, note=experiment.credit)
    show(comparison, console, lines)
    console.print(f"Table and picture: {output}")
    return comparison


def first_fits(verdict: SurfaceVerdict) -> list[str]:
    """One line per fit in the study's window, null model and floor beside the candidates."""
    lines = [f"{c.name}: {c.forward.label(c.atoms)}" for c in verdict.comparison.contenders]
    for name, fitted in verdict.settled.items():
        values = fitted.parameters
        strain = max(abs(values[n]) for n in ("shear_x", "shear_y", "stretch_x", "stretch_y"))
        lines.append(
            f"{name}: {fitted.score.cost:.4f} at d_trans {fitted.score.detail['d_trans']:.0f} px, "
            f"{fitted.window}; shear and stretch up to {strain:.2f}, "
            f"rotation {values['rotation'] % 360:.1f} degrees, {values['sampling']:.4f} Å/px"
        )
    return lines + [f"{name}: failed: {reason}" for name, reason in verdict.failed.items()]


def show(comparison: Comparison, console: Any, lines: Sequence[str] = ()) -> None:
    """Print first fits and the table of differences."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    for line in lines:
        console.print(line)
    title = f"{comparison.measure}; against {comparison.best}"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.add_column("what")
    for heading in ("cost", "difference", "s.e.", "better"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for found in comparison.differences():
        table.add_row(*_cells(found))
    console.print(table)


def _cells(found: Difference) -> tuple[str, ...]:
    name = found.name if found.role == "candidate" else f"{found.role}: {found.name}"
    if found.verdict == REFERENCE:
        return name, f"{found.cost:.4f}", "", "", "", found.verdict
    return (
        name,
        f"{found.cost:.4f}",
        f"{found.mean:+.4f} ± {found.error:.4f}",
        f"{found.ratio:+.1f}",
        f"{found.wins}/{found.windows}",
        found.verdict,
    )


def write_comparison(comparison: Comparison, folder: Path, *, note: str = "") -> None:
    """Write ``windows.csv`` (every cost), ``differences.csv`` and ``differences.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    write_table(
        folder / "windows.csv",
        [
            {
                "contender": contender.name,
                "role": contender.role,
                "top": window.top,
                "left": window.left,
                "rows": window.rows,
                "columns": window.columns,
                "cost": float(comparison.costs[row, column]),
                **comparison.parameters.get((contender.name, column), {}),
            }
            for row, contender in enumerate(comparison.contenders)
            for column, window in enumerate(comparison.windows)
        ],
    )
    found = comparison.differences()
    write_table(
        folder / "differences.csv", [vars(entry) | {"verdict": entry.verdict} for entry in found]
    )
    draw_differences(comparison, folder / "differences.png", note=note)


def draw_differences(comparison: Comparison, path: Path, *, note: str = "") -> None:
    """Draw each contender's differences to the best candidate: windows as dots, mean and 3 s.e."""
    from matplotlib.figure import Figure

    found = comparison.differences()[::-1]
    figure = Figure(figsize=(8.5, 1.5 + 0.4 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.locator_params(axis="x", nbins=6)
    own = comparison.row(comparison.best)
    for height, entry in enumerate(found):
        color = COLORS[entry.role]
        dots = comparison.row(entry.name) - own
        axes.plot(dots, np.full(len(dots), height), "|", color=color, alpha=0.6, markersize=9)
        axes.errorbar(
            entry.mean, height, xerr=3 * entry.error, fmt="o", color=color, capsize=4, markersize=5
        )
    axes.axvline(0.0, color="black", linewidth=0.8)
    labels = [e.name if e.role == "candidate" else f"{e.name} ({e.role})" for e in found]
    axes.set_yticks(range(len(found)), labels)
    axes.set_xlabel(f"difference to {comparison.best}; mean with three standard errors")
    figure.suptitle(comparison.measure, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if note:
        figure.supxlabel(note, fontsize=7, color="0.4")
    save(figure, path)


def draw_fits(verdict: SurfaceVerdict, observed: Signal, path: Path, *, note: str = "") -> None:
    """Draw the first window, and every contender's image in it, each over its own range."""
    from matplotlib.figure import Figure

    settled = verdict.settled
    window = next(iter(settled.values())).window
    pictures = {"experiment": window.cut(observed).data}
    pictures |= {
        f"{name}\n{fitted.score.cost:.4f}": fitted.simulated.data
        for name, fitted in settled.items()
    }
    columns = min(len(pictures), 4)
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(2.3 * columns, 2.7 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, (title, picture) in zip(grid, pictures.items(), strict=False):
        axes.imshow(picture, cmap="gray", interpolation="nearest")
        axes.set_title(title, fontsize=8)
    if note:
        figure.supxlabel(note, fontsize=7, color="0.4")
    save(figure, path)


class _bar:  # noqa: N801
    """A progress bar as a context that gives the function to advance it."""

    def __init__(self, console: Any) -> None:
        self._progress = counted_bar(console, transient=False)
        self._task = self._progress.add_task("windows", total=None)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda done, total: self._progress.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
