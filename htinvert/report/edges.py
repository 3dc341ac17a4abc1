"""Edges of a core-loss spectrum: a table and a picture, with no structure given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from htinvert.core import UserError
from htinvert.forward.eels.onsets import Rise, Spectrum, rises_seen, spectrum_of
from htinvert.image.draw import ACCENT
from htinvert.report.figures import FRONT, pyplot
from htinvert.report.save import drawn, save
from htinvert.signals.curve_file import read_curve

NAMES = 4  # edges that are named at a rise
LEVELS = 4  # heights of their names above the curve


def show_edges(path: Path, *, axis: str | None, output: Path, console: Any) -> list[dict[str, Any]]:
    """Say and draw where a spectrum rises, and which edges begin there; the same as plain values.

    Raises :class:`~htinvert.core.UserError` where the file holds no core losses, or no rise.
    """
    signal, said = read_curve(path, axis=axis)
    try:
        spectrum = spectrum_of(signal)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error
    found = rises_seen(spectrum)
    console.print(said, soft_wrap=True)
    if not found:
        raise UserError(f"{path.name} rises nowhere as at an edge; check its axis and its range")
    view = Table(box=SIMPLE_HEAD)
    for name in ("rises at [eV]", "by [standard errors]"):
        view.add_column(name, justify="right")
    view.add_column("edges that begin near [eV]")
    for rise in found:
        view.add_row(f"{rise.energy:.0f}", f"{rise.size:.0f}", _words(rise))
    console.print(view)
    console.print(
        "next: htinvert fit STRUCTURE SPECTRUM --model eels, with a structure of these elements",
        soft_wrap=True,
    )
    console.print(drawn(output, lambda place: draw_edges(place, spectrum, found, path.name)))
    return [
        {
            "energy": rise.energy,
            "standard_errors": rise.size,
            "edges": {edge.name: edge.onset for edge in rise.edges},
        }
        for rise in found
    ]


def draw_edges(path: Path, spectrum: Spectrum, found: list[Rise], title: str) -> None:
    """Draw a spectrum with its rises."""
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    axes.plot(spectrum.energy, spectrum.counts, color=FRONT, linewidth=1.2)
    top = float(spectrum.counts.max())
    ceiling = top * (1.1 + 0.08 * min(len(found), LEVELS))
    for place, rise in enumerate(found):
        axes.axvline(rise.energy, color=ACCENT, linewidth=0.8, linestyle=(0, (4, 3)))
        names = ", ".join(edge.name for edge in rise.edges[:NAMES]) or "no known edge"
        height = ceiling - 0.08 * top * (place % LEVELS + 0.3)
        axes.annotate(
            f"{rise.energy:.0f} eV: {names}",
            (rise.energy, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            fontsize=8,
        )
    axes.set(xlabel="energy loss [eV]", ylabel="counts", title=title, ylim=(0.0, ceiling))
    save(figure, path)
    plt.close(figure)


def _words(rise: Rise) -> str:
    """Names and energies of edges, the nearest first."""
    named = [f"{edge.name} {edge.onset:g}" for edge in rise.edges[:NAMES]]
    return ", ".join(named) or "none of Li to U"
