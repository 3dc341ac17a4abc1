"""Commands on campaigns and their runs: demo, check, run, status, rank, export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from htinvert.cli.app import (
    Json,
    Quiet,
    Scan,
    Tie,
    Trust,
    answer_for,
    app,
    console,
    say_json,
)
from htinvert.core import UserError

CampaignFile = Annotated[Path, typer.Argument(help="The campaign's YAML file.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]
Top = Annotated[int, typer.Option(min=1, help="Show or write this many families.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Run folder [runs/NAME].")]
Workers = Annotated[
    int | None, typer.Option(help="Worker processes [the file's]; 0 is this process.")
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Where workers run [the file's]: local, a site's name or its YAML file."),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed of the search [the file's]; another one has another run folder."),
]
Evaluations = Annotated[
    int | None, typer.Option(help="Stop after this many evaluations in all [the file's].")
]
More = Annotated[
    int | None,
    typer.Option(
        min=1, help="Evaluate this many more [none]; stop rules other than minutes are ignored."
    ),
]
Fork = Annotated[
    Path | None,
    typer.Option(help="Reuse what still holds of this older run: energies, scores [none]."),
]
Minutes = Annotated[
    float | None, typer.Option(help="Stop this session after this long [min; the file's].")
]


@app.command()
def demo(
    kind: Annotated[str, typer.Argument(help="image, or pdf for a particle's G(r).")] = "image",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run folder [runs/NAME].")
    ] = None,
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Find a planted boundary in an image, or a planted particle by its G(r), in a minute or two.

    Example: htinvert demo --seed 3
    """
    from htinvert.campaign.load import load
    from htinvert.report import demo as planted
    from htinvert.report.session import run_with_progress

    campaign = planted.campaign_of(kind)
    plan = load(campaign, **_given(seed=seed, workers=workers))
    if output is None:
        output = Path(f"runs/{plan.config.name}" + (f"-seed{seed}" if seed is not None else ""))
    ranked = run_with_progress(plan, output, console=console())
    if ranked:
        typer.echo(planted.verdict(ranked, plan.space.region, campaign.parent))


@app.command()
def check(
    campaign: CampaignFile,
    cluster: Cluster = None,
    picture: Annotated[Path | None, typer.Option(help="Where to draw [NAME-check.png].")] = None,
    as_json: Json = False,
    trust: Trust = False,
) -> None:
    """Validate a campaign, show what was read and estimate what it costs; runs nothing.

    Example: htinvert check configs/cdte_tellurene.yaml
    """
    from htinvert.campaign.load import load
    from htinvert.report.as_json import check_values
    from htinvert.report.preview import preview
    from htinvert.report.terminal import recording, working

    answer_for(trust)
    out = recording() if as_json else console()
    with working(out, f"reading {campaign} and its files"):
        plan = load(campaign, **_given(cluster=cluster))
    found = preview(plan, picture or Path(f"{plan.config.name}-check.png"), console=out)
    if as_json:
        say_json(check_values(plan, found, out.lines))


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
    quiet: Quiet = False,
) -> None:
    """Run a campaign, or go on with it where it was stopped or killed.

    Ctrl-C stops cleanly; the same command resumes.
    Example: htinvert run configs/cdte_tellurene.yaml --workers 2
    """
    from htinvert.campaign.load import further, load
    from htinvert.report.session import run_with_progress
    from htinvert.report.terminal import working

    if more is not None and evaluations is not None:
        raise UserError(
            f"--more {more} and --evaluations {evaluations} are two answers to one question; "
            "give one of them"
        )
    stop = _given(evaluations=evaluations, minutes=minutes)
    changes = _given(seed=seed, workers=workers, cluster=cluster, stop=stop or None)
    out = console(quiet=quiet)
    with working(out, f"reading {campaign} and its files"):
        plan = load(campaign, **changes)
    name = plan.config.name if seed is None else f"{plan.config.name}-seed{seed}"
    folder = output or Path("runs") / name
    if more is not None:
        plan = further(plan, folder, more)
    run_with_progress(plan, folder, console=out, fork=fork)


@app.command()
def status(folder: RunFolder, as_json: Json = False) -> None:
    """Show how far a run is, also while it goes on.

    Example: htinvert status runs/cdte_tellurene
    """
    from htinvert.report.as_json import status_values
    from htinvert.report.session import show_status

    if as_json:
        say_json(status_values(folder))
        return
    show_status(folder, console=console())


@app.command()
def rank(
    folder: RunFolder,
    top: Top = 10,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="A weight in place of the run's [none], such as energy=0.5; repeatable."),
    ] = None,
    scan: Scan = None,
    tie: Tie = None,
    as_json: Json = False,
) -> None:
    """Rank the families that a run has found, by weighted sum and Pareto front.

    Example: htinvert rank runs/cdte_tellurene --weight haadf.registration=20
    """
    from htinvert.campaign.funnel import objectives_of
    from htinvert.report.as_json import ranking_values
    from htinvert.report.session import show_ranking

    weights = _weights(weight or [])
    out = console(quiet=as_json)
    ranked = show_ranking(folder, top=top, weights=weights, scan=scan, ties=tie or (), console=out)
    if as_json:
        say_json(ranking_values(ranked[:top], objectives_of(folder, weights)))


@app.command()
def export(
    folder: RunFolder,
    target: Annotated[Path, typer.Argument(help="File to write: .xyz, .cif, .vasp or .csv.")],
    top: Top = 10,
) -> None:
    """Write the best structures (extended XYZ, CIF, POSCAR) or the table of all families (CSV).

    Example: htinvert export runs/cdte_tellurene best.xyz --top 5
    """
    from htinvert.report.run import Run

    with Run.open(folder) as found:
        for line in found.changed_inputs:
            typer.echo(f"warning: {line}", err=True)
        count = found.export(target, top)
    typer.echo(f"written: {count} families to {target}")


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given; what they may be, the campaign's own schema says."""
    return {name: value for name, value in options.items() if value is not None}


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
