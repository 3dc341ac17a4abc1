"""What a registration leaves behind: picture, parameters, log of trials, frames and a movie."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from htinvert.campaign.channels import make_described, read_experiment
from htinvert.campaign.place import at_its_place, is_auto, located
from htinvert.config.experiment import Experiment
from htinvert.core import Channel, EvaluationFailed, Signal, UserError
from htinvert.declaration.abilities import HasSpecimen
from htinvert.declaration.declared import unit_of
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.certainty import notes as notes_on
from htinvert.evaluation.fit import Trial, with_steps
from htinvert.image.place import place_image
from htinvert.image.register import Registered, free_of, register
from htinvert.matching.doubt import judge
from htinvert.metrics.patch import window
from htinvert.metrics.registration import Registration
from htinvert.metrics.ssim import SSIM_DEFINITIONS
from htinvert.report.figures import draw_placed, footnote, phrase
from htinvert.report.terminal import progress_bar, spinner
from htinvert.signals.image import Image, require_image
from htinvert.structures.file import from_file
from htinvert.structures.write import write_structure, write_table

MOST_FRAMES = 40
FRAMES_PER_SECOND = 5


def _ignore(share: float) -> None:
    """Observe nothing."""


def write_registration(
    folder: Path,
    atoms: Atoms,
    observed: Signal,
    result: Registered,
    *,
    name: str,
    note: str = "",
    movie: bool = True,
    progress: Callable[[float], None] = _ignore,
) -> list[Path]:
    """Write everything about a registration to ``folder``; returns the paths.

    ``match.png``, ``parameters.json`` (values, standard errors, units, score), ``trials.csv``
    (every image simulated on the way), ``structure.xyz`` (with its grains where the fit has put
    them) and, with ``movie``, the improvements as ``frames/*.png``
    and ``movie.mp4``. ``progress`` is told the share of frames that are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    placed = place_image(result.simulated, observed, {"row": result.row, "column": result.column})
    paths = [folder / "match.png", folder / "parameters.json", folder / "trials.csv"]
    draw_placed(paths[0], placed, Image(), title=f"{name}: {score_phrase(result)}", note=note)
    paths[1].write_text(json.dumps(record(observed, result), indent=1), encoding="utf-8")
    write_table(paths[2], [_row(number, trial) for number, trial in enumerate(result.trials, 1)])
    if isinstance(result.forward, HasSpecimen):
        paths.append(folder / "structure.xyz")
        write_structure(paths[-1], result.forward.specimen(atoms))
    if movie:
        paths.append(_movie(folder, atoms, observed, result, name=name, progress=progress))
    return paths


def score_phrase(result: Registered) -> str:
    """Score in one phrase."""
    parts = (f"figure of merit {result.score.cost:.4f}", phrase(result.score.detail))
    return ", ".join(filter(None, parts))


def record(observed: Signal, result: Registered) -> dict[str, Any]:
    """A registration as plain values."""
    return {
        "figure_of_merit": result.score.cost,
        "in_all_definitions": definitions(observed, result),
        "detail": dict(result.score.detail),
        "row": result.row,
        "column": result.column,
        "shape": list(result.simulated.data.shape),
        "parameters": {
            key: {
                "value": value,
                "standard_error": result.intervals[key],
                "unit": unit_of(result.forward, key),
                "at_bound": result.certainties[key].bound is not None,
                "determined": result.certainties[key].determined,
                "from_to": list(result.certainties[key].reach),
                "takes_up": result.certainties[key].takes_up,
            }
            for key, value in result.parameters.items()
        },
        "notes": notes(result),
        "trials": len(result.trials),
        "forward": str(result.forward),
    }


def notes(result: Registered) -> list[str]:
    """Sentences on fitted parameters whose values mean nothing."""
    return notes_on(result.certainties, partial(unit_of, result.forward))


def remarks(result: Registered) -> list[str]:
    """A sentence for each fitted parameter that holds more than its name says."""
    found = [certainty.remark(key) for key, certainty in result.certainties.items()]
    return [remark for remark in found if remark]


def definitions(observed: Signal, result: Registered) -> dict[str, float]:
    """Figure of merit of the same images in every definition, so that none is mistaken.

    Both definitions of SSIM, with each image scaled by its own extremes (as the peers do) and with
    the simulation brought to the region by gain and offset.
    """
    shape = result.simulated.data.shape
    patch = observed.data[window((result.row, result.column), shape)]
    region = Signal(patch, result.simulated.axes)
    return {
        f"{name}, {intensity}": Registration(ssim=name, intensity=intensity)(
            result.simulated, region
        ).cost
        for name, definition in SSIM_DEFINITIONS.items()
        for intensity in ("own", "matched")
        if min(shape) >= definition.window
    }


def improvements(trials: tuple[Trial, ...]) -> list[tuple[int, Trial]]:
    """Trials that were the best so far, with their numbers; thinned to what a movie needs."""
    best, found = float("inf"), []
    for number, trial in enumerate(trials, 1):
        if trial.cost < best:
            best = trial.cost
            found.append((number, trial))
    step = max(1, -(-len(found) // MOST_FRAMES))
    return found[::-1][::step][::-1]


def register_with_progress(
    structure: Path,
    experiment: Experiment,
    *,
    folder: Path,
    output: Path,
    movie: bool,
    console: Any,
) -> Registered:
    """Register a structure file in an experiment, say how it goes, and write what came of it.

    Raises :class:`UserError` where the structure or the image cannot be used or does not fit.
    """
    atoms, name = from_file(structure), structure.stem
    require_image(experiment)
    known = None
    if is_auto(experiment):
        image, said = read_experiment(experiment, folder=folder)
        with spinner(console, "looking for the structure") as status:
            place = located(experiment, atoms, folder=folder, image=image, progress=status.update)
        known = place.upright.image, said
        console.print(place.sentence, soft_wrap=True)
        experiment = at_its_place(experiment, place)
    channel, said = make_described(name, experiment, folder=folder, known=known)
    console.print(said, soft_wrap=True)
    with answerable([channel], at=""), progress_bar(console) as bar:
        result = registered_now(atoms, channel, bar)
        drawing = bar.add_task("drawing", total=1.0, visible=movie)
        paths = write_registration(
            output,
            atoms,
            channel.observed,
            result,
            name=name,
            note=footnote(next(iter(channel.metrics.values())), experiment.credit),
            movie=movie,
            progress=lambda share: bar.update(drawing, completed=share),
        )
    console.print(f"{name}: {score_phrase(result)}, {len(result.trials)} trials")
    console.print(_table(result))
    for line in (*(f"warning: {note}" for note in notes(result)), *remarks(result)):
        console.print(line, soft_wrap=True)
    costs = definitions(channel.observed, result).items()
    listed = "; ".join(f"{definition} {cost:.4f}" for definition, cost in costs)
    console.print(f"in every definition (SSIM, intensity): {listed}")
    for path in paths:
        console.print(f"written: {path}")
    observed = with_steps(channel.observed, result.simulated.sampling)
    fitted = replace(channel, observed=observed, forward=result.forward)
    if doubt := judge(fitted, atoms, result.score.detail).doubt:
        console.print(f"warning: {doubt}", soft_wrap=True)
    return result


def registered_now(atoms: Atoms, channel: Channel, bar: Any) -> Registered:
    """Register with a progress bar; a failure is the user's to know about."""
    task = bar.add_task("fitting", total=None)

    def tell(trial: Trial) -> None:
        bar.update(task, advance=1, description=f"{trial.stage} {trial.cost:.4f}")

    try:
        return register(
            atoms,
            channel.observed,
            forward=channel.forward,
            metric=next(iter(channel.metrics.values())),
            free=channel.free or free_of(channel.forward),
            method=channel.method,
            observer=tell,
        )
    except EvaluationFailed as failure:
        raise UserError(f"{channel.name} could not be registered: {failure}") from failure


def _table(result: Registered) -> Any:
    """The fitted parameters with their standard errors and units."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(box=SIMPLE_HEAD)
    for column in ("parameter", "value", "standard error", "unit"):
        view.add_column(column, justify="left" if column in ("parameter", "unit") else "right")
    for key, value in result.parameters.items():
        view.add_row(
            key, f"{value:.5f}", result.certainties[key].word, unit_of(result.forward, key)
        )
    return view


def _row(number: int, trial: Trial) -> dict[str, Any]:
    place = {"row": trial.site[0], "column": trial.site[1]}
    return {"trial": number, "stage": trial.stage, "cost": trial.cost, **place, **trial.parameters}


def _movie(
    folder: Path,
    atoms: Atoms,
    observed: Signal,
    result: Registered,
    *,
    name: str,
    progress: Callable[[float], None],
) -> Path:
    """Draw the improvements and join them to a movie of five frames a second."""
    from imageio.v3 import imread

    frames = folder / "frames"
    frames.mkdir(exist_ok=True)
    for old in frames.glob("*.png"):
        old.unlink()
    shown = improvements(result.trials)
    pictures = []
    for done, (number, trial) in enumerate(shown, 1):
        simulated = replace(result.forward, **trial.parameters)(atoms)
        path = frames / f"{number:05d}.png"
        title = f"{name}: trial {number}, {trial.stage}, figure of merit {trial.cost:.4f}"
        site = {"row": trial.site[0], "column": trial.site[1]}
        draw_placed(path, place_image(simulated, observed, site), Image(), title=title)
        pictures.append(imread(path)[..., :3])
        progress(done / len(shown))
    movie = folder / "movie.mp4"
    _write_movie(movie, pictures)
    return movie


def join_movie(movie: Path, frames: Sequence[Path]) -> None:
    """Join pictures, in this order, to a movie of five frames a second."""
    from imageio.v3 import imread

    _write_movie(movie, [imread(path)[..., :3] for path in frames])


def _write_movie(movie: Path, pictures: Sequence[Any]) -> None:
    """Write what all pictures have in common, their top left, as H.264."""
    from imageio.v3 import imwrite

    height, width = (min(p.shape[i] for p in pictures) // 16 * 16 for i in (0, 1))
    imwrite(
        movie,
        [picture[:height, :width] for picture in pictures],
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        plugin="FFMPEG",
    )
