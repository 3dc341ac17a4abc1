"""The command that finds a micrograph in a library: match."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htinvert.cli.app import YAML, Trust, answer_for, app, console

if TYPE_CHECKING:
    from htinvert.core import Signal

ANY_SCALE = 0.2  # Å/px, of an image without scale; only proportions count then


@app.command()
def match(
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    library: Annotated[Path, typer.Argument(help="Folder of structures or images, or a run.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that results are written to.")
    ] = Path("matched"),
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="How far the pixel size may be off, as a ratio.")
    ] = 0.1,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Up in the images of structures.")] = "z",
    top: Annotated[int, typer.Option(min=1, help="Fit this many to the end.")] = 6,
    placed: Annotated[int, typer.Option(min=1, help="Look for this many in the image.")] = 20,
    workers: Annotated[int, typer.Option(min=0, help="Processes that describe members.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Where descriptors are kept [LIBRARY.descriptors.zarr].")
    ] = None,
    trust: Trust = False,
) -> None:
    """Find the structure of a library that a micrograph shows, whatever its orientation.

    Example: htinvert match twin.dm3 bicrystals/ --workers 2
    """
    from htinvert.plugins import component
    from htinvert.report.match import match_with_progress

    answer_for(trust)
    observed, scale_known, credit, said = _observed(image, sampling)
    console().print(said, soft_wrap=True)
    match_with_progress(
        observed,
        library,
        name=image.stem,
        credit=credit,
        output=output,
        console=console(),
        forward=component("forward", "stem_convolution", beam=beam, up=up),
        scale_known=scale_known,
        tolerance=tolerance,
        placed=placed,
        top=top,
        workers=workers,
        cache=cache,
    )


def _observed(image: Path, sampling: float | None) -> tuple[Signal, bool, str, str]:
    """The micrograph, whether its scale is known, whom to credit, and what the file holds."""
    from htinvert.campaign.channels import read_experiment
    from htinvert.config.campaign import load_experiment
    from htinvert.image.read import describe, read_described

    if image.suffix in YAML:
        experiment = load_experiment(image)
        if sampling is not None:
            experiment = experiment.model_copy(update={"sampling": sampling})
        observed, said = read_experiment(experiment, folder=image.parent)
        return observed, True, experiment.credit, said
    known = sampling is not None or describe(image).sampling is not None
    observed, source = read_described(image, sampling=sampling if known else ANY_SCALE)
    return observed, known, "", str(source)
