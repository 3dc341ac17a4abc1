"""What a campaign and its run show on a terminal: while it runs, how far it is, the ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from htinvert.campaign import loop
from htinvert.campaign.funnel import objectives_of, ranking, source_of, stages
from htinvert.campaign.inputs import changed_inputs
from htinvert.campaign.plan import Plan, evaluate_start
from htinvert.campaign.progress import GOES_ON
from htinvert.campaign.resume import ready
from htinvert.campaign.start import left_out
from htinvert.core import Evaluation, Interrupted, Objective
from htinvert.generators.walks import START
from htinvert.ranking.chemical_potentials import read_scan
from htinvert.ranking.rank import Ranked, counts_of, fit_alone, rank, raw_energies
from htinvert.ranking.survey import Survey
from htinvert.report.figures import draw_pareto
from htinvert.report.live import Live
from htinvert.report.potentials import draw_scan, potentials_of, references_of, scan_table
from htinvert.report.preview import draw_measured, measured_lines
from htinvert.report.save import drawn
from htinvert.report.stages import draw_stages, stage_table
from htinvert.report.start import better_start
from htinvert.report.summary import draw, failures, family_table, held, lineage, operator_table
from htinvert.store import RunStore

TOP = 5  # families shown when a campaign ends
WORTH_A_START = 20.0  # s per evaluation: below, the start structure joins the Pareto plot


def run_with_progress(
    plan: Plan, folder: Path, *, console: Any, fork: Path | None = None
) -> list[Ranked]:
    """Run a plan as :func:`htinvert.run` does, say how it goes, end with tables and pictures.

    Returns the families, none where it was interrupted before there was one. Raises as that does.
    """
    for line in measured_lines(plan):
        console.print(line)
    try:
        with Live(plan, folder, console) as live:
            end = loop.run(plan, folder, observer=live, fork=fork)
    except Interrupted:
        console.print(f"interrupted at once; what {folder} has stays, and {GOES_ON}")
        raise
    more = "; --more 100 adds a hundred" if end.reason.endswith("evaluations are done") else ""
    console.print(f"stopped: {end.reason}{more}", soft_wrap=True)
    plan = ready(plan, folder)
    survey = Survey(plan.objectives)
    with RunStore.open(folder) as store:
        survey.read(store)
        refused = store.counts().refused_by
    if not survey.good:
        console.print(operator_table(survey.yields(refused)))
    if end.interrupted and not survey.good:
        console.print("nothing to rank yet")
        return []
    ranked = ranking(folder, survey)
    console.print(family_table(ranked, plan.objectives, note=held(survey)))
    _warn(plan.objectives, ranked, plan.recipe.chemical_potentials, console)
    console.print(operator_table(survey.yields(refused)))
    pictures = draw_measured(plan, folder)
    seconds = float(np.median([entry.evaluation.seconds for entry in ranked]))
    start = _start(plan, folder, seconds)
    out = left_out(plan.space, plan.config)
    if start is not None and (warning := better_start(start, ranked[0], plan.objectives, out)):
        console.print(f"warning: {warning}", soft_wrap=True)
    for path in [*pictures, *draw(plan, ranked, folder, start=start)]:
        console.print(f"drawn: {path}")
    _show_stages(folder, TOP, console)
    console.print(f"how sure, and all in one file: htinvert report {quote(str(folder))}")
    return ranked


def _warn(
    objectives: Sequence[Objective],
    ranked: Sequence[Ranked],
    potentials: Mapping[str, float],
    console: Any,
) -> None:
    """Say where nothing but fits has ranked, and where energies of unlike compositions have."""
    raw = raw_energies(objectives, counts_of(ranked), potentials)
    for warning in filter(None, (fit_alone(objectives), raw)):
        console.print(f"warning: {warning}", soft_wrap=True)


def say_changed(folder: Path, console: Any) -> None:
    """Say which files are not what a run was made with; what it holds stays what it was."""
    for line in changed_inputs(folder).values():
        console.print(f"warning: {line}", soft_wrap=True)


def _start(plan: Plan, folder: Path, seconds: float) -> Evaluation | None:
    """The start structure as the run evaluated it; where it did not, here, if that is cheap."""
    with RunStore.open(folder) as store:
        known = store.evaluation(0, signals=False) if store.has_result(0) else None
    if known is not None and known.candidate.operator == START:
        return known
    return evaluate_start(plan) if seconds < WORTH_A_START else None


def show_status(folder: Path, *, console: Any) -> None:
    """Say how far a run is, what failed, what the operators brought, and the best so far.

    Raises :class:`~htinvert.core.UserError` where the folder is no run.
    """
    objectives = objectives_of(folder)
    say_changed(folder, console)
    survey = Survey(objectives)
    with RunStore.open(folder) as store:
        counts = store.counts()
        survey.read(store)
    ranked = rank(survey.best(), objectives)
    yields = survey.yields(counts.refused_by)
    console.print(
        f"{folder}: {counts.ok} evaluated, {counts.failed} failed, {counts.pending} on their way, "
        f"{survey.seconds:.0f} core-seconds",
        soft_wrap=True,
    )
    if failed := failures(survey):
        console.print(f"failed: {failed}", soft_wrap=True)
    duplicates = sum(entry.duplicates for entry in yields)
    share = duplicates / max(len(survey.numbers), 1)
    console.print(f"relaxed into a known family: {duplicates} ({share:.0%}){held(survey)}")
    console.print(operator_table(yields))
    if ranked:
        best = ranked[0].evaluation
        values = ", ".join(f"{o.name} {best.objectives[o.name]:.4f}" for o in objectives)
        console.print(f"best: #{best.candidate.index}, {values} ({lineage(best)})", soft_wrap=True)


def show_ranking(
    folder: Path,
    *,
    top: int,
    console: Any,
    weights: Mapping[str, float] | None = None,
    scan: str | None = None,
    ties: Sequence[str] = (),
) -> list[Ranked]:
    """Show the best families of a run as a table, and draw their Pareto plot into its folder.

    Args:
        folder: of the run; a funnel's last one is shown as all of its stages saw it.
        top: how many families the table has.
        console: where it is printed.
        weights: of objectives, in place of those of the campaign.
        scan: a range of a chemical potential, such as ``Te=-2.6:-2.1`` [eV].
        ties: with ``scan``, compounds and their energies, such as ``CdTe=-4.119`` [eV].

    Raises :class:`~htinvert.core.UserError` where the folder is no run or has nothing to rank.
    """
    objectives = objectives_of(folder, weights)
    survey = Survey.of(folder, objectives)
    ranked = ranking(folder, survey)
    say_changed(folder, console)
    console.print(family_table(ranked, objectives, top=top, note=held(survey), varied=True))
    _warn(objectives, ranked, potentials_of(folder), console)
    if len(objectives) > 1:
        draw_front = partial(draw_pareto, ranked=ranked, objectives=objectives, title=folder.name)
        console.print(drawn(folder / "pareto.png", draw_front), soft_wrap=True)
    if (found := references_of(folder)) is not None:
        console.print(found.chosen, soft_wrap=True)
    if scan is not None:
        _show_scan(folder, ranked, objectives, scan, ties, console)
    _show_stages(folder, top, console)
    return ranked


def _show_scan(
    folder: Path,
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    scan: str,
    ties: Sequence[str],
    console: Any,
) -> None:
    """Show which family is the best at which chemical potential."""
    wanted = read_scan(scan, ties, potentials_of(folder))
    console.print(scan_table(wanted, ranked, objectives))
    draw_it = partial(
        draw_scan, scan=wanted, ranked=ranked, objectives=objectives, title=folder.name
    )
    console.print(drawn(folder / "potentials.png", draw_it), soft_wrap=True)


def _show_stages(folder: Path, top: int, console: Any) -> None:
    """Show the best of a funnel's last run as all of its stages saw them."""
    if source_of(folder) is None:
        return
    chain = stages(folder)
    console.print(stage_table(chain, top=top))
    draw_them = partial(draw_stages, chain=chain, top=top)
    console.print(drawn(folder / "stages.png", draw_them), soft_wrap=True)
