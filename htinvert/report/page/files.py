"""What lies beside a page: figures as PNG and PDF, structures, the table, a movie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from htinvert.config.yaml_file import read_yaml, seen_from
from htinvert.core import Channel, Evaluation
from htinvert.ranking.rank import Ranked
from htinvert.report.calibration import draw_calibration
from htinvert.report.figures import draw_pareto, draw_placed, footnote, phrase
from htinvert.report.page.facts import Facts
from htinvert.report.registration import join_movie
from htinvert.report.summary import labeled, row
from htinvert.signals.image import calibration_asked
from htinvert.signals.seen import Seen, see
from htinvert.store import RunStore
from htinvert.structures.write import write_structures, write_table

KINDS = (".png", ".pdf")
STRUCTURES = 10
MOST_FRAMES = 30


def write_files(
    folder: Path, facts: Facts, *, movie: bool, progress: Callable[[str], None]
) -> list[Path]:
    """Write everything beside the page to ``folder``, made where missing; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = _tables(folder, facts)
    paths += _structures(folder, facts.ranked[:STRUCTURES])
    paths.append(folder / "campaign.yaml")
    raw = seen_from(folder, read_yaml(facts.folder / "config.yaml"), facts.folder)
    paths[-1].write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    progress("figures")
    paths += _figures(folder, facts)
    if movie and facts.channels:
        progress("movie")
        paths += _movie(folder, facts)
    return paths


def _tables(folder: Path, facts: Facts) -> list[Path]:
    """The families as CSV and Parquet, one row each."""
    from pyarrow import Table
    from pyarrow.parquet import write_table as write_parquet

    rows = [row(entry) for entry in facts.ranked]
    names = list(dict.fromkeys(name for each in rows for name in each))
    full: list[Mapping[str, Any]] = [{name: each.get(name) for name in names} for each in rows]
    csv, parquet = folder / "families.csv", folder / "families.parquet"
    write_table(csv, full)
    with parquet.open("wb") as file:  # pyarrow itself opens no name that is not UTF-8
        write_parquet(Table.from_pylist(full), file)
    return [csv, parquet]


def _structures(folder: Path, ranked: Sequence[Ranked]) -> list[Path]:
    """The best as extended XYZ in one file and as one CIF each."""
    structures = [labeled(entry) for entry in ranked]
    paths = [folder / "best.extxyz"]
    write_structures(paths[0], structures)
    for place, atoms in enumerate(structures, 1):
        bare = atoms.copy()
        bare.info = {}
        path = folder / f"best-{place:02d}.cif"
        write_structures(path, [bare])
        path.with_stem(f"{path.stem}-01").replace(path)
        paths.append(path)
    return paths


def _figures(folder: Path, facts: Facts) -> list[Path]:
    """Best match per experiment, its calibration, and the Pareto plot, each as PNG and PDF."""
    paths = []
    for ending in KINDS:
        for channel in facts.channels:
            path = folder / f"best-{channel.name}{ending}"
            _match(path, channel, facts.ranked[0], facts)
            paths.append(path)
            if channel.name in facts.calibrations:
                path = folder / f"calibration-{channel.name}{ending}"
                asked = calibration_asked(facts.config.experiments[channel.name])
                region = asked.region if asked else None
                found = facts.calibrations[channel.name]
                draw_calibration(path, channel.observed, found, region=region)
                paths.append(path)
        if len(facts.objectives) > 1:
            path = folder / f"pareto{ending}"
            draw_pareto(path, facts.ranked, facts.objectives, title=facts.config.name)
            paths.append(path)
    return paths


def _match(path: Path, channel: Channel, entry: Ranked, facts: Facts) -> None:
    """Draw a family's image over the experiment."""
    seen = _seen(channel, entry.evaluation)
    metric = next(iter(channel.metrics))
    name = f"{channel.name}.{metric}"
    score = entry.evaluation.scores.get(name)
    words = [f"{facts.config.name}: candidate #{entry.evaluation.candidate.index}"]
    words.append(f"{metric} {entry.evaluation.objectives[name]:.4f}")
    words.append(phrase(score.detail) if score else "")
    note = footnote(channel.metrics[metric], facts.config.experiments[channel.name].credit)
    draw_placed(path, seen.placed, seen.kind, title=", ".join(filter(None, words)), note=note)


def _seen(channel: Channel, evaluation: Evaluation) -> Seen:
    return see(channel, evaluation.atoms, evaluation.parameters.get(channel.name, {}))


def _movie(folder: Path, facts: Facts) -> list[Path]:
    """The improvements of the search, one frame each, thinned to what a movie needs."""
    steps = facts.done.steps()
    thin = max(1, -(-len(steps) // MOST_FRAMES))
    wanted = {step.candidate: step for step in steps[::-1][::thin]}
    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    channel, paths = facts.channels[0], []
    with RunStore.open(facts.folder) as store:
        found = [store.evaluation(index) for index in wanted]
    for evaluation in found:
        step = wanted[evaluation.candidate.index]
        path = frames / f"{step.after:07d}.png"
        title = f"evaluation {step.after}: best sum {step.total:.3f}, {step.lineage}"
        seen = _seen(channel, evaluation)
        draw_placed(path, seen.placed, seen.kind, title=title)
        paths.append(path)
    join_movie(folder / "improvement.mp4", paths)
    return [folder / "improvement.mp4"]
