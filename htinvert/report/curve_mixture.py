"""A mixture of phases fitted to one curve: shares with standard errors, what each is needed for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from htinvert.campaign.channels import make_channel
from htinvert.config.experiment import Experiment
from htinvert.core import Channel, EvaluationFailed, UserError
from htinvert.declaration.abilities import ChecksReach
from htinvert.declaration.crystal_abilities import Derives
from htinvert.declaration.declared import unit_of
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.fit import Fitted, scores_of
from htinvert.evaluation.freed import Bounds
from htinvert.evaluation.mixture import (
    BETWEEN,
    Blend,
    Ingredient,
    fit_mixture,
    mixed,
    own,
)
from htinvert.evaluation.optimize import LEAST_SQUARES
from htinvert.report.curve_fit import TRIALS, reframed, write_curve
from htinvert.report.figures import draw_placed, footnote
from htinvert.report.terminal import progress_bar
from htinvert.signals.intervals import intervals
from htinvert.signals.seen import Seen, see
from htinvert.structures.file import from_file

VALUES, SHARES = "values.", "shares."


@dataclass(frozen=True)
class Contribution:
    """A phase's share of the atoms and of the mass [1], and the cost without the phase.

    ``share_error`` is the standard error of ``atoms``.
    """

    name: str
    atoms: float
    share_error: float
    mass: float
    cost_without: float


def mix_with_progress(
    folder: Path,
    experiment: Experiment,
    *,
    base: Path,
    output: Path,
    also: Bounds,
    console: Any,
) -> dict[str, Any]:
    """Fit every structure file of a folder to a curve at once, and write what came of it.

    Returns what ``mixture.json`` holds: costs, phases, parameters with standard errors and units,
    cell lengths.

    Raises:
        UserError: where the folder, a structure or the data cannot be used or do not fit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; put the structures of the mixture into one")
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    channel = make_channel(folder.name, experiment, folder=base)
    if "method" not in experiment.model_fields_set:
        channel = replace(channel, method=LEAST_SQUARES)
    with answerable([channel], at=""), progress_bar(console) as bar:
        phases = [Ingredient(path.stem, reframed(channel, from_file(path))) for path in files]
        if isinstance(channel.forward, ChecksReach):
            for phase in phases:
                channel.forward.check_reach(phase.atoms)
        mixture, free = mixed(channel, phases, also)
        task = bar.add_task("fitting", total=None)
        try:
            result, channel = fit_mixture(
                channel, mixture, free, max_evaluations=TRIALS,
                observer=lambda trial: bar.update(
                    task, advance=1, description=f"{trial.stage} {trial.cost:.4f}"
                ),
            )  # fmt: skip
            channel = replace(channel, forward=result.forward)
            seen = see(channel, phases[0].atoms, result.parameters)
            errors = _errors(seen, channel)
            parts = _parts(seen, errors)
        except EvaluationFailed as failure:
            raise UserError(f"the mixture could not be fitted: {failure}") from failure
    found = _values(result, errors, parts)
    paths = _write(output, seen, found, experiment.credit)
    cost = next(iter(found["costs"].values()))
    console.print(
        f"{folder.name}: {next(iter(found['costs']))} {cost:.4f}, {found['trials']} trials"
    )
    console.print(f"compared: {seen.kind.words(channel.observed)}")
    for table in _tables(parts, found):
        console.print(table)
    for path in paths:
        console.print(f"written: {path}")
    return found


def _errors(seen: Seen, channel: Channel) -> dict[str, float]:
    """Standard errors of parameters and of each phase's share, by their names in the channel."""
    mixture: Blend = seen.forward
    shares = dict(mixture.shares)
    order = sorted(shares, key=lambda name: -shares[name])
    errors: dict[str, float] = {}
    for rest in order[:2]:  # the share of one is what the others leave, so that has to be another
        forward = replace(mixture, rest=rest)
        free = dict(channel.free) | {SHARES + x: (0.0, 1.0) for x in shares if x != rest}
        errors = intervals(replace(seen, forward=forward), free) | errors
    return errors


