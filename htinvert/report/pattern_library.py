"""A library of patterns as people meet it: its cost, its progress, and what data say of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from htinvert.campaign.channels import observe
from htinvert.config.experiment import Experiment
from htinvert.config.pattern_block import read_patterns
from htinvert.core import Signal, UserError
from htinvert.forward.cbed.detector import angles
from htinvert.image.draw import ACCENT
from htinvert.matching.pattern_answer import PatternAnswer, answer
from htinvert.matching.pattern_families import probabilities
from htinvert.matching.pattern_library import PatternLibrary, build_library
from htinvert.matching.pattern_map import map_levels
from htinvert.matching.pattern_question import NAMES, UNITS
from htinvert.matching.pattern_wanted import Wanted, cost_of
from htinvert.report.figures import pyplot
from htinvert.report.pattern_map import write_map
from htinvert.report.save import save
from htinvert.report.terminal import counted_bar, spinner
from htinvert.signals.pattern_file import read_pattern
from htinvert.structures.write import write_table

STORE = "patterns.zarr"


def holds_patterns(folder: Path) -> bool:
    """Whether a folder is a library of patterns."""
    return (folder / STORE).is_dir()


def libraries_in(folder: Path) -> dict[str, Path]:
    """Libraries of patterns in a folder, by name."""
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{STORE}"))}


def wanted_of(config: Path) -> Wanted:
    """What a description with a ``patterns`` block asks for.

    Raises :class:`UserError` where it is wrong, or a structure has no boundary.
    """
    block, structures, name = read_patterns(config)
    ((_, values),) = structures.vary.items()
    first = structures.build_one({name: values[0]})
    if "boundary" not in first.info:
        raise UserError(
            f"{config.name}: its structure says of no boundary where the strips lie; use "
            "perovskite_stack, or one whose info has boundary [Å]"
        )
    return Wanted(
        descriptor=name,
        levels=tuple(float(value) for value in values),
        build=lambda value: structures.build_one({name: value}),
        thickness=(*block.thickness, block.every),
        **{key: value for key, value in block if key not in ("thickness", "every")},
    )


def build_with_progress(config: Path, folder: Path, *, console: Any) -> Path:
    """Say what a library of patterns costs, then build what of it is missing; returns its store."""
    wanted = wanted_of(config)
    console.print(f"{wanted.descriptor}: {len(wanted.levels)} levels; {cost_of(wanted)}")
    folder.mkdir(parents=True, exist_ok=True)
    with counted_bar(console) as bar:
        task = bar.add_task(f"simulating {config.stem}", total=len(wanted.levels))
        path = build_library(
            wanted,
            folder / STORE,
            observer=lambda done, total: bar.update(task, completed=done, total=total),
        )
    console.print(f"written: {path}; patterns are kept to 5e-4 of each value")
    return path


def answer_with_progress(
    library: Path,
    data: Path | Experiment,
    *,
    sampling: float | None,
    folder: Path,
    output: Path,
    console: Any,
) -> dict[str, Any]:
    """Ask a library what patterns of strips show, print and write the answer; returns numbers.

    ``data`` is a file (strip, ky, kx), or (position, strip, ky, kx) for a map, with its step
    ``sampling`` [mrad per px], or an experiment. Of a folder of libraries every one is asked, and
    how probable each is is said.
    """
    whole = read_strips(data, sampling, folder)
    if not holds_patterns(library):
        return answer_each(libraries_in(library), whole, output, console)
    known = PatternLibrary.open(library / STORE)
    return answer_values(known, _asked(known, whole, output, console))


def answer_each(
    libraries: Mapping[str, Path], whole: Signal, output: Path, console: Any
) -> dict[str, Any]:
    """Ask each library, print and write the answers and how probable each is; returns numbers."""
    known = {name: PatternLibrary.open(path / STORE) for name, path in libraries.items()}
    answers = {}
    for name, library in known.items():
        console.print(f"{name}:")
        answers[name] = _asked(library, whole, output / name, console)
    share = probabilities(answers)
    best = max(share, key=lambda name: share[name])
    told = ", ".join(f"{name} {value:.3f}" for name, value in share.items())
    none = all(answer.none_of_these for answer in answers.values())
    console.print("none of these" if none else f"{best}; probabilities: {told}")
    values: dict[str, Any] = {
        "none_of_these": none,
        "probabilities": share,
        "answers": {name: answer_values(known[name], found) for name, found in answers.items()},
    }
    (output / "families.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
    console.print(f"written: {output / 'families.json'}")
    return values


def _asked(known: PatternLibrary, whole: Signal, output: Path, console: Any) -> PatternAnswer:
    """Answer, print and write."""
    observed = whole
    if whole.data.ndim == 4:  # positions of one session: the mean tells the instrument
        observed = Signal(whole.data.mean(axis=0), whole.axes[1:])
    with spinner(console, "asking") as status:
        found = answer(known, observed, observer=getattr(status, "update", None))
    for line in lines_of(known, found):
        console.print(line, soft_wrap=True)
    output.mkdir(parents=True, exist_ok=True)
    figure, numbers, table = (output / n for n in ("answer.png", "answer.json", "levels.csv"))
    draw_answer(figure, known, observed, found)
    numbers.write_text(json.dumps(answer_values(known, found), indent=1), encoding="utf-8")
    rows: list[Mapping[str, Any]] = [
        {known.descriptor: float(v), "misfit": float(m), "probability": float(w)}
        for v, m, w in zip(found.levels, found.misfit, found.level.weights, strict=True)
    ]
    write_table(table, rows)
    paths = [figure, numbers, table]
    if whole is not observed:
        paths += write_map(known, map_levels(known, whole, found), output)
    for path in paths:
        console.print(f"written: {path}")
    return found


def read_strips(data: Path | Experiment, sampling: float | None, folder: Path) -> Signal:
    """Patterns of strips from a file with their step [mrad per px], or of an experiment."""
    if isinstance(data, Experiment):
        return observe(data, folder=folder)
    if sampling is None:
        raise UserError("patterns of strips need their step; give --sampling in mrad per px")
    return read_pattern(data, sampling=sampling, unit="mrad")[0]


def answer_values(library: PatternLibrary, found: PatternAnswer) -> dict[str, Any]:
    """An answer as plain numbers."""
    return {
        "descriptor": library.descriptor,
        "level": found.level.mean,
        "standard_error": found.level.spread,
        "interval_90": list(found.level.interval()),
        "determined": found.level.determined,
        "none_of_these": found.none_of_these,
        "explained": found.explained,
        "chi_square": found.chi_square,
        "independent_points": found.independent,
        "best": dict(found.point),
        "errors": dict(found.errors),
        "nuisances": {name: list(pair) for name, pair in found.nuisances.items()},
    }


def lines_of(library: PatternLibrary, found: PatternAnswer) -> list[str]:
    """An answer in sentences."""
    low, high = found.level.interval()
    name = library.descriptor
    if found.none_of_these:
        first = (
            f"none of these: the best level of {name} explains {found.explained:.0%} of what a "
            "plain disk leaves; check semiangle, strips and orientation, or widen the library"
        )
    elif not found.level.determined:
        first = f"{name}: not determined, 90 % from {low:.2f} to {high:.2f}"
    else:
        first = (
            f"{name}: {found.level.mean:.2f} ± {found.level.spread:.2f}, "
            f"90 % from {low:.2f} to {high:.2f}"
        )
    told = [
        f"{key} {found.point[key]:.4g} ± {found.errors[key]:.1g}{'' if u == '1' else ' ' + u}"
        for key, u in zip(NAMES[1:], UNITS[1:], strict=True)
    ]
    doubts = ", ".join(
        f"{key} {value:+.1%} ± {error:.1%}" for key, (value, error) in found.nuisances.items()
    )
    return [
        first,
        f"chi² {found.chi_square:.2f} per pixel, {found.independent:.0f} independent pixels",
        ", ".join(told),
        f"beside the library's: {doubts}",
    ]


def _about_the_disk(library: PatternLibrary, observed: Signal) -> tuple[slice, slice]:
    """Rows and columns within 1.7 semiangles of the axes' zero; noise of counting lies beyond."""
    found = []
    for axis, count in zip(observed.axes[-2:], observed.data.shape[-2:], strict=True):
        near = np.abs(angles(axis, count, library.beam_energy)) <= 1.7 * library.semiangle
        places = np.flatnonzero(near)
        found.append(slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(None))
    return found[0], found[1]


