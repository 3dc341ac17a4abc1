"""The command on the columns of an image: columns."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from htinvert.cli.app import YAML, Trust, answer_for, app, console, two_numbers
from htinvert.cli.image import experiment_of
from htinvert.core import UserError


@app.command()
def columns(
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    structure: Annotated[Path, typer.Argument(help="A structure file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = Path("columns"),
    alternative: Annotated[
        list[str] | None,
        typer.Option(help="Other contents of a column: Mo=W, or S2=S,vacancy [none]."),
    ] = None,
    registered: Annotated[
        Path | None, typer.Option(help="A parameters.json of register [a fit now].")
    ] = None,
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px; the file's].")] = None,
    shape: Annotated[str | None, typer.Option(help="Region to measure [px], ROWSxCOLUMNS.")] = None,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Direction that is up in the image.")] = "z",
    beam_energy: Annotated[float, typer.Option(help="Beam energy [keV].")] = 200.0,
    semiangle: Annotated[float, typer.Option(help="Convergence semiangle [mrad].")] = 25.0,
    detector: Annotated[str, typer.Option(help="Detector angles [mrad].")] = "80:200",
    trust: Trust = False,
) -> None:
    """Measure place, intensity and species of every column of a structure in its image.

    Example: htinvert columns layer.tif MoS2.cif --beam z --up y --alternative Mo=W
    """
    from htinvert.report.columns import columns_with_progress

    answer_for(trust)
    inner, outer = two_numbers(
        detector, f"detector {detector} is not of the form INNER:OUTER, like 80:200"
    )
    forward: dict[str, Any] = {"use": "stem_convolution", "beam": beam, "up": up}
    forward |= {"beam_energy": 1e3 * beam_energy, "semiangle": semiangle}
    forward |= {"inner": inner, "outer": outer}
    experiment = experiment_of(image, sampling=sampling, shape=shape, forward=forward, metric={})
    columns_with_progress(
        structure,
        experiment,
        folder=image.parent if image.suffix in YAML else Path(),
        alternatives=dict(_alternative(text) for text in alternative or ()),
        registered=registered,
        output=output,
        console=console(),
    )


def _alternative(text: str) -> tuple[str, list[str]]:
    kind, equals, others = text.partition("=")
    if not equals or not others:
        raise UserError(f"alternative {text} is not of the form COLUMN=OTHER, such as Mo=W")
    return kind, others.split(",")
