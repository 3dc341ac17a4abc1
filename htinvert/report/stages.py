"""A funnel as a person wants to see it: what every stage thought of the last one's best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from htinvert.campaign.funnel import Stage, history
from htinvert.core import ENERGIES
from htinvert.image.draw import ACCENT
from htinvert.ranking.rank import Ranked
from htinvert.report.figures import FRONT, PALE
from htinvert.report.save import save


def stage_table(chain: Sequence[Stage], *, top: int = 5) -> Any:
    """A rich table: per family its rank, energy [eV] and image costs in each stage.

    Energies count from the lowest of the families shown, in each stage on its own: those of
    different engines have no common zero.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows = [history(entry, chain) for entry in chain[-1].ranked[:top]]
    view = Table(
        title="stage by stage", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    view.add_column("formula", no_wrap=True)
    for stage in chain:
        view.add_column(f"{_short(stage.folder.name)}\nrank", justify="right", no_wrap=True)
        for objective in stage.objectives:
            channel, _, metric = objective.name.partition(".")
            unit = ENERGIES.get(objective.name)
            head = f"{_short(stage.engine)}\n[{unit}]" if unit else f"{channel}\n{_short(metric)}"
            view.add_column(head, justify="right", no_wrap=True)
    for family, cells in zip(chain[-1].ranked, cells_of(chain, rows), strict=False):
        view.add_row(family.evaluation.atoms.get_chemical_formula(), *cells)
    view.caption = "energies: above the lowest of those shown, for each stage on its own"
    view.caption_justify = "left"
    return view


def draw_stages(path: Path, chain: Sequence[Stage], *, top: int = 5) -> None:
    """Draw how the last stage's best were ranked in each stage, a line per family, to a PNG.

    Each label gives the rank in the stage, the candidate, and its energy [eV] as in the table.
    """
    from matplotlib.figure import Figure

    rows = [history(entry, chain) for entry in chain[-1].ranked[:top]]
    figure = Figure(figsize=(0.6 + 2.6 * len(chain), 1.1 + 0.36 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places: list[list[tuple[float, float]]] = [[] for _ in rows]
    for x, column in enumerate(zip(*rows, strict=True)):
        zero = _lowest(column)["energy"]
        known = [i for i, entry in enumerate(column) if entry is not None]
        for y, i in enumerate(sorted(known, key=lambda i: column[i].rank)):
            places[i].append((x, y))
            energy = column[i].evaluation.objectives["energy"] - zero
            text = f"{column[i].rank}   #{column[i].evaluation.candidate.index}   {energy:.2f} eV"
            color = ACCENT if i == 0 else FRONT
            box = {"boxstyle": "round", "fc": "white", "ec": color}
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=color, bbox=box)
    for i, line in enumerate(places):
        color, front = (ACCENT, 1.5) if i == 0 else (PALE, 1.0)
        axes.plot(*zip(*line, strict=True), "-", color=color, lw=2, zorder=front)
    axes.set_xticks(
        range(len(chain)), ["\n".join([s.folder.name, s.engine, *s.images]) for s in chain]
    )
    axes.xaxis.tick_top()
    axes.set_xlim(-0.5, len(chain) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.tick_params(length=0)
    save(figure, path)


def cells_of(
    chain: Sequence[Stage], rows: Sequence[Sequence[Ranked | None]], *, digits: int = 3
) -> list[list[str]]:
    """Per family and stage its rank and its objectives, energies above the stage's lowest."""
    zeros = [_lowest(column) for column in zip(*rows, strict=True)]
    return [
        [
            cell
            for stage, entry, zero in zip(chain, row, zeros, strict=True)
            for cell in _cells(stage, entry, zero, digits)
        ]
        for row in rows
    ]


def _cells(stage: Stage, entry: Ranked | None, zero: Mapping[str, float], digits: int) -> list[str]:
    """What one stage says of one family."""
    if entry is None:
        return ["-"] * (1 + len(stage.objectives))
    values = entry.evaluation.objectives
    return [
        str(entry.rank),
        *(f"{values[o.name] - zero[o.name]:.{digits}f}" for o in stage.objectives),
    ]


def _lowest(column: Sequence[Ranked | None]) -> dict[str, float]:
    """The lowest of each energy among a stage's entries; what is no energy counts from 0."""
    lowest = dict.fromkeys(ENERGIES, float("inf"))
    for entry in column:
        for name, value in entry.evaluation.objectives.items() if entry else ():
            lowest[name] = min(lowest[name], value) if name in ENERGIES else 0.0
    return lowest


def _short(name: str) -> str:
    """A name in at most six letters, so that three stages fit into a terminal."""
    return name if len(name) <= 6 else f"{name[:5]}."