def draw_answer(
    path: Path, library: PatternLibrary, observed: Signal, found: PatternAnswer
) -> None:
    """Measured and best patterns of each strip, their difference, and the probability of levels."""
    plt = pyplot()
    data = observed.data.astype(float)
    rows = len(data)
    figure, axes = plt.subplots(
        *(3, rows + 2), figsize=(1.5 * rows + 3.6, 4.6), layout="constrained"
    )
    high = float(np.nanpercentile(data, 99.9))
    part = _about_the_disk(library, observed)
    for row in range(rows):
        apart = (found.matched[row] - data[row]) / np.sqrt(np.maximum(data[row], 1.0) + 1.0)
        for axis, image, limits in zip(
            axes[:, row],
            (data[row], found.matched[row], apart),
            ((0.0, high), (0.0, high), (-5.0, 5.0)),
            strict=True,
        ):
            cmap = "RdBu_r" if limits[0] else "inferno"
            shown = axis.imshow(image[part], cmap=cmap, vmin=limits[0], vmax=limits[1])
            axis.set(xticks=[], yticks=[])
        axes[0, row].set_title(f"strip {row + 1}", fontsize=8)
    for axis, words in zip(axes[:, 0], ("measured", "best", "difference / noise"), strict=True):
        axis.set_ylabel(words, fontsize=8)
    figure.colorbar(shown, ax=axes[2, rows - 1], fraction=0.05)
    grid = axes[0, 0].get_gridspec()
    for axis in axes[:, rows:].ravel():
        axis.remove()
    side = figure.add_subplot(grid[:, rows:])
    side.fill_between(found.levels, found.level.weights, step="mid", color=ACCENT)
    side.set(xlabel=library.descriptor, ylabel="probability")
    thickness = f"{found.point['thickness']:.0f} ± {found.errors['thickness']:.0f} Å"
    figure.suptitle(
        f"{library.descriptor} {found.level.mean:.2f} ± {found.level.spread:.2f}, {thickness}",
        fontsize=9,
    )
    save(figure, path, dpi=110)
    plt.close(figure)
