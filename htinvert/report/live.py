"""Progress of a campaign on the terminal: a bar, and one line per improvement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from htinvert.campaign import Progress
from htinvert.config import Experiment
from htinvert.core import EvaluationFailed, UserError
from htinvert.plan import Plan, make_channel
from htinvert.register import FREE, Registered, Trial, register
from htinvert.report.registration import definitions, describe, write_registration
from htinvert.report.summary import lineage
from htinvert.structures.file import from_file


class Live:
    """A progress bar that is told of every evaluation; use as a context manager."""

    def __init__(self, plan: Plan, folder: Path, console: Any) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        self._plan = plan
        self._folder = folder
        self._console = console
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(
            plan.config.name, total=self._total(), text="starting workers"
        )

    def __enter__(self) -> Self:
        workers = self._plan.config.workers
        where = f"{workers} worker processes" if workers else "this process"
        self._console.print(
            f"campaign {self._plan.config.name} in {self._folder}, {where}", highlight=False
        )
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the campaign is."""
        rate = progress.session / progress.seconds if progress.seconds > 0 else 0.0
        text = f"{progress.evaluated} evaluated, {rate:.1f}/s, {progress.failed} failed"
        text += f", {progress.refused} refused"
        if progress.best < float("inf"):
            text += f", best {progress.best:.4f}"
        stop = self._plan.config.stop
        done = progress.seconds if stop.evaluations is None else progress.evaluated
        self._bar.update(self._task, completed=done, text=text)
        if progress.improved is not None:
            self._announce(progress)

    def _announce(self, progress: Progress) -> None:
        evaluation = progress.improved
        assert evaluation is not None  # noqa: S101  (the caller has just looked)
        values = ", ".join(
            f"{o.name} {evaluation.objectives[o.name]:.4f}{' eV' if o.name == 'energy' else ''}"
            for o in self._plan.objectives
        )
        self._console.print(
            f"#{evaluation.candidate.index:04d} best {progress.best:.4f} ({values}): "
            f"{lineage(evaluation)}",
            highlight=False,
        )

    def _total(self) -> float | None:
        stop = self._plan.config.stop
        if stop.evaluations is not None:
            return float(stop.evaluations)
        return 60.0 * stop.minutes if stop.minutes is not None else None


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
    from rich.progress import Progress as Bar

    atoms = from_file(structure)
    name = structure.stem
    channel = make_channel(name, experiment, folder=folder)
    metric = next(iter(channel.metrics.values()))
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task("fitting", total=None)

        def tell(trial: Trial) -> None:
            bar.update(task, advance=1, description=f"{trial.stage} {trial.cost:.4f}")

        try:
            result = register(
                atoms,
                channel.observed,
                forward=channel.forward,
                metric=metric,
                free=channel.free or FREE,
                observer=tell,
            )
        except EvaluationFailed as failure:
            raise UserError(f"{structure} could not be registered: {failure}") from failure
        drawing = bar.add_task("drawing", total=1.0, visible=movie)
        definition = getattr(metric, "ssim", None)
        intensity = f", intensity {getattr(metric, 'intensity', 'own')}"
        credit = f"; image: {experiment.credit}" if experiment.credit else ""
        paths = write_registration(
            output,
            atoms,
            channel.observed,
            result,
            name=name,
            note=f"SSIM: {definition}{intensity}{credit}" if definition else credit,
            movie=movie,
            progress=lambda share: bar.update(drawing, completed=share),
        )
    console.print(f"{name}: {describe(result)}, {len(result.trials)} trials", highlight=False)
    console.print(_parameters(result))
    others = definitions(channel.observed, result)
    console.print(
        "in every definition (SSIM, intensity): "
        + "; ".join(f"{name} {cost:.4f}" for name, cost in others.items()),
        highlight=False,
    )
    for path in paths:
        console.print(f"written: {path}", highlight=False)
    return result


def _parameters(result: Registered) -> Any:
    """A table of the fitted parameters with their standard errors and units."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from htinvert.report.registration import UNITS

    view = Table(box=SIMPLE_HEAD)
    for column in ("parameter", "value", "standard error", "unit"):
        view.add_column(column, justify="left" if column in ("parameter", "unit") else "right")
    for key, value in result.parameters.items():
        view.add_row(key, f"{value:.5f}", f"{result.intervals[key]:.5f}", UNITS.get(key, "1"))
    return view
