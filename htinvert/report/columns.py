"""The columns of a structure in its image: registered, measured, told apart, drawn, written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.campaign.channels import make_described
from htinvert.config.experiment import Experiment
from htinvert.core import Channel, Floats, Signal, UserError
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.fit import adjusted
from htinvert.image.draw import scale_bar
from htinvert.metrics.patch import window
from htinvert.report.figures import pyplot
from htinvert.report.registration import registered_now
from htinvert.report.save import drop_links, save
from htinvert.report.terminal import progress_bar
from htinvert.signals.image import require_image
from htinvert.statistics.columns import Columns, measure_columns
from htinvert.statistics.occupancy import Occupancy, occupancy
from htinvert.statistics.projection import predicted_intensity, project_columns
from htinvert.structures.file import from_file
from htinvert.structures.write import write_table

COLORS = ("#00798c", "#d1495b", "#edae49", "#66a182", "#2e4057")


@dataclass(frozen=True, eq=False)
class MeasuredColumns:
    """Columns of a registered structure, and the species of those kinds that may have several.

    ``corner`` is the row and column [px] of the compared region in the whole image.
    """

    image: Signal
    columns: Columns
    species: Mapping[str, Occupancy]
    corner: tuple[int, int]


def columns_with_progress(
    structure: Path,
    experiment: Experiment,
    *,
    folder: Path,
    alternatives: Mapping[str, Sequence[str]],
    registered: Path | None,
    output: Path,
    console: Any,
) -> MeasuredColumns:
    """Register a structure in an image, measure its columns, print and write what came of it.

    Raises :class:`~htinvert.core.UserError` where the structure does not fit, or ``alternatives``
    name columns that it has not.
    """
    atoms = from_file(structure)
    require_image(experiment)
    channel, said = make_described(structure.stem, experiment, folder=folder)
    console.print(said, soft_wrap=True)
    with answerable([channel], at=""), progress_bar(console) as bar:
        forward, corner = (
            _fitted(atoms, channel, bar) if registered is None else _as_written(channel, registered)
        )
        bar.add_task("measuring columns", total=None)
        found = measure(atoms, channel.observed, forward, corner, alternatives=alternatives)
    tell(found, console)
    for path in write_columns(output, found, name=structure.stem):
        console.print(f"written: {path}")
    return found


def _fitted(atoms: Atoms, channel: Channel, bar: Any) -> tuple[Any, tuple[int, int]]:
    """The forward model in its place, fitted now."""
    result = registered_now(atoms, channel, bar)
    return result.forward, (result.row, result.column)


def _as_written(channel: Channel, path: Path) -> tuple[Any, tuple[int, int]]:
    """The forward model in its place, as ``register`` has written it."""
    if not path.is_file():
        raise UserError(f"there is no {path}; give a parameters.json of register")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        values = {key: float(entry["value"]) for key, entry in told["parameters"].items()}
        corner = (int(told["row"]), int(told["column"]))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no parameters.json that register wrote") from error
    return adjusted(channel.forward, values), corner


def measure(
    atoms: Atoms,
    image: Signal,
    forward: Any,
    corner: tuple[int, int] = (0, 0),
    *,
    alternatives: Mapping[str, Sequence[str]] | None = None,
) -> MeasuredColumns:
    """Measure the columns of a structure whose forward model is in its place.

    ``alternatives`` maps a kind of column, as its formula, to the formulas that it may have
    instead. Raises :class:`~htinvert.core.UserError` for a kind that the structure has not.
    """
    projected = project_columns(atoms, forward)
    patch = Signal.image(image.data[window(corner, forward.shape)], forward.pixel)
    found = measure_columns(patch, projected.places, kinds=projected.kinds, names=projected.names)
    species = {}
    for kind, others in (alternatives or {}).items():
        if kind not in projected.names:
            raise UserError(
                f"the structure has no column {kind}; it has {', '.join(projected.names)}"
            )
        mine = _of(found, kind)
        predicted = {name: predicted_intensity(name, forward) for name in (kind, *others)}
        species[kind] = occupancy(
            found.intensity[mine], found.intensity_error[mine], found.places[mine], predicted
        )
    return MeasuredColumns(patch, found, species, corner)


def _of(found: Columns, kind: str) -> Any:
    """Which columns are of a kind, and inside the image by a window."""
    return np.flatnonzero((found.kinds == found.names.index(kind)) & ~found.lost)


def tell(found: MeasuredColumns, console: Any) -> None:
    """Print how many columns there are, how well they are known, and what they hold."""
    columns = found.columns
    pixel = np.array(columns.sampling)
    console.print(f"{len(columns.kinds)} columns, {int(columns.lost.sum())} of them not found")
    for number, name in enumerate(columns.names):
        mine = (columns.kinds == number) & ~columns.lost
        if not mine.any():
            continue
        error = float(np.median(columns.errors[mine] * pixel)) * 100.0
        values = columns.intensity[mine]
        each = float(np.median(columns.intensity_error[mine]))
        console.print(
            f"{name}: {int(mine.sum())} columns, intensity {values.mean():.4g}, scatter "
            f"{values.std():.2g} (each ± {each:.2g}), places ± {error:.2f} pm",
            soft_wrap=True,
        )
    for kind, which in found.species.items():
        parts = ", ".join(
            f"{name} {100 * share:.1f} %"
            for name, share in zip(which.species, which.shares, strict=True)
        )
        console.print(
            f"{kind} columns hold {parts}; {100 * which.wrong:.2f} % would be wrong by their "
            "likeliest species",
            soft_wrap=True,
        )
    if len(columns.unexplained):
        places = "; ".join(f"{y:.0f}, {x:.0f}" for y, x, _ in columns.unexplained[:5])
        console.print(
            f"note: {len(columns.unexplained)} peaks are no columns of the structure, the first at "
            f"row, column {places}",
            soft_wrap=True,
        )


def rows(found: MeasuredColumns) -> list[Mapping[str, Any]]:
    """A row per column: place [Å] from the region's first pixel, down is y; row and column [px]."""
    columns = found.columns
    height, width = columns.sampling
    table: list[Mapping[str, Any]] = []
    for n in range(len(columns.kinds)):
        y, x = columns.places[n]
        table.append(
            {
                "x": f"{x * width:.5f}",
                "y": f"{y * height:.5f}",
                "x_error": f"{columns.errors[n, 1] * width:.5f}",
                "y_error": f"{columns.errors[n, 0] * height:.5f}",
                "row": f"{y + found.corner[0]:.3f}",
                "column": f"{x + found.corner[1]:.3f}",
                "kind": columns.names[columns.kinds[n]],
                "intensity": f"{columns.intensity[n]:.6g}",
                "intensity_error": f"{columns.intensity_error[n]:.3g}",
                "background": f"{columns.background[n]:.6g}",
                "found": int(not columns.lost[n]),
            }
        )
    return table


