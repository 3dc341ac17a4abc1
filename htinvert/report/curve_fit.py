"""What a fit of a curve leaves behind: picture, parameters with standard errors, the curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ase import Atoms

from htinvert.campaign.channels import make_channel
from htinvert.config.experiment import Experiment
from htinvert.core import Channel, EvaluationFailed, UserError
from htinvert.declaration.abilities import ChecksReach, HasFindings
from htinvert.declaration.crystal_abilities import Derives, Reframes
from htinvert.declaration.declared import unit_of
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.certainty import Certainty, notes
from htinvert.evaluation.fit import Fitted, fit
from htinvert.evaluation.freed import freed
from htinvert.evaluation.optimize import LEAST_SQUARES
from htinvert.evaluation.placed import Placed
from htinvert.matching.doubt import poorly_fitted
from htinvert.report.figures import draw_placed, footnote
from htinvert.report.terminal import progress_bar
from htinvert.signals.intervals import intervals
from htinvert.signals.kind import DEFAULT
from htinvert.signals.seen import Seen, see
from htinvert.structures.file import from_file
from htinvert.structures.write import write_table

Derived = Mapping[str, tuple[float, float | None, str]]
TRIALS = 1200  # signals that are simulated at most


def fit_with_progress(
    structure: Path,
    experiment: Experiment,
    *,
    folder: Path,
    output: Path,
    also: Mapping[str, tuple[float, float]],
    console: Any,
) -> Fitted:
    """Fit the free parameters of an experiment to a structure file, and write what came of it.

    ``also`` are free parameters besides those of the experiment, or of the forward model where it
    names none. Raises :class:`UserError` where structure or data cannot be used or do not fit.
    """
    atoms, name = from_file(structure), structure.stem
    if experiment.kind == DEFAULT:
        raise UserError("the experiment is an image; use htinvert register STRUCTURE IMAGE")
    channel = make_channel(name, experiment, folder=folder)
    with answerable([channel], at=""), progress_bar(console) as bar:
        atoms = reframed(channel, atoms)
        channel = fittable(channel, experiment, atoms, also)
        if isinstance(channel.forward, ChecksReach):
            channel.forward.check_reach(atoms)
        task = bar.add_task("fitting", total=None)
        try:
            result = fit(
                channel,
                atoms,
                max_evaluations=TRIALS,
                observer=lambda trial: bar.update(
                    task, advance=1, description=f"{trial.stage} {trial.cost:.4f}"
                ),
            )
            seen = see(channel, atoms, result.parameters)
            errors = intervals(seen, channel.free)
        except EvaluationFailed as failure:
            raise UserError(f"{name} could not be fitted: {failure}") from failure
        derived = _derived(channel, atoms, result, errors)
        paths = _write(output, seen, result, errors, derived, experiment.credit)
    metric, score = next(iter(result.scores.items()))
    console.print(f"{name}: {metric} {score.cost:.4f}, {len(result.trials)} trials")
    console.print(f"compared: {seen.kind.words(channel.observed)}")
    console.print(_table(result, errors, derived, channel))
    for note in filter(None, [poorly_fitted(seen.placed), *_notes(channel, result, errors)]):
        console.print(f"warning: {note}", soft_wrap=True)
    if isinstance(channel.forward, HasFindings):
        lines, texts = channel.forward.findings(atoms)
        for line in lines:
            console.print(line)
        for file, text in texts.items():
            paths.append(output / file)
            paths[-1].write_text(text, encoding="utf-8")
    for path in paths:
        console.print(f"written: {path}")
    return result


def reframed(channel: Channel, atoms: Atoms) -> Atoms:
    """The structure in the cell in which the forward model of ``channel`` fits it best."""
    return channel.forward.reframed(atoms) if isinstance(channel.forward, Reframes) else atoms


def _derived(
    channel: Channel, atoms: Atoms, result: Fitted, errors: Mapping[str, float]
) -> Derived:
    """What follows from fitted parameters: value, standard error, unit."""
    if not isinstance(channel.forward, Derives):
        return {}
    return channel.forward.derived(atoms, result.parameters, errors)


def fittable(
    channel: Channel,
    experiment: Experiment,
    atoms: Atoms,
    also: Mapping[str, tuple[float, float]],
) -> Channel:
    """A channel with all that is to be fitted of ``atoms``, by least squares if nobody says how."""
    channel = replace(channel, free=_free_of(channel, atoms, also))
    if "method" in experiment.model_fields_set:
        return channel
    return replace(channel, method=LEAST_SQUARES)


def _free_of(
    channel: Channel, atoms: Atoms, also: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Bounds of the experiment's free parameters, or the usual ones, and those asked for."""
    free = freed(channel, atoms, also)
    for name, (low, high) in free.items():
        if not hasattr(channel.forward, name.partition(".")[0]):
            raise UserError(f"{channel.name} has no parameter {name}; take it out of free")
        if not low < high:
            raise UserError(f"free {name} needs a lower bound below the upper")
    return free


