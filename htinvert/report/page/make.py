"""Make a report: read the run, write the page and what lies beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from htinvert.core import UserError
from htinvert.ranking.confidence import declared_accuracy, stated
from htinvert.report.page.facts import read_run
from htinvert.report.page.files import write_files
from htinvert.report.page.page import build, write_page
from htinvert.report.page.surety import verdict
from htinvert.report.page.tables import default_scan, scan_table, stage_table
from htinvert.report.save import drop_links
from htinvert.report.terminal import progress_bar


def make(
    folder: Path,
    target: Path,
    *,
    console: Any,
    data: Path | None = None,
    scan: str | None = None,
    ties: Sequence[str] = (),
    error: tuple[float | None, float | None] = (None, None),
    movie: bool = False,
) -> str:
    """Write the page ``target`` and the folder of files beside it; returns the verdict.

    ``data`` is the folder that the campaign's paths are relative to; ``error`` the engine's, in
    energy [eV/atom] and position [Å], None for the convention of its class.

    Raises :class:`~htinvert.core.UserError` where there is no run, nothing in it to report, or the
    page cannot be written.
    """
    if target.suffix not in (".html", ".htm"):
        raise UserError(f"{target} is no name of a page; let it end in .html")
    beside = target.with_name(f"{target.stem}-files")
    drop_links(beside)
    with progress_bar(console) as bar:
        task = bar.add_task("reading the run", total=None)

        def say(what: str) -> None:
            bar.update(task, description=what)

        facts = read_run(folder, data=data)
        for line in facts.changed.values():
            bar.console.print(f"warning: {line}", soft_wrap=True)
        engine = stated(declared_accuracy(facts.config.energy), energy=error[0], position=error[1])
        try:
            paths = write_files(beside, facts, movie=movie, progress=say)
            extra = {
                "stages": stage_table(facts, beside),
                "scan": scan_table(facts, scan, ties, beside)
                if scan
                else default_scan(facts, beside),
                "files": [{"name": p.name, "href": f"{beside.name}/{p.name}"} for p in paths],
            }
            say("comparing the best")
            text, surety = build(facts, engine, extra)
            write_page(target, text)
        except OSError as problem:
            raise UserError(
                f"{target} cannot be written ({problem.strerror}); choose another place with "
                "--output"
            ) from problem
    return verdict(facts, surety)
