"""Where a structure was found: a sentence, a block to paste, a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.channels import read_experiment
from htinvert.campaign.place import at_its_place, located
from htinvert.config.experiment import Experiment
from htinvert.core import Floats, Signal
from htinvert.image.draw import ACCENT, scale_bar
from htinvert.image.register import FREE
from htinvert.matching.locate import Located
from htinvert.report.figures import pyplot
from htinvert.report.save import save
from htinvert.report.terminal import spinner
from htinvert.signals.image import require_image
from htinvert.structures.file import from_file

UNITS = {
    "crop": "top, bottom, left, right [px]",
    "rotate": "degrees counter-clockwise",
    "center": "height, width [px]",
    "sampling": "Å/px",
    "source_size": "Å",
    "shift_x": "Å",
    "shift_y": "Å",
    "rotation": "degrees",
    "shape": "px",
}
LARGEST_PICTURE = 1024  # px of the whole image along a side, as drawn


def locate_with_progress(
    structure: Path,
    experiment: Experiment,
    *,
    folder: Path,
    tolerance: float,
    output: Path | None,
    picture: Path,
    console: Any,
) -> Located:
    """Find a structure file in an experiment's image; print its block, draw it.

    ``output`` is a YAML file for the block, for ``register`` and campaigns. Raises
    :class:`~htinvert.core.UserError` where the structure is not found.
    """
    atoms = from_file(structure)
    require_image(experiment)
    image, said = read_experiment(experiment, folder=folder)
    console.print(said, soft_wrap=True)
    with spinner(console, "looking for the structure") as status:
        found = located(
            experiment,
            atoms,
            folder=folder,
            image=image,
            tolerance=tolerance,
            progress=status.update,
        )
    console.print(f"{structure.name} in {experiment.data.name}: {found.sentence}", soft_wrap=True)
    for note in found.notes:
        console.print(note, soft_wrap=True)
    text = block(at_its_place(experiment, found), given=experiment)
    console.print(f"\n{text}", soft_wrap=True)
    draw_located(picture, image, found, title=experiment.data.name)
    console.print(f"drawn: {picture}")
    if output is not None:
        output.write_text(text, encoding="utf-8")
        console.print(f"written: {output}")
    return found


def block(placed: Experiment, *, given: Experiment) -> str:
    """The experiment's block in YAML, with units; ``given`` is what it was made from."""
    sampling = placed.sampling  # type: ignore[attr-defined]
    y, x = sampling if isinstance(sampling, tuple) else (sampling, sampling)
    lines = [f"image: {placed.data}"]
    for key in ("signal", "channel", "crop", "credit"):
        value = getattr(given, key, None)
        if value is not None and value != "":
            lines.append(f"{key}: {_flow(value)}")
    lines += [_line("sampling", y if y == x else [y, x]), "prepare:"]
    for step in placed.prepare:
        ((name, value),) = step.items()
        lines.append("  - " + _line(name, value))
    lines.append("forward:")
    lines += ["  " + _line(name, value) for name, value in placed.forward.items()]
    lines += ["free:  # what is fitted, with bounds"]
    lines += ["  " + _line(name, list(bounds)) for name, bounds in (placed.free or FREE).items()]
    metrics = {name: spec or {} for name, spec in placed.metrics.items()}
    lines += ["metrics: " + _flow(metrics), ""]
    return "\n".join(lines)


def _line(name: str, value: Any) -> str:
    comment = f"  # {UNITS[name]}" if name in UNITS else ""
    return f"{name}: {_flow(value)}{comment}"


def _flow(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def draw_located(path: Path, image: Signal, found: Located, *, title: str) -> None:
    """Draw the region in the whole image, an arrow up, and the region above its simulation."""
    plt = pyplot()
    figure = plt.figure(figsize=(11.5, 6.4), layout="constrained")
    grid = figure.add_gridspec(2, 3)
    whole = figure.add_subplot(grid[:, :2])
    step = max(1, -(-max(image.data.shape) // LARGEST_PICTURE))
    shown = image.data[::step, ::step]
    low, high = np.percentile(shown, (0.5, 99.5))
    whole.imshow(shown, cmap="gray", vmin=low, vmax=high)
    y, x = image.sampling
    scale_bar(whole, Signal.image(shown, (y * step, x * step)))
    outline = _outline(image, found) / step
    whole.plot(*outline[[0, 1, 2, 3, 0]].T, color=ACCENT, lw=1.8)
    middle, top = outline[:4].mean(axis=0), outline[:2].mean(axis=0)
    arrow = {"arrowstyle": "->", "color": ACCENT, "lw": 1.8}
    whole.annotate("", xy=tuple(middle + 1.15 * (top - middle)), xytext=tuple(middle),
                   arrowprops=arrow)  # fmt: skip
    whole.set_title("the region that is compared, and its up", fontsize=10)
    parts = (found.upright.fitted.observed, found.upright.fitted.simulated)
    low, high = np.percentile(parts[0], (0.5, 99.5))
    for row, (data, name) in enumerate(zip(parts, ("prepared", "simulated"), strict=True)):
        axis = figure.add_subplot(grid[row, 2])
        axis.imshow(data, cmap="gray", vmin=low, vmax=high)
        axis.set_title(name, fontsize=10)
        if row == 0:
            scale_bar(axis, Signal.image(data, found.upright.step))
    for axis in figure.axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{title}: {found.sentence}", fontsize=10, wrap=True)
    save(figure, path, dpi=130)
    plt.close(figure)


def _outline(image: Signal, found: Located) -> Floats:
    """Corners of the region in the whole image, (column, row) [px], shape (4, 2), top first."""
    rows, columns = found.upright.fitted.observed.shape
    half = np.array([columns, rows]) * found.upright.step / 2
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    turn = np.radians(found.sighting.rotation)
    if found.sighting.mirrored:
        corners = corners * [-1, 1]
    cosine, sine = np.cos(turn), np.sin(turn)
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]]).T
    turned = turned * found.sighting.pose.magnification + found.sighting.pose.shift
    steps = np.array(image.sampling[::-1])
    return np.asarray(turned / steps + (np.array(image.data.shape[::-1]) - 1) / 2)
