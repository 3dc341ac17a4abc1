"""What a campaign is about to do: what was read, a first picture, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from htinvert.campaign.plan import Plan, evaluate_start, fit_to_start, has_start
from htinvert.campaign.references import strays
from htinvert.campaign.room import TRIALS, crowded, none_came
from htinvert.campaign.start import left_out
from htinvert.campaign.weights import weighted, worths
from htinvert.cluster.connect import job_script, listening
from htinvert.cluster.needs import (
    LOCAL,
    require_memory,
    require_memory_here,
)
from htinvert.cluster.site import load_site
from htinvert.core import (
    Candidate,
    Channel,
    Evaluation,
    EvaluationFailed,
    UserError,
)
from htinvert.declaration.abilities import HasEstimate, Wraps
from htinvert.declaration.declared import unit_of
from htinvert.energy.offer import offer_of
from htinvert.evaluation.blame import answerable
from htinvert.evaluation.certainty import Certainty, notes
from htinvert.evaluation.evaluate import evaluate
from htinvert.matching.doubt import judge, poorly_fitted
from htinvert.metrics.likelihood import is_likely
from htinvert.ranking.confidence import declared_accuracy
from htinvert.ranking.positions import misplaced
from htinvert.ranking.rank import fit_alone, raw_energies
from htinvert.report.calibration import draw_calibration
from htinvert.report.plan_table import plan_table
from htinvert.report.save import drawn
from htinvert.report.summary import draw_channel
from htinvert.report.terminal import working
from htinvert.signals.image import calibration_asked
from htinvert.signals.intervals import intervals
from htinvert.signals.seen import see

DFT_SECONDS = 3.0  # of a force call of ten atoms on one core; GPAW, CdTe, 300 eV, few k-points
DFT_EXPONENT = 2.5  # between the square of small cells and the cube of large ones
TOO_LONG = 14 * 86400.0  # s that a search may take before it is called one for a potential
DFT_CALLS = 30  # of a relaxation, where fewer are not asked for


def preview(plan: Plan, picture: Path, *, console: Any) -> dict[str, Any]:
    """Print what was read, draw a first candidate beside the image, estimate the cost.

    Where the plan has a cluster, the script of a job comes first. Returns the objectives of the
    ``start`` structure and the ``seconds_per_candidate``, None where they are not known.

    Raises :class:`UserError` where neither the start structure nor a first candidate can be
    evaluated, and where the cluster's profile does not work.
    """
    _show_jobs(plan, console)
    with answerable(plan.recipe.channels):
        return _preview(plan, picture, console)


def _preview(plan: Plan, picture: Path, console: Any) -> dict[str, Any]:
    console.print(plan_table(plan))
    for line in measured_lines(plan):
        console.print(line)
    for warning in filter(None, (fit_alone(plan.objectives), _raw(plan))):
        console.print(f"warning: {warning}")
    for path in draw_measured(plan, picture.parent, stem=f"{picture.stem}-"):
        console.print(f"drawn: {path}")
    with working(console, f"fitting the start structure{_each(plan)}"):
        parameters = fit_to_start(plan)
    for channel in plan.recipe.channels:
        if channel.name in parameters:
            console.print(fitted_line(plan, channel, parameters[channel.name]))
    plan = plan.calibrated(parameters)
    with working(console, "looking for the start structure in the data"):
        unjudged = _judged(plan, picture, console)
    with working(console, "pricing the phases of the chemical potentials"):
        plan = plan.priced()
    console.print(_potentials(plan), end="")
    with working(console, "weighing costs by the noise"):
        worthy = _worths(plan)
    console.print(worthy, end="")
    offer = offer_of(plan.recipe.energy)
    if offer is not None and offer.cost == "dft":
        if has_start(plan):
            start = Evaluation(Candidate(-1, plan.space.template, "start"))
            _draw(plan, picture, start, console)
        console.print(_dft_cost(plan))
        return {"start": None, "seconds_per_candidate": None}
    return _evaluate(plan, unjudged, picture, console)


def _evaluate(plan: Plan, unjudged: list[Channel], picture: Path, console: Any) -> dict[str, Any]:
    """Evaluate the start structure and a few candidates, draw the first, say what they cost."""
    with working(console, f"relaxing and simulating the start structure{_each(plan)}"):
        start = evaluate_start(plan)
    if start.ok:
        values = ", ".join(f"{name} {value:.4f}" for name, value in start.objectives.items())
        out = left_out(plan.space, plan.config)
        rest = f"; it is no candidate, because {out}" if out else "; it is candidate #0"
        console.print(f"start structure, relaxed: {values}{rest}")
        for channel in unjudged:
            scores = [start.scores[f"{channel.name}.{metric}"] for metric in channel.metrics]
            detail = {name: value for score in scores for name, value in score.detail.items()}
            if doubt := judge(channel, plan.space.template, detail).doubt:
                console.print(f"warning: {channel.name}: {doubt}")
    with working(console, f"evaluating {TRIALS} candidates{_each(plan)}"):
        trials = _trials(plan)
    if len(trials) < TRIALS and (reason := crowded(plan)):
        if not trials:
            raise UserError(none_came(reason))
        console.print(
            f"{TRIALS - len(trials)} of the first {TRIALS} proposals came to nothing: {reason}"
        )
    good = [trial for trial in trials if trial.ok]
    first = good[0] if good else start
    if not first.ok:
        raise UserError(f"no candidate could be evaluated: {first.error}; check energy and region")
    _draw(plan, picture, first, console)
    console.print(_cost(plan, trials or [start]))
    seconds = sum(trial.seconds for trial in trials or [start]) / len(trials or [start])
    return {
        "start": dict(start.objectives) if start.ok else None,
        "seconds_per_candidate": seconds,
    }


def _each(plan: Plan) -> str:
    """How long a simulation takes, where that is said beforehand; for what is being done."""
    if not has_start(plan):
        return ""
    models = [channel.forward for channel in plan.recipe.channels]
    seconds = sum(
        m.estimate(plan.space.template).seconds for m in models if isinstance(m, HasEstimate)
    )
    return f", {_duration(seconds)} per simulation" if seconds >= 1.0 else ""


def _judged(plan: Plan, picture: Path, console: Any) -> list[Channel]:
    """The channels whose fit of the start structure waits for a score to be judged by.

    Draws the start structure and raises :class:`UserError` where an image does not show it.
    """
    waiting = []
    for channel in plan.recipe.channels if has_start(plan) else ():
        try:
            judgment = judge(channel, plan.space.template)
        except UserError as error:
            _draw(plan, picture, Evaluation(Candidate(-1, plan.space.template, "start")), console)
            raise UserError(f"experiments.{channel.name}: {error}") from error
        if judgment.doubt:
            console.print(f"warning: {channel.name}: {judgment.doubt}")
        waiting += [] if judgment.by else [channel]
    return waiting


def _potentials(plan: Plan) -> str:
    """What phases make of the chemical potentials, or that given ones lie outside."""
    if plan.references is not None:
        return f"{plan.references}\n{plan.references.chosen}\n"
    given, offer = plan.config.given_potentials, offer_of(plan.recipe.energy)
    if not given or (offer is not None and offer.cost == "dft"):
        return ""
    energy = plan.config.components()["energy"].build(plan.folder)
    wrong = strays(given, energy, plan.space, plan.folder)
    return f"warning: {wrong}\n" if wrong else ""


def _worths(plan: Plan) -> str:
    """What 0.01 of each cost is worth, and why; one line each."""
    if is_likely(plan.objectives):
        return "".join(f"{sentence}\n" for sentence in (*plan.said.values(), *_misplaced(plan)))
    found = worths(plan) if plan.recipe.channels else {}
    derived = {name: worth.weight for name, worth in found.items()}
    weights = {o.name: o.weight for o in weighted(plan, derived).objectives}
    unit = "eV" if weights.get("energy") == 1.0 else "of the sum"
    given = plan.config.objectives is not None
    lines = []
    for name, worth in found.items():
        if name in weights:
            other = f", as given; derived it would be {0.01 * worth.weight:.3g}" if given else ""
            worthy = f"0.01 of {name} is worth {0.01 * weights[name]:.3g} {unit}{other}"
            lines.append(f"{worthy}: {worth.why}\n")
    return "".join(lines)


def _misplaced(plan: Plan) -> list[str]:
    """What the engine's error of positions makes of each likelihood's floor, at the start."""
    engine, found = declared_accuracy(plan.config.energy), []
    channels = {channel.name: channel for channel in plan.recipe.channels}
    for objective in plan.objectives if has_start(plan) else ():
        if objective.likelihood is None:
            continue
        try:
            seen = see(channels[objective.name.partition(".")[0]], plan.space.template, {})
        except EvaluationFailed:
            continue
        error = misplaced(objective, seen, engine.position, samples=1)
        found.append(f"{objective.name}, in claimed sets, {error} ({engine.name}, at the start)")
    return found


def _raw(plan: Plan) -> str:
    """A warning where compositions are to vary and chemical potentials are missing."""
    if plan.config.phases is not None:
        return ""
    ends = [{s: pair[end] for s, pair in plan.space.composition.items()} for end in (0, 1)]
    return raw_energies(plan.objectives, ends, plan.config.given_potentials)


def _show_jobs(plan: Plan, console: Any) -> None:
    """Print what is asked of a batch system, where one is to run the workers."""
    config = plan.config
    if config.cluster in (None, LOCAL):
        require_memory_here(config, plan.recipe, plan.space.template)
        return
    site = load_site(config.cluster, plan.folder)
    require_memory(config, plan.recipe, plan.space.template, site)
    script = job_script(config.cluster, plan.folder, Path("runs") / config.name)
    asked = f"{site.name}: {site.in_words(config.workers)}. Each job is\n\n{script}"
    console.print(asked, soft_wrap=True)
    try:
        listening(site)
    except UserError as error:  # a campaign may be checked on another machine than it is run on
        console.print(f"warning: from this machine it cannot be run: {error}", soft_wrap=True)


def _draw(plan: Plan, picture: Path, evaluation: Evaluation, console: Any) -> None:
    """Draw a structure's images over the experiments, one file each."""
    for channel in plan.recipe.channels:
        path = (
            picture
            if len(plan.recipe.channels) == 1
            else picture.with_stem(f"{picture.stem}-{channel.name}")
        )
        draw = partial(draw_channel, channel=channel, evaluation=evaluation, plan=plan)
        console.print(drawn(path, draw))


