"""Commands on a finished or running campaign: report, decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import Json, Scan, Tie, Trust, answer_for, app, console, say_json

EnergyError = Annotated[float | None, typer.Option(help="The engine's error [eV per atom].")]
PositionError = Annotated[
    float | None, typer.Option(help="How far it leaves atoms off, per axis [Å].")
]


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page [RUN/report.html].")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of the campaign's file, if its images were moved [the run's]."),
    ] = None,
    scan: Scan = None,
    tie: Tie = None,
    energy_error: EnergyError = None,
    position_error: PositionError = None,
    movie: Annotated[
        bool, typer.Option("--movie", help="Make a movie of the improvements, too.")
    ] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False,
    trust: Trust = False,
) -> None:
    """Write one HTML file about a run that opens offline anywhere, and figures and files beside it.

    Example: htinvert report runs/cdte_tellurene --open
    """
    from htinvert.report.page.make import make

    answer_for(trust)
    target = output or folder / "report.html"
    sentence = make(
        folder,
        target,
        data=data,
        scan=scan,
        ties=tie or (),
        error=(energy_error, position_error),
        movie=movie,
        console=console(),
    )
    typer.echo(sentence)
    typer.echo(f"written: {target}, and figures, structures and tables in {target.stem}-files")
    if open_it:
        typer.launch(str(target))


@app.command()
def decide(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    energy_error: EnergyError = None,
    position_error: PositionError = None,
    further: Annotated[
        Path | None,
        typer.Option(help="YAML file of measurements you could make [the usual ones]."),
    ] = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Say which datum decides: the families that each leaves, alone and with others.

    And whether the data can be of one structure at all, and which further measurement would decide
    between the families left.

    Example: htinvert decide runs/joint --further plans.yaml
    """
    from htinvert.report.as_json import decision_values
    from htinvert.report.page.decide import show_decision
    from htinvert.report.page.further import further_values

    answer_for(trust)
    out = console(quiet=as_json)
    found, wanted = show_decision(
        folder, console=out, error=(energy_error, position_error), declared=further
    )
    if as_json:
        say_json(decision_values(found) | {"further": wanted and further_values(wanted)})
