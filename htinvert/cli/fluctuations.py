"""The command on series of frames: fluctuations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import app, console


@app.command()
def fluctuations(
    series: Annotated[
        list[Path], typer.Argument(help="Stacks (t, y, x): .npy .zarr .tif .mrc, or folders.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = Path("fluctuations"),
    interval: Annotated[float | None, typer.Option(help="From frame to frame [s].")] = None,
    times: Annotated[
        Path | None, typer.Option(help="A text with the time [s] of every frame, instead.")
    ] = None,
    temperature: Annotated[
        list[float] | None, typer.Option(help="Of each series [K]: draws Arrhenius's plot, too.")
    ] = None,
    average: Annotated[
        int, typer.Option(min=1, help="Side of the square that a pixel is pooled with [px].")
    ] = 1,
    exposure: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Exposed part of the interval [1].")
    ] = 1.0,
    steady: Annotated[
        bool, typer.Option("--steady", help="Divide by each frame's mean: the beam wandered.")
    ] = False,
    hold_beta: Annotated[
        bool, typer.Option("--hold-beta", help="Give every pixel the exponent of all.")
    ] = False,
    longest: Annotated[
        int | None, typer.Option(min=3, help="Longest lag [frames]; half the series.")
    ] = None,
) -> None:
    """Measure how fast a material fluctuates: relaxation times of a series of frames, with maps.

    Example: htinvert fluctuations a.npy b.npy --interval 0.5 --temperature 673 --temperature 683
    """
    from htinvert.report.fluctuations import fluctuations_with_progress

    fluctuations_with_progress(
        series,
        temperatures=temperature or (),
        interval=interval,
        times=times,
        output=output,
        console=console(),
        average=average,
        exposure=exposure,
        steady=steady,
        hold_beta=hold_beta,
        longest=longest,
    )