def _write(
    folder: Path,
    seen: Seen,
    result: Fitted,
    errors: Mapping[str, float],
    derived: Derived,
    credit: str,
) -> list[Path]:
    """The figure, the parameters as JSON, and observed, simulated and difference as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "fit.png", folder / "parameters.json", folder / "fit.csv"]
    channel, placed = seen.channel, seen.placed
    name, score = next(iter(result.scores.items()))
    metric = channel.metrics[name]
    title = f"{channel.name}: {name} {score.cost:.4f}"
    draw_placed(paths[0], placed, seen.kind, title=title, note=footnote(metric, credit))
    sure = _certainties(channel, result, errors)
    table = {
        "costs": {key: value.cost for key, value in result.scores.items()},
        "detail": dict(score.detail),
        "parameters": {
            key: {
                "value": value,
                "standard_error": errors.get(key),
                "unit": unit_of(channel.forward, key),
                "at_bound": sure[key].bound is not None,
                "determined": sure[key].determined,
            }
            for key, value in result.parameters.items()
        },
        "derived": {
            key: {"value": value, "standard_error": error, "unit": unit}
            for key, (value, error, unit) in derived.items()
        },
        "notes": _notes(channel, result, errors),
        "trials": len(result.trials),
        "forward": str(result.forward),
    }
    paths[1].write_text(json.dumps(table, indent=1), encoding="utf-8")
    write_curve(paths[2], placed)
    return paths


def write_curve(path: Path, placed: Placed) -> None:
    """Observed, simulated and difference as a table."""
    x = placed.simulated.coordinates()
    columns = zip(x, placed.patch, placed.matched, placed.residual, strict=True)
    axis = placed.simulated.axes[0].name
    heads = (axis, "observed", "simulated", "difference")
    rows: list[Mapping[str, Any]] = [
        dict(zip(heads, map(float, row), strict=True)) for row in columns
    ]
    write_table(path, rows)


def _certainties(
    channel: Channel, result: Fitted, errors: Mapping[str, float]
) -> dict[str, Certainty]:
    """How sure each fitted parameter is."""
    return {
        name: Certainty(value, errors.get(name, 0.0), channel.free[name])
        for name, value in result.parameters.items()
    }


def _notes(channel: Channel, result: Fitted, errors: Mapping[str, float]) -> list[str]:
    """Sentences on parameters whose values mean nothing."""
    return notes(_certainties(channel, result, errors), partial(unit_of, channel.forward))


def _table(result: Fitted, errors: Mapping[str, float], derived: Derived, channel: Channel) -> Any:
    """The fitted parameters, and what was solved for, with standard errors and units."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    view = Table(box=SIMPLE_HEAD)
    for column in ("parameter", "value", "standard error", "unit"):
        view.add_column(column, justify="left" if column in ("parameter", "unit") else "right")
    sure = _certainties(channel, result, errors)
    for key, value in result.parameters.items():
        view.add_row(key, f"{value:.5f}", sure[key].word, unit_of(channel.forward, key))
    for key, (value, error, unit) in derived.items():
        view.add_row(key, f"{value:.5f}", "" if error is None else f"{error:.5f}", unit)
    for key, value in next(iter(result.scores.values())).detail.items():
        view.add_row(key, f"{value:.5f}", "solved for", "1" if key == "scale" else "")
    return view
