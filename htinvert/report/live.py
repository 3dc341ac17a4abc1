"""Progress of a campaign on the terminal: a bar, and one line per improvement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from htinvert.campaign.plan import Plan
from htinvert.campaign.progress import Progress
from htinvert.report.summary import lineage
from htinvert.report.terminal import progress_bar


class Live:
    """A progress bar that is told of every evaluation; use as a context manager."""

    def __init__(self, plan: Plan, folder: Path, console: Any) -> None:
        from rich.progress import TextColumn, TimeElapsedColumn

        self._plan = plan
        self._folder = folder
        self._console = console
        text = TextColumn("{task.fields[text]}", markup=False)
        self._bar = progress_bar(console, text, TimeElapsedColumn(), width=24)
        self._task = self._bar.add_task(
            plan.config.name, total=self._total(), text="starting workers"
        )

    def __enter__(self) -> Self:
        workers = self._plan.config.workers
        where = f"{workers} worker processes" if workers else "this process"
        if self._plan.config.cluster:
            where = f"{max(workers, 1)} workers on {self._plan.config.cluster}"
        self._console.print(f"campaign {self._plan.config.name} in {self._folder}, {where}")
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show how far the campaign is."""
        rate = progress.session / progress.seconds if progress.seconds > 0 else 0.0
        text = f"{progress.evaluated} evaluated, {rate:.1f}/s, {progress.failed} failed"
        text += f", {progress.duplicates} duplicates"
        for reason, count in sorted(progress.refused.items()):
            text += f", {count} {reason.replace('_', ' ')}"
        if progress.best < float("inf"):
            text += f", best {progress.best:.4f}"
        stop = self._plan.config.stop
        done = progress.core_seconds if stop.core_seconds is not None else progress.seconds
        if stop.evaluations is not None:
            done = progress.evaluated
        self._bar.update(self._task, completed=done, text=text)
        if progress.news:
            self._console.print(progress.news)
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
            f"{lineage(evaluation)}"
        )

    def _total(self) -> float | None:
        stop = self._plan.config.stop
        if stop.evaluations is not None:
            return float(stop.evaluations)
        if stop.core_seconds is not None:
            return stop.core_seconds
        return 60.0 * stop.minutes if stop.minutes is not None else None
