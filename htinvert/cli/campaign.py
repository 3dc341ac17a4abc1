"""Commands on campaigns and their runs: demo, check, run, status, rank, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.cli.app import Scan, Tie, app, console
from htinvert.core import UserError

if TYPE_CHECKING:
    from htinvert.campaign.plan import Plan
    from htinvert.core import Objective
    from htinvert.ranking.rank import Ranked

TOP = 5  # families shown when a campaign ends
WORTH_A_START = 20.0  # s per evaluation: below, the start structure joins the Pareto plot
CampaignFile = Annotated[Path, typer.Argument(help="The campaign's YAML file.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]
Top = Annotated[int, typer.Option(min=1, help="How many families.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder [runs/NAME].")]
Workers = Annotated[int | None, typer.Option(min=0, help="Worker processes; 0: this process.")]
Cluster = Annotated[
    str | None, typer.Option(help="Where workers run: local, a profile's name or its YAML file.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed, another run folder.")]
Evaluations = Annotated[int | None, typer.Option(min=1, help="Stop after so many in all.")]
More = Annotated[
    int | None,
    typer.Option(min=1, help="So many beyond those there are; other stop rules but minutes rest."),
]
Fork = Annotated[
    Path | None,
    typer.Option(help="Take over an older run: energies and scores that still hold are reused."),
]
Minutes = Annotated[float | None, typer.Option(help="Stop this session after so long.")]


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")] = Path("runs/demo"),
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Find a planted boundary in a multislice image of it, in a minute or two.

    Example: htinvert demo --seed 3
    """
    from htinvert.report import demo as planted

    plan = read_plan(planted.CAMPAIGN, seed=seed, workers=workers)
    if seed is not None and output == Path("runs/demo"):
        output = Path(f"runs/demo-seed{seed}")
    ranked = run_and_show(plan, output)
    if ranked:
        typer.echo(planted.verdict(ranked, plan.space.region))


@app.command()
def check(
    campaign: CampaignFile,
    cluster: Cluster = None,
    picture: Annotated[Path | None, typer.Option(help="Where to draw [NAME-check.png].")] = None,
) -> None:
    """Validate a campaign, show what was read and estimate what it costs; runs nothing.

    Example: htinvert check configs/cdte_tellurene.yaml
    """
    from htinvert.report.preview import preview

    plan = read_plan(campaign, cluster=cluster)
    if plan.config.cluster not in (None, "local"):
        from htinvert.cluster.connect import job_script
        from htinvert.cluster.needs import require_memory
        from htinvert.cluster.site import load_site

        site = load_site(plan.config.cluster, plan.folder)
        require_memory(plan.config, plan.recipe, plan.space.template, site)
        script = job_script(plan.config.cluster, plan.folder, Path("runs") / plan.config.name)
        typer.echo(f"{site.name}: {site.in_words(plan.config.workers)}. Each job is\n\n{script}")
    preview(plan, picture or Path(f"{plan.config.name}-check.png"), console=console())


@app.command()
def run(
    campaign: CampaignFile,
    output: Output = None,
    seed: Seed = None,
    workers: Workers = None,
    cluster: Cluster = None,
    evaluations: Evaluations = None,
    minutes: Minutes = None,
    more: More = None,
    fork: Fork = None,
) -> None:
    """Run a campaign, or go on with it where it was stopped or killed.

    Ctrl-C stops cleanly; the same command resumes.
    Example: htinvert run configs/cdte_tellurene.yaml --workers 2
    """
    if more is not None and evaluations is not None:
        raise UserError(
            f"--more {more} and --evaluations {evaluations} are two answers to one question; "
            "give one of them"
        )
    plan = read_plan(
        campaign,
        seed=seed,
        workers=workers,
        cluster=cluster,
        evaluations=evaluations,
        minutes=minutes,
    )
    name = plan.config.name if seed is None else f"{plan.config.name}-seed{seed}"
    folder = output or Path("runs") / name
    run_and_show(plan if more is None else further(plan, folder, more), folder, fork=fork)