def write_columns(folder: Path, found: MeasuredColumns, *, name: str) -> list[Path]:
    """Write ``columns.csv``, ``columns.png``, and per kind of several species ``KIND.csv``.

    The latter has a column ``p_SPECIES`` each; with two species ``probability`` is that of the
    brighter, and the file is what ``htinvert hamiltonian`` reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drop_links(folder / "columns.csv")
    table = rows(found)
    write_table(folder / "columns.csv", table)
    paths = [folder / "columns.csv"]
    for kind, which in found.species.items():
        paths.append(folder / f"{kind}.csv")
        drop_links(paths[-1])
        write_table(paths[-1], _species_rows(table, which, _of(found.columns, kind)))
    paths.append(folder / "columns.png")
    draw_measured(paths[-1], found, title=name)
    return paths


def _species_rows(
    table: Sequence[Mapping[str, Any]], which: Occupancy, mine: Any
) -> list[Mapping[str, Any]]:
    """Rows of the columns ``mine``, with species and probabilities."""
    told: list[Mapping[str, Any]] = []
    for n, posterior, best in zip(mine, which.posterior, which.likeliest, strict=True):
        each = zip(which.species, posterior, strict=True)
        told.append(
            {
                **table[n],
                "species": which.species[best],
                "probability": f"{posterior[-1]:.6f}",
                **{f"p_{species}": f"{value:.6f}" for species, value in each},
            }
        )
    return told


def draw_measured(path: Path, found: MeasuredColumns, *, title: str) -> None:
    """Draw the image with its columns, the residual, and histograms of intensities."""
    plt = pyplot()
    columns = found.columns
    figure, axes = plt.subplots(1, 3, figsize=(14.0, 4.6), layout="constrained")
    low, high = np.percentile(found.image.data, (0.5, 99.5))
    axes[0].imshow(found.image.data, cmap="gray", vmin=low, vmax=high)
    scale_bar(axes[0], found.image)
    size = max(2.0, min(26.0, 6e4 / max(len(columns.kinds), 1) / 60))
    for label, color, mine in _groups(found):
        y, x = columns.places[mine].T
        axes[0].scatter(x, y, s=size, facecolors="none", edgecolors=color, lw=0.9)
        values = columns.intensity[mine]
        axes[2].hist(
            values, bins=_bins(columns), color=color, alpha=0.65, label=f"{label} ({len(values)})"
        )
    if columns.lost.any():
        y, x = columns.places[columns.lost].T
        axes[0].plot(x, y, "x", color="w", ms=4)
    if len(columns.unexplained):
        y, x, _ = columns.unexplained.T
        axes[1].plot(x, y, "s", mfc="none", color="k", ms=8, label="no column of the structure")
        axes[1].legend(fontsize=8, loc="upper right")
    span = float(high - low) / 2
    picture = axes[1].imshow(columns.residual, cmap="RdBu_r", vmin=-span, vmax=span)
    figure.colorbar(picture, ax=axes[1], shrink=0.8, label="image less columns")
    axes[2].set_xlabel("intensity [image units x px²]")
    axes[2].set_ylabel("columns")
    axes[2].spines[["top", "right"]].set_visible(False)
    axes[2].legend(frameon=False, fontsize=9)
    for axis in axes[:2]:
        axis.set_xlim(-0.5, found.image.data.shape[1] - 0.5)
        axis.set_ylim(found.image.data.shape[0] - 0.5, -0.5)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{title}: {len(columns.kinds)} columns", fontsize=11)
    save(figure, path)
    plt.close(figure)


def _bins(columns: Columns) -> Floats:
    values = columns.intensity[~columns.lost]
    return np.linspace(min(0.0, float(values.min())), float(values.max()), 60)


def _groups(found: MeasuredColumns) -> list[tuple[str, str, Any]]:
    """Label, color and columns of each kind, or of each species that was told in it."""
    groups: list[tuple[str, Any]] = []
    for kind in found.columns.names:
        mine = _of(found.columns, kind)
        which = found.species.get(kind)
        if which is None:
            groups.append((kind, mine))
            continue
        for k, species in enumerate(which.species):
            label = species if species == kind else f"{species} for {kind}"
            groups.append((label, mine[which.likeliest == k]))
    return [
        (label, COLORS[n % len(COLORS)], mine)
        for n, (label, mine) in enumerate(groups)
        if len(mine)
    ]