def measured_lines(plan: Plan) -> list[str]:
    """What the calibrations that were asked for have found, and what no start structure allows."""
    lines = [f"{name}: {seen.sentence}; {seen.evidence}" for name, seen in plan.measured.items()]
    if not has_start(plan):
        lines.append(
            "the start structure has no atoms: nothing is fitted, simulated or priced before the "
            "first candidate"
        )
    return lines


def draw_measured(plan: Plan, folder: Path, *, stem: str = "") -> list[Path]:
    """Draw the lattice that each calibration was made with; returns the pictures' paths."""
    paths = []
    for channel in plan.recipe.channels:
        if channel.name in plan.measured:
            path = folder / f"{stem}calibration-{channel.name}.png"
            asked = calibration_asked(plan.config.experiments[channel.name])
            region = asked.region if asked else None
            draw_calibration(path, channel.observed, plan.measured[channel.name], region=region)
            paths.append(path)
    return paths


def fitted_line(plan: Plan, channel: Channel, parameters: Mapping[str, float]) -> str:
    """What was fitted to the start structure, with standard errors."""
    errors: Mapping[str, float] = {}
    doubt = ""
    with suppress(EvaluationFailed, ValueError):
        seen = see(channel, plan.space.template, parameters)
        doubt = poorly_fitted(seen.placed)
        errors = intervals(seen, channel.free)
    sure = {
        name: Certainty(value, errors.get(name, 0.0), channel.free[name])
        for name, value in parameters.items()
    }
    values = ", ".join(
        f"{name} {value:.4g}" + (f" ± {errors[name]:.1g}" if name in errors else "")
        for name, value in parameters.items()
    )
    refitted = ", ".join(plan.config.experiments[channel.name].refitted)
    tail = f"; each candidate fits {refitted} again" if refitted else ""
    found = filter(None, [doubt, *notes(sure, partial(unit_of, channel.forward))])
    told = "".join(f"; {note}" for note in found)
    return f"{channel.name}: fitted to the start structure: {values}{tail}{told}"


