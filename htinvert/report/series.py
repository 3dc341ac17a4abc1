"""What a campaign over a series shows: events and drift, tables, a strip of frames, a movie."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from htinvert.campaign.events import Event, atom_columns
from htinvert.campaign.progress import GOES_ON, Progress
from htinvert.campaign.resume import plan_of
from htinvert.campaign.series import FrameAnswer, SeriesAnswers, run_series
from htinvert.core import Channel, EvaluationFailed, Floats
from htinvert.declaration.abilities import HasView
from htinvert.evaluation.fit import adjusted
from htinvert.evaluation.placed import Placed
from htinvert.image.draw import ACCENT, draw_image, scale_bar
from htinvert.report.as_json import written
from htinvert.report.figures import pyplot
from htinvert.report.save import drop_links, save
from htinvert.report.terminal import counted_bar
from htinvert.signals.seen import see
from htinvert.structures.write import write_structures, write_table

SHOWN = 20  # frames on the strip
ACROSS = 10  # of them in a row
COLORS = ("#00798c", "#d1495b", "#edae49", "#66a182", "#2e4057", "#8d6a9f")
LASTS = 0.4  # s, of a frame in the movie; one that shows an event lasts three times as long
FINE = 80  # dots per inch of the movie


def series_with_progress(
    campaign: Path,
    *,
    output: Path,
    console: Any,
    movie: bool = True,
    **settings: Any,
) -> SeriesAnswers | None:
    """Run or resume a campaign over a series, say how it goes, write what came of it.

    ``settings`` are those of :func:`htinvert.campaign.series.run_series`, whose errors it raises;
    None where it was interrupted.
    """
    with counted_bar(console) as bar:
        task = bar.add_task("frame 1", total=None)

        def observe(number: int, count: int, progress: Progress) -> None:
            best = f", best {progress.best:.4f}" if np.isfinite(progress.best) else ""
            doing = f"frame {number} of {count}: {progress.evaluated} done{best}"
            bar.update(task, completed=number, total=count, description=doing)

        try:
            found = run_series(campaign, output, observer=observe, **settings)
        except KeyboardInterrupt:  # between two frames, or by who insists; all is on disk
            found = None
    if found is None:
        console.print(f"interrupted; {GOES_ON}")
        return None
    tell(found, console)
    for path in write_series(output, found, movie=movie):
        console.print(f"written: {path}", soft_wrap=True)
    return found


def tell(found: SeriesAnswers, console: Any) -> None:
    """Print what a series shows: events, drift, evaluations."""
    first, later = found.frames[0], found.frames[1:]
    spent = [frame.evaluations for frame in later]
    new = [frame.relaxations for frame in later]
    drift = np.linalg.norm(found.drift, axis=1)
    console.print(
        f"{len(found.frames)} frames, {first.evaluations} evaluations of the first, "
        f"{np.mean(spent):.1f} of each later one ({np.mean(new):.1f} of new structures); the "
        f"picture drifted by up to {drift.max():.2f} Å",
        soft_wrap=True,
    )
    sure = [event for event in found.events if event.is_sure]
    if not sure:
        console.print("no event: one structure holds in all frames, as far as can be said")
    for event in sure:
        console.print(str(event), soft_wrap=True)
    for event in found.events:
        if not event.is_sure:
            console.print(f"perhaps {event}", soft_wrap=True)


def write_series(folder: Path, found: SeriesAnswers, *, movie: bool = True) -> list[Path]:
    """Write ``events.csv``, ``frames.csv``, ``series.json``, ``answers.xyz`` and the pictures."""
    names = ("events.csv", "frames.csv", "series.json", "answers.xyz", "series.png", "series.gif")
    paths = [folder / name for name in names]
    for path in paths:
        drop_links(path)
    events: list[Mapping[str, Any]] = [event_row(event) for event in found.events]
    write_table(paths[0], events or [dict.fromkeys(HEADS)])
    rows: list[Mapping[str, Any]] = [frame_row(found, frame) for frame in found.frames]
    write_table(paths[1], rows)
    told = {"events": events, "frames": rows}
    paths[2].write_text(written(told), encoding="utf-8")
    write_structures(paths[3], [_labeled(frame) for frame in found.frames])
    seen = [_seen(found, frame) for frame in found.frames]
    draw_strip(paths[4], found, seen)
    if not movie:
        return paths[:5]
    write_movie(paths[5], found, seen)
    return paths


HEADS = ("frame", "earliest", "latest", "sure", "kind", "what", "x", "y", "z", "by", "gain")


def event_row(event: Event) -> dict[str, Any]:
    """An event in a table: frames from 0, probability, place and way [Å]."""
    place = dict(zip("xyz", (round(value, 4) for value in event.place), strict=True))
    return {
        "frame": event.frame,
        "earliest": event.earliest,
        "latest": event.latest,
        "sure": round(event.sure, 5),
        "kind": event.kind,
        "what": event.what,
        **place,
        "by": round(event.by, 4),
        "gain": round(event.gain, 4),
    }


def frame_row(found: SeriesAnswers, frame: FrameAnswer) -> dict[str, Any]:
    """A frame in a table: its answer, costs, drift [Å], imaging parameters."""
    down, right = found.drift[frame.number]
    return {
        "frame": frame.number,
        "structure": found.path[frame.number],
        "formula": frame.best.atoms.get_chemical_formula(),
        "total": round(frame.total, 5),
        "evaluations": frame.evaluations,
        "relaxations": frame.relaxations,
        "seconds": round(frame.seconds, 3),
        "drift_down": round(float(down), 4),
        "drift_right": round(float(right), 4),
        **{name: round(value, 5) for name, value in frame.parameters.items()},
    }


def _labeled(frame: FrameAnswer) -> Atoms:
    atoms = frame.best.atoms.copy()
    atoms.info |= {"frame": frame.number, "total": frame.total}
    return atoms


class _SeenFrame:
    """A frame beside the simulation of its answer, and where that has columns [px]."""

    def __init__(self, channel: Channel, placed: Placed | None, columns: Floats) -> None:
        self.channel, self.placed, self.columns = channel, placed, columns


def _seen(found: SeriesAnswers, frame: FrameAnswer) -> _SeenFrame:
    """Simulate a frame's answer again."""
    channels = plan_of(frame.folder).recipe.channels
    channel = next(one for one in channels if one.name == found.experiment)
    fitted = frame.best.parameters.get(found.experiment, {})
    atoms = frame.best.atoms
    try:
        seen = see(channel, atoms, fitted)
    except EvaluationFailed:
        return _SeenFrame(channel, None, np.empty((0, 2)))
    forward: Any = adjusted(channel.forward, fitted)
    if not isinstance(forward, HasView):
        return _SeenFrame(channel, seen.placed, np.empty((0, 2)))
    view: Any = forward.view(atoms)
    places = np.array([column.place for column in atom_columns(atoms, view.frame[:2])])
    pixels = _copies(places, atoms, view)
    inside = ((pixels > 0) & (pixels < np.array(seen.placed.simulated.data.shape) - 1)).all(axis=1)
    return _SeenFrame(channel, seen.placed, pixels[inside] + np.array(seen.placed.start))


