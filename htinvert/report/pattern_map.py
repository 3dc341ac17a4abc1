"""A map of a descriptor over positions: table, and a figure with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.matching.pattern_library import PatternLibrary
from htinvert.matching.pattern_map import PatternMap
from htinvert.report.figures import pyplot
from htinvert.report.save import save
from htinvert.structures.write import write_table


def write_map(library: PatternLibrary, found: PatternMap, folder: Path) -> list[Path]:
    """Write the table and the figure of a map, and return their paths."""
    names = (library.descriptor, "thickness", "tilt_x", "tilt_y")
    rows: list[Mapping[str, Any]] = [
        {
            "position": place,
            **dict(zip(names, map(float, values), strict=True)),
            **{f"{n}_error": float(e) for n, e in zip(names, errors, strict=True)},
            "determined": bool(determined),
        }
        for place, (values, errors, determined) in enumerate(
            zip(found.values, found.errors, found.determined, strict=True)
        )
    ]
    paths = [folder / "map.csv", folder / "map.png"]
    write_table(paths[0], rows)
    plt = pyplot()
    figure, axes = plt.subplots(2, 1, figsize=(7, 4), sharex=True, layout="constrained")
    units = (f"{library.descriptor}", "thickness [Å]")
    place = np.arange(len(found.values))
    for index, (axis, unit) in enumerate(zip(axes, units, strict=True)):
        shown = axis.scatter(
            *(place, found.values[:, index]), c=found.errors[:, index], s=14, cmap="viridis"
        )
        axis.errorbar(
            *(place, found.values[:, index], found.errors[:, index]),
            fmt="none",
            lw=0.7,
            color="0.6",
        )
        axis.set_ylabel(unit)
        figure.colorbar(shown, ax=axis, label="standard error")
    unsure = ~found.determined
    axes[0].plot(place[unsure], found.values[unsure, 0], "x", color="red", label="not determined")
    if unsure.any():
        axes[0].legend(fontsize=8)
    axes[1].set_xlabel("position")
    save(figure, paths[1], dpi=110)
    plt.close(figure)
    return paths
