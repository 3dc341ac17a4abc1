"""The command on the frames of a series of images: series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from htinvert.cli.app import app, console
from htinvert.core import UserError


@app.command()
def series(
    campaign: Annotated[Path, typer.Argument(help="The YAML file of a campaign on one frame.")],
    frames: Annotated[
        Path | None,
        typer.Argument(help="A stack (t, y, x), or a folder of images [the experiment's file]."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder [runs/NAME-series].")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(help="Which one the frames are of [the only image].")
    ] = None,
    only: Annotated[
        str, typer.Option(help="Which frames, from 0: FIRST:END or FIRST:END:STEP [all].")
    ] = "",
    evaluations: Annotated[
        int | None,
        typer.Option(min=1, help="Of each frame after the first [a quarter of the first one's]."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the search [the file's].")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes [the file's]; 0 is this process.")
    ] = None,
    movie: Annotated[bool, typer.Option(help="Write series.gif, too.")] = True,
) -> None:
    """Follow a structure through a series of images: drift, and columns that come, go or move.

    Ctrl-C stops cleanly; the same command resumes.
    Example: htinvert series boundary.yaml frames.tif --only 0:20
    """
    from htinvert.config.yaml_file import read_yaml
    from htinvert.report.series import series_with_progress

    changes = {"seed": seed, "workers": workers}
    series_with_progress(
        campaign,
        output=output or Path("runs") / f"{read_yaml(campaign).get('name', 'campaign')}-series",
        console=console(),
        movie=movie,
        frames=frames,
        experiment=experiment,
        chosen=_chosen(only),
        evaluations=evaluations,
        **{key: value for key, value in changes.items() if value is not None},
    )


def _chosen(text: str) -> slice:
    """Frames by their numbers."""
    parts: list[Any] = text.split(":") if text else ["", ""]
    try:
        if not 2 <= len(parts) <= 3:
            raise ValueError(text)
        found = slice(*(int(part) if part else None for part in parts))
        if found.step is not None and found.step < 1:
            raise ValueError(text)
    except ValueError as error:
        raise UserError(f"--only {text} is not of the form FIRST:END, such as 0:20") from error
    return found
