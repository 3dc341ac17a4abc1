"""What a match leaves behind: a table, a contact sheet, and the best structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.core import Signal
from htinvert.image.draw import ACCENT, scale_bar
from htinvert.matching.match import Answer
from htinvert.matching.pipeline import Hit
from htinvert.matching.search import Searching, match_library
from htinvert.report.figures import pyplot
from htinvert.report.save import save
from htinvert.report.terminal import counted_bar
from htinvert.structures.write import write_table

SHOWN = 5  # hits on the contact sheet


def write_match(
    folder: Path, image: Signal, answer: Answer, *, name: str, note: str = ""
) -> list[Path]:
    """Write ``match.csv``, all fitted members, and ``match.png``, the best; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "match.csv", folder / "match.png"]
    write_table(paths[0], rows(answer))
    draw_contact_sheet(paths[1], image, answer, name=name, note=note)
    return paths


def rows(answer: Answer) -> list[Mapping[str, Any]]:
    """One row per fitted member, the best first."""
    found: list[Mapping[str, Any]] = []
    for rank, (hit, member) in enumerate(zip(answer.hits, answer.names, strict=True), 1):
        pose = hit.fitted.pose
        below = answer.hits[rank].correlation if rank < len(answer.hits) else float("nan")
        found.append(
            {
                "rank": rank,
                "member": member,
                "correlation": round(hit.correlation, 5),
                "ahead_of_next": round(hit.correlation - below, 5),
                "pixel_size": round(hit.pixel_size, 5),
                **{key: round(value, 5) for key, value in pose.parameters.items()},
            }
        )
    return found


def member_table(answer: Answer) -> Any:
    """The best members for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(box=SIMPLE_HEAD)
    names = ("rank", "member", "correlation", "ahead of next", "rotation", "pixel size [Å]")
    for column in names:
        view.add_column(column, justify="left" if column == "member" else "right")
    for row in rows(answer):
        view.add_row(
            str(row["rank"]),
            row["member"],
            f"{row['correlation']:.4f}",
            f"{row['ahead_of_next']:.4f}" if row["rank"] < len(answer.hits) else "",
            f"{row['rotation']:.1f}",
            f"{row['pixel_size']:.4f}",
        )
    return view


def draw_contact_sheet(
    path: Path, image: Signal, answer: Answer, *, name: str, note: str = ""
) -> None:
    """Draw the image and, for each of the best members, the part compared above its simulation."""
    plt = pyplot()
    hits = answer.hits[:SHOWN]
    count = len(hits)
    figure = plt.figure(figsize=(4.4 + 2.3 * count, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, count + 2, width_ratios=[1] * (count + 2))
    whole = figure.add_subplot(grid[:, :2])
    low, high = np.percentile(image.data, (0.5, 99.5))
    whole.imshow(image.data, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    if answer.scale_known:
        scale_bar(whole, image)
    whole.set_title(f"{name}: where the first was found", fontsize=10)
    if hits:
        left, top, width, height = _box(image, hits[0])
        frame = plt.Rectangle((left, top), width, height, fill=False, edgecolor=ACCENT, lw=1.8)
        whole.add_patch(frame)
    axes = [whole]
    for number, (hit, member) in enumerate(zip(hits, answer.names, strict=False)):
        axes += _draw_hit(figure, grid, number, hit, member)
    for axis in axes:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(answer.verdict, fontsize=11)
    if note:
        figure.supxlabel(note, fontsize=8, color="#555555")
    save(figure, path)
    plt.close(figure)


def _draw_hit(figure: Any, grid: Any, number: int, hit: Hit, member: str) -> list[Any]:
    """The compared part of the image above the member's simulation in its pose."""
    upper, lower = (figure.add_subplot(grid[row, number + 2]) for row in (0, 1))
    low, high = np.percentile(hit.fitted.observed, (0.5, 99.5))
    gray = {"cmap": "gray", "vmin": low, "vmax": high, "interpolation": "nearest"}
    upper.imshow(hit.fitted.observed, **gray)
    lower.imshow(hit.fitted.simulated, **gray)
    upper.set_title(f"{number + 1}: {_short(member)}", fontsize=9)
    lower.set_title(f"correlation {hit.correlation:.3f}", fontsize=9)
    if number == 0:
        upper.set_ylabel("experiment", fontsize=9)
        lower.set_ylabel("simulation", fontsize=9)
    return [upper, lower]


def _short(member: str, most: int = 22) -> str:
    name = Path(member).stem if "/" in member or "." in member else member
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def _box(image: Signal, hit: Hit) -> tuple[float, float, float, float]:
    """Left, top, width and height [px of the image] of the part that was compared."""
    size = np.array(hit.fitted.observed.shape[::-1]) * hit.tile.fine.sampling[0]
    steps = np.array(hit.tile.guess[::-1])
    middle = (np.array(image.data.shape[::-1]) - 1) / 2 + np.array(hit.tile.middle)
    middle = middle + hit.fitted.region.middle / steps
    width, height = size / steps
    return float(middle[0] - width / 2), float(middle[1] - height / 2), float(width), float(height)


def summary(answer: Answer, *, most: int = 5) -> Sequence[str]:
    """Lines on what was left out, so that nothing is lost in silence."""
    if not answer.failed:
        return ()
    shown = [f"  {name}: {reason}" for name, reason in list(answer.failed.items())[:most]]
    more = [f"  and {len(answer.failed) - most} more"] if len(answer.failed) > most else []
    return [f"{len(answer.failed)} members were skipped:", *shown, *more]


def match_with_progress(
    image: Signal,
    library: Path,
    *,
    name: str,
    credit: str,
    output: Path,
    console: Any,
    **search: Any,
) -> Answer:
    """Match an image against a library, say how it goes, and write what came of it.

    ``search`` is what :func:`htinvert.matching.search.match_library` takes besides, and what it
    raises is raised.
    """
    last = Searching("")
    with counted_bar(console) as bar:
        task = bar.add_task("describing the library", total=None)

        def show(now: Searching) -> None:
            nonlocal last
            last = now
            bar.update(task, description=now.doing, completed=now.done, total=now.total)

        answer = match_library(image, library, observer=show, **search)
    kept = f", {last.known} of them known from {last.cache}" if last.known else ""
    console.print(f"{last.done} members{kept}")
    for line in (*summary(answer), *answer.notes):
        console.print(line, soft_wrap=True)
    console.print(member_table(answer))
    console.print(answer.verdict, soft_wrap=True)
    for path in write_match(output, image, answer, name=name, note=credit):
        console.print(f"written: {path}")
    return answer