def _trials(plan: Plan) -> list[Evaluation]:
    """Evaluate the first candidates that the campaign itself would propose."""
    candidates = plan.generator().ask(range(1, TRIALS + 1))
    return [evaluate(candidate, plan.recipe) for candidate in candidates]


def _dft_cost(plan: Plan) -> str:
    """An order of magnitude, for a trial would take as long as a candidate."""
    engine: Any = plan.recipe.energy
    while isinstance(engine, Wraps):
        engine = engine.engine
    calls = min(getattr(engine, "steps", DFT_CALLS), DFT_CALLS) + 1
    most = sum(most for _, most in plan.space.composition.values())
    atoms = len(plan.space.template) or most
    seconds = calls * DFT_SECONDS * (atoms / 10.0) ** DFT_EXPONENT
    text = f"cost: DFT takes some {_duration(seconds)} per candidate of this size on one core"
    planned = plan.config.stop.evaluations
    if planned is not None:
        total = planned * seconds / max(plan.config.workers, 1)
        text += f"; {planned} evaluations take some {_duration(total)}"
        if total > TOO_LONG:
            text += "; search with a potential first, and price its best so: configs/funnel"
    return text + " (an order of magnitude; no trial was made)"


def _cost(plan: Plan, trials: list[Evaluation]) -> str:
    seconds = sum(trial.seconds for trial in trials) / len(trials)
    workers = max(plan.config.workers, 1)
    rate = workers / seconds
    shown = f"{rate:.0f}" if rate > 10 else f"{rate:.2g}"
    text = f"cost: {seconds:.2g} s per candidate, {shown}/s on {workers} workers"
    planned = plan.config.stop.evaluations
    if planned is not None:
        text += f"; {planned} evaluations take about {_duration(planned * seconds / workers)}"
    if plan.config.stop.minutes is not None:
        text += f"; stops after {plan.config.stop.minutes:g} min at the latest"
    failed = [trial.error for trial in trials if trial.error]
    return text + (
        f"; {len(failed)} of {len(trials)} trials failed ({failed[0]})" if failed else ""
    )


def _duration(seconds: float) -> str:
    for size, unit in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