@app.command()
def status(folder: RunFolder) -> None:
    """Say how far a run is, also while it goes on.

    Example: htinvert status runs/cdte_tellurene
    """
    from htinvert.campaign.funnel import objectives_of
    from htinvert.ranking.rank import rank as order
    from htinvert.ranking.survey import Survey
    from htinvert.report.summary import failures, held, lineage, operator_table
    from htinvert.store import Run

    objectives = objectives_of(folder)
    survey = Survey(objectives)
    with Run.open(folder) as store:
        counts = store.counts()
        survey.read(store)
    ranked = order(survey.best(), objectives)
    yields = survey.yields(counts.refused_by)
    duplicates = sum(entry.duplicates for entry in yields)
    seconds = survey.seconds
    typer.echo(
        f"{folder}: {counts.ok} evaluated, {counts.failed} failed, {counts.pending} on their way, "
        f"{seconds:.0f} core-seconds"
    )
    if failed := failures(survey):
        typer.echo(f"failed: {failed}")
    share = duplicates / max(len(survey.numbers), 1)
    typer.echo(f"relaxed into a known family: {duplicates} ({share:.0%}){held(survey)}")
    console().print(operator_table(yields))
    if ranked:
        best = ranked[0]
        values = ", ".join(f"{o.name} {best.evaluation.objectives[o.name]:.4f}" for o in objectives)
        typer.echo(
            f"best: #{best.evaluation.candidate.index}, {values} ({lineage(best.evaluation)})"
        )


@app.command("rank")
def rank_command(
    folder: RunFolder,
    top: Top = 10,
    weight: Annotated[
        list[str] | None, typer.Option(help="Another weight, such as energy=0.5; repeatable.")
    ] = None,
    scan: Scan = None,
    tie: Tie = None,
) -> None:
    """Rank what a run has found by weighted sum and Pareto front, one line per family.

    Example: htinvert rank runs/cdte_tellurene --weight haadf.registration=20
    """
    from htinvert.campaign.funnel import objectives_of, ranking
    from htinvert.ranking.survey import Survey
    from htinvert.report.figures import draw_pareto
    from htinvert.report.summary import held, table

    objectives = objectives_of(folder, _weights(weight or []))
    survey = Survey.of(folder, objectives)
    ranked = ranking(folder, survey)
    console().print(table(ranked, objectives, top=top, note=held(survey)))
    if len(objectives) > 1:
        path = folder / "pareto.png"
        draw_pareto(path, ranked, objectives, title=folder.name)
        typer.echo(f"drawn: {path}")
    if scan is not None:
        _show_scan(folder, ranked, objectives, scan, tie or [])
    _show_stages(folder, top)


@app.command()
def export(
    folder: RunFolder,
    target: Annotated[Path, typer.Argument(help="What to write: .xyz, .cif, .vasp or .csv.")],
    top: Top = 10,
) -> None:
    """Write the best structures (extended XYZ, CIF, POSCAR) or the table of all families (CSV).

    Example: htinvert export runs/cdte_tellurene best.xyz --top 5
    """
    from htinvert.campaign.funnel import families, objectives_of
    from htinvert.report.summary import row
    from htinvert.structures.write import write_structures, write_table

    if target.suffix not in (".xyz", ".cif", ".vasp", ".csv"):
        raise UserError(f"{target.name} has no known ending; choose .xyz, .cif, .vasp or .csv")
    ranked = families(folder, objectives_of(folder))
    if target.suffix == ".csv":
        write_table(target, [row(entry) for entry in ranked])
    else:
        write_structures(target, [_labeled(entry) for entry in ranked[:top]])
    count = len(ranked) if target.suffix == ".csv" else min(top, len(ranked))
    typer.echo(f"written: {count} families to {target}")


def read_plan(
    campaign: Path,
    *,
    seed: int | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    evaluations: int | None = None,
    minutes: float | None = None,
) -> Plan:
    """Read a campaign, with what the command line overrides."""
    from htinvert.campaign.plan import make_plan
    from htinvert.config.campaign import load

    config = load(campaign)
    changes: dict[str, Any] = {"seed": seed, "workers": workers, "cluster": cluster}
    stops = {"evaluations": evaluations, "minutes": minutes}
    if any(value is not None for value in stops.values()):
        changes["stop"] = config.stop.model_copy(
            update={key: value for key, value in stops.items() if value is not None}
        )
    config = config.model_copy(update={k: v for k, v in changes.items() if v is not None})
    return make_plan(config, folder=campaign.parent)


