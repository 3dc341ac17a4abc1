"""Progress of a campaign on the terminal: a bar, and one line per improvement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from htinvert.campaign.plan import Plan
from htinvert.campaign.progress import Progress
from htinvert.declaration.wording import shortened
from htinvert.report.summary import lineage
from htinvert.report.terminal import progress_bar

LONGEST = 12  # letters of a campaign's name beside the bar


class Live:
    """A progress bar that is told of every evaluation; use as a context manager."""

    def __init__(self, plan: Plan, folder: Path, console: Any) -> None:
        from rich.progress import TextColumn, TimeElapsedColumn
        from rich.table import Column

        self._plan = plan
        self._folder = folder
        self._console = console
        one_line = Column(no_wrap=True, overflow="ellipsis", ratio=1)
        text = TextColumn("{task.fields[text]}", markup=False, table_column=one_line)
        self._bar = progress_bar(console, text, TimeElapsedColumn(), width=12)
        self._bar.expand = True
        self._task = self._bar.add_task(
            shortened(plan.config.name, LONGEST), total=self._total(), text="starting workers"
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
        text = f"{progress.evaluated} done, {rate:.1f}/s"
        if progress.best < float("inf"):
            text += f", best {progress.best:.4f}"
        stop = self._plan.config.stop
        done = progress.core_seconds if stop.core_seconds is not None else progress.seconds
        if stop.evaluations is not None:
            done = progress.evaluated
        text += self._left(progress)
        counts = {"failed": progress.failed, "duplicates": progress.duplicates}
        counts |= {r.replace("_", " "): n for r, n in sorted(progress.refused.items())}
        besides = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        self._bar.update(self._task, completed=done, text=f"{text}\n{besides}".rstrip())
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
            f"{lineage(evaluation)}",
            soft_wrap=True,
        )

    def _left(self, progress: Progress) -> str:
        """How long it will take to the evaluations or the minutes at which it stops."""
        stop, ends = self._plan.config.stop, []
        if stop.evaluations is not None and progress.session and progress.seconds > 0:
            missing = max(stop.evaluations - progress.evaluated, 0)
            ends.append(missing * progress.seconds / progress.session)
        if stop.minutes is not None:
            ends.append(max(60.0 * stop.minutes - progress.seconds, 0.0))
        if not ends:
            return ""
        seconds = min(ends)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"

    def _total(self) -> float | None:
        stop = self._plan.config.stop
        if stop.evaluations is not None:
            return float(stop.evaluations)
        if stop.core_seconds is not None:
            return stop.core_seconds
        return 60.0 * stop.minutes if stop.minutes is not None else None