def _copies(places: Floats, atoms: Atoms, view: Any) -> Floats:
    """Pixels of columns, and of their nearest periodic images."""
    if not len(places):
        return np.empty((0, 2))
    found = [places]
    for vector, periodic in zip(np.asarray(atoms.cell), atoms.pbc, strict=True):
        if periodic and np.linalg.norm(view.frame[:2] @ vector) > 1.0:
            found = [part + n * vector for part in found for n in (-1, 0, 1)]
    return np.asarray(view.pixels(np.concatenate(found)))


def draw_strip(path: Path, found: SeriesAnswers, seen: Sequence[_SeenFrame]) -> None:
    """Draw frames with the columns of their answers; below, what decides, and the drift."""
    plt = pyplot()
    shown = _chosen(found)
    across = min(ACROSS, len(shown))
    rows = -(-len(shown) // across)
    ny, nx = seen[0].channel.observed.data.shape
    tall = 1.35 * ny / nx + 0.25
    figure = plt.figure(figsize=(1.35 * across + 0.4, tall * rows + 2.9), layout="constrained")
    grid = figure.add_gridspec(rows + 1, 1, height_ratios=[tall] * rows + [2.6])
    changes = {event.frame: event for event in found.events if event.is_sure}
    for row in range(rows):
        inner = grid[row].subgridspec(1, across, wspace=0.04)
        for place, number in enumerate(shown[row * across : (row + 1) * across]):
            axis = figure.add_subplot(inner[place])
            _draw_frame(axis, seen[number], number, number in changes)
            if not row and not place:
                scale_bar(axis, seen[number].channel.observed)
    inner = grid[rows].subgridspec(1, 2, wspace=0.08, width_ratios=[1.6, 1.0])
    _draw_sums(figure.add_subplot(inner[0]), found)
    _draw_drift(figure.add_subplot(inner[1]), found)
    save(figure, path)
    plt.close(figure)


def _chosen(found: SeriesAnswers) -> list[int]:
    """Frames of the strip: all, or those around events and others evenly."""
    count = len(found.frames)
    if count <= SHOWN:
        return list(range(count))
    near = [k for event in found.events for k in (event.frame - 1, event.frame)]
    even = np.linspace(0, count - 1, SHOWN).round().astype(int).tolist()
    kept = list(dict.fromkeys([0, *near[: SHOWN - 2], count - 1]))
    kept += [k for k in even if k not in kept][: SHOWN - len(kept)]
    return sorted(kept)


def _draw_frame(axis: Any, seen: _SeenFrame, number: int, changed: bool) -> None:
    data = seen.channel.observed.data
    low, high = np.percentile(data, (0.5, 99.5))
    axis.imshow(data, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if len(seen.columns):
        y, x = seen.columns.T
        axis.scatter(x, y, s=9, facecolors="none", edgecolors=COLORS[2], lw=0.7)
    axis.set_title(f"{number}", fontsize=8, pad=2, color=ACCENT if changed else "k")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_edgecolor(ACCENT if changed else "w")
        spine.set_linewidth(2.0 if changed else 0.5)


def _draw_sums(axis: Any, found: SeriesAnswers) -> None:
    """Weighted sums of the answers over the lowest, and the events."""
    times = np.arange(len(found.frames))
    above = found.totals - found.totals.min(axis=0)
    for row, one in enumerate(found.structures):
        held = found.path.count(row) if isinstance(found.path, list) else 0
        label = f"{one.atoms.get_chemical_formula()}, {held} frames"
        color = COLORS[row % len(COLORS)] if held else "#bbbbbb"
        axis.plot(times, above[row], "o-", ms=3, lw=1.2, color=color, label=label if held else None)
    for frame, events in _together(found.events).items():
        what = ", ".join(f"{event.what} {event.kind}" for event in events[:2])
        more = f", {len(events) - 2} more" if len(events) > 2 else ""
        axis.axvline(frame - 0.5, color=ACCENT, lw=1.0, ls="-" if events[0].is_sure else ":")
        text = f"{what}{more}: {100 * events[0].sure:.1f} %"
        axis.text(frame - 0.4, 0.97, text, transform=axis.get_xaxis_transform(), fontsize=8,
                  color=ACCENT, va="top")  # fmt: skip
    axis.set_ylim(top=1.18 * max(float(above.max()), 1e-6))
    axis.set_xlabel("frame")
    axis.set_ylabel("weighted sum over the lowest")
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.get_major_locator().set_params(integer=True)
    above_it = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    axis.legend(frameon=False, fontsize=8, ncols=3, **above_it)


def _together(events: Sequence[Event]) -> Mapping[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in events:
        found.setdefault(event.frame, []).append(event)
    return found


def _draw_drift(axis: Any, found: SeriesAnswers) -> None:
    for name, values, color in zip(("down", "right"), found.drift.T, COLORS[3:], strict=False):
        axis.plot(values, "o-", ms=3, lw=1.2, color=color, label=name)
    axis.set_xlabel("frame")
    axis.set_ylabel("drift [Å]")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def write_movie(path: Path, found: SeriesAnswers, seen: Sequence[_SeenFrame]) -> None:
    """Write an animated GIF: each frame, its simulation fused in, what is left."""
    from PIL import Image

    plt = pyplot()
    pictures, lasts = [], []
    events = _together(found.events)
    with tempfile.TemporaryDirectory(prefix="htinvert-") as folder:
        page = Path(folder) / "frame.png"
        for frame, one in zip(found.frames, seen, strict=True):
            if one.placed is None:
                continue
            figure = plt.figure(layout="constrained")
            happened = "; ".join(f"{e.what} {e.kind}" for e in events.get(frame.number, ()))
            formula = frame.best.atoms.get_chemical_formula()
            title = f"frame {frame.number}: {formula}" + (f": {happened}" if happened else "")
            draw_image(figure, one.placed, title=title)
            save(figure, page, dpi=FINE)
            plt.close(figure)
            with Image.open(page) as picture:
                pictures.append(picture.convert("RGB").quantize(256))
            lasts.append(int(1000 * LASTS * (3 if happened else 1)))
    if pictures:
        pictures[0].save(
            path, save_all=True, append_images=pictures[1:], duration=lasts, loop=0, optimize=True
        )
