"""An image, its simulation fused in, and their difference, in a figure of matplotlib."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from htinvert.core import Signal
from htinvert.evaluation.placed import Placed
from htinvert.image.place import fused, inset, round_bar

ACCENT = "#d1495b"


def draw_image(figure: Any, placed: Placed, *, title: str, note: str = "") -> None:
    """Draw experiment, simulation fused into it, and residual, side by side."""
    from matplotlib.patches import Rectangle

    height, width = placed.observed.data.shape
    panel = min(max(3.2, 3.6 * width / height), 5.5)  # inches
    figure.set_size_inches(3 * panel + 1.0, panel * height / width + 1.1)
    axes = figure.subplots(1, 3)
    low, high = np.percentile(placed.observed.data, (0.5, 99.5))
    gray = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"}
    axes[0].imshow(placed.observed.data, **gray)
    axes[1].imshow(fused(placed), **gray)
    left, top, columns, rows = inset(placed)
    box = (left - 0.5, top - 0.5)
    axes[1].add_patch(Rectangle(box, columns, rows, fill=False, edgecolor=ACCENT, lw=1.5))
    span = high - low
    residual = placed.framed(placed.residual)
    shown = axes[2].imshow(residual, cmap="RdBu_r", vmin=-span, vmax=span)
    figure.colorbar(shown, ax=axes, fraction=0.02, pad=0.01, label="residual [image units]")
    scale_bar(axes[0], placed.observed)
    names = ("experiment", "simulation fused in (framed)", "simulation - experiment")
    name_panels(axes, names)
    caption(figure, title, note)


def name_panels(axes: Iterable[Any], names: Iterable[str]) -> None:
    """A title above each picture, and no ticks."""
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(name, fontsize=10)
        axis.set_xticks([])
        axis.set_yticks([])


def caption(figure: Any, title: str, note: str) -> None:
    """A title above a figure, and a note below it where there is one."""
    figure.suptitle(title, fontsize=11)
    if note:
        figure.supxlabel(note, fontsize=8, color="#555555")


def scale_bar(axis: Any, observed: Signal) -> None:
    """A white bar of a round length of about a fifth of the width, on a dark ground."""
    step = observed.sampling[1]
    pixels, label = round_bar(observed.data.shape[1] * step, step)
    ground = {"facecolor": "k", "alpha": 0.55, "edgecolor": "none", "pad": 2.5}
    draw_bar(axis, observed.data.shape, pixels, label, bbox=ground)


def draw_bar(
    axis: Any, shape: tuple[int, ...], pixels: float, label: str, *, bbox: Any = None
) -> None:
    """A white bar of this many ``pixels`` with its label, at the lower left of a picture."""
    height, width = shape
    left, low = 0.06 * width, 0.94 * height
    axis.plot([left, left + pixels], [low, low], color="w", lw=3, solid_capstyle="butt")
    look = {"color": "w", "fontsize": 8, "ha": "center", "va": "bottom", "bbox": bbox}
    axis.text(left + 0.5 * pixels, low - 0.03 * height, label, **look)