def _parts(seen: Seen, errors: Mapping[str, float]) -> list[Contribution]:
    """Each phase, the largest share first."""
    mixture: Blend = seen.forward
    shares = mixture.shares
    weights = {p.name: shares[p.name] * p.atoms.get_masses().mean() for p in mixture.phases}
    found = []
    for phase in mixture.phases:
        others = tuple(p for p in mixture.phases if p is not phase)
        less = replace(mixture, phases=others, shares={})
        try:
            scores = scores_of(seen.channel, less(phase.atoms))
            cost = next(iter(scores.values())).cost
        except EvaluationFailed:  # the others have nothing in common with the data
            cost = 1.0
        mass = float(weights[phase.name] / sum(weights.values()))
        found.append(
            Contribution(phase.name, shares[phase.name], errors[SHARES + phase.name], mass, cost)
        )
    return sorted(found, key=lambda part: -part.atoms)


def _values(
    result: Fitted, errors: Mapping[str, float], parts: list[Contribution]
) -> dict[str, Any]:
    """What was found, as plain values."""
    mixture: Any = result.forward
    named = {name.removeprefix(VALUES): value for name, value in result.parameters.items()}
    sure = {name.removeprefix(VALUES): error for name, error in errors.items()}
    derived = {}
    for phase in mixture.phases:
        if isinstance(mixture.forward, Derives):
            mine, error = own(named, phase.name), own(sure, phase.name)
            for key, (value, spread, unit) in mixture.forward.derived(
                phase.atoms, mine, error
            ).items():
                entry = {"value": value, "standard_error": spread, "unit": unit}
                derived[phase.name + BETWEEN + key] = entry
    return {
        "costs": {name: score.cost for name, score in result.scores.items()},
        "phases": [asdict(part) for part in parts],
        "parameters": {
            name: {
                "value": value,
                "standard_error": sure[name],
                "unit": unit_of(mixture.forward, name.rpartition(BETWEEN)[2]),
            }
            for name, value in named.items()
        },
        "derived": derived,
        "trials": len(result.trials),
    }


def _write(folder: Path, seen: Seen, found: Mapping[str, Any], credit: str) -> list[Path]:
    """The figure, what was found as JSON, and the curves as a table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "fit.png", folder / "mixture.json", folder / "fit.csv"]
    name, cost = next(iter(found["costs"].items()))
    shares = ", ".join(f"{part['name']} {100 * part['atoms']:.0f} %" for part in found["phases"])
    note = footnote(seen.channel.metrics[name], credit)
    draw_placed(paths[0], seen.placed, seen.kind, title=f"{shares}: {name} {cost:.4f}", note=note)
    paths[1].write_text(json.dumps(found, indent=1), encoding="utf-8")
    write_curve(paths[2], seen.placed)
    return paths


def _tables(parts: list[Contribution], found: Mapping[str, Any]) -> list[Any]:
    """The phases, and the fitted parameters."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    phases, numbers = Table(box=SIMPLE_HEAD), Table(box=SIMPLE_HEAD)
    metric = next(iter(found["costs"]))
    for column in ("phase", "% of atoms", "standard error", "% of mass", f"{metric} without it"):
        phases.add_column(column, justify="left" if column == "phase" else "right")
    for part in parts:
        shares = (part.atoms, part.share_error, part.mass)
        cells = [f"{100 * share:.1f}" for share in shares]
        phases.add_row(part.name, *cells, f"{part.cost_without:.4f}")
    for column in ("parameter", "value", "standard error", "unit"):
        numbers.add_column(column, justify="left" if column in ("parameter", "unit") else "right")
    for name, entry in {**found["parameters"], **found["derived"]}.items():
        value, error = f"{entry['value']:.5f}", f"{entry['standard_error']:.5f}"
        numbers.add_row(name, value, error, entry["unit"])
    return [phases, numbers]
