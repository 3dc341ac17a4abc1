"""Command that compares structures in pairs over windows of one image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import Trust, answer_for, app, console
from htinvert.core import UserError


@app.command()
def compare(
    experiment: Annotated[Path, typer.Argument(help="A YAML file with an experiment's block.")],
    structures: Annotated[list[Path], typer.Argument(help="Two structure files or more.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that results are written to.")
    ] = Path("compared"),
    size: Annotated[int, typer.Option(help="Rows and columns of a window [px].")] = 79,
    windows: Annotated[
        int, typer.Option(help="Compare in at most this many windows of the image.")
    ] = 13,
    trust: Trust = False,
) -> None:
    """Compare structures in pairs over windows of one image: difference, standard error, verdict.

    Example: htinvert compare configs/experiments/cu2o_stm.yaml ideal.xyz vacancy.xyz
    """
    from htinvert.config.campaign import load_experiment
    from htinvert.report.compare import compare_with_progress

    answer_for(trust)
    if len(structures) < 2:
        raise UserError("a comparison takes two structures; name one more file")
    compare_with_progress(
        structures,
        load_experiment(experiment),
        folder=experiment.parent,
        output=output,
        size=size,
        most=windows,
        console=console(),
    )