def further(plan: Plan, folder: Path, more: int) -> Plan:
    """The plan with a stop rule of so many evaluations beyond those that a folder holds.

    Of the other rules only the minutes of the session stay: one that is met would end it at once.
    """
    from dataclasses import replace

    from htinvert.config.campaign import Stop
    from htinvert.store import Run

    done = 0
    if (folder / "journal.sqlite").is_file():
        with Run.open(folder) as store:
            counts = store.counts()
            done = counts.ok + counts.failed
    stop = Stop(evaluations=done + more, minutes=plan.config.stop.minutes)
    return replace(plan, config=plan.config.model_copy(update={"stop": stop}))


def run_and_show(plan: Plan, output: Path, *, fork: Path | None = None) -> list[Ranked]:
    """Run a plan with a progress bar; end with tables and pictures."""
    import numpy as np

    from htinvert.campaign.funnel import ranking
    from htinvert.campaign.loop import run
    from htinvert.campaign.plan import evaluate_start
    from htinvert.campaign.resume import calibration
    from htinvert.ranking.survey import Survey
    from htinvert.report.live import Live
    from htinvert.report.preview import draw_measured, measured_lines
    from htinvert.report.summary import draw, held, operator_table, table
    from htinvert.store import Run

    out = console()
    for line in measured_lines(plan):
        out.print(line, highlight=False)
    with Live(plan, output, out) as live:
        end = run(plan, output, observer=live, fork=fork)
    out.print(f"stopped: {end.reason}")
    plan = plan.calibrated(calibration(plan, output))
    survey = Survey(plan.objectives)
    with Run.open(output) as store:
        survey.read(store)
        refused = store.counts().refused_by
    if end.interrupted and not survey.good:
        out.print("nothing to rank yet")
        return []
    ranked = ranking(output, survey)
    out.print(table(ranked, plan.objectives, note=held(survey)))
    out.print(operator_table(survey.yields(refused)))
    pictures = draw_measured(plan, output)
    seconds = float(np.median([entry.evaluation.seconds for entry in ranked]))
    start = evaluate_start(plan) if seconds < WORTH_A_START else None
    for path in [*pictures, *draw(plan, ranked, output, start=start)]:
        out.print(f"drawn: {path}", highlight=False)
    _show_stages(output, TOP)
    out.print(f"how sure, and all in one file: htinvert report {output}", highlight=False)
    return ranked


def _show_scan(
    folder: Path,
    ranked: Sequence[Ranked],
    objectives: Sequence[Objective],
    scan: str,
    ties: Sequence[str],
) -> None:
    """Show which family is the best at which chemical potential."""
    from htinvert.config.yaml_file import read_yaml
    from htinvert.ranking.chemical_potentials import read_scan
    from htinvert.report.potentials import draw_scan, scan_table

    fixed = read_yaml(folder / "config.yaml").get("chemical_potentials", {})
    wanted = read_scan(scan, ties, fixed)
    console().print(scan_table(wanted, ranked, objectives))
    path = folder / "potentials.png"
    draw_scan(path, wanted, ranked, objectives, title=folder.name)
    typer.echo(f"drawn: {path}")


def _show_stages(folder: Path, top: int) -> None:
    """Show the best of a funnel's last run as all of its stages saw them."""
    from htinvert.campaign.funnel import source_of, stages
    from htinvert.report.stages import draw_stages, stage_table

    if source_of(folder) is None:
        return
    chain = stages(folder)
    console().print(stage_table(chain, top=top))
    path = folder / "stages.png"
    draw_stages(path, chain, top=top)
    typer.echo(f"drawn: {path}")


def _weights(given: Sequence[str]) -> dict[str, float]:
    """Weights of the form NAME=NUMBER."""
    weights = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise UserError(f"weight {text} is not of the form NAME=NUMBER") from error
    return weights


def _labeled(entry: Ranked) -> Any:
    atoms = entry.evaluation.atoms.copy()
    atoms.info = {
        "rank": entry.rank,
        "candidate": entry.evaluation.candidate.index,
        "total": entry.total,
    }
    atoms.info |= dict(entry.evaluation.objectives)
    return atoms
