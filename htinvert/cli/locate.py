"""The command that finds a structure in a whole micrograph: locate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htinvert.cli.app import YAML, Trust, answer_for, app, console, two_numbers

if TYPE_CHECKING:
    from htinvert.config.experiment import Experiment


@app.command()
def locate(
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    structure: Annotated[Path, typer.Argument(help="A structure file.")],
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=0.3, help="How far the pixel size may be off, as a ratio.")
    ] = 0.1,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Normal of the boundary, up in the structure.")] = "z",
    beam_energy: Annotated[
        float, typer.Option(min=10.0, max=3000.0, help="Beam energy [keV].")
    ] = 200.0,
    semiangle: Annotated[float, typer.Option(help="Convergence semiangle [mrad].")] = 25.0,
    detector: Annotated[str, typer.Option(help="Detector angles [mrad].")] = "80:200",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the block to this YAML file, too [none]."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture [IMAGE-located.png].")] = None,
    trust: Trust = False,
) -> None:
    """Find where a structure lies in a whole micrograph: turn, mirror, place and pixel size.

    Prints the block of an experiment in which it stands upright, for a campaign or for register.
    Example: htinvert locate twin.dm3 bicrystal.vasp -o twin.yaml
    """
    from htinvert.report.locate import locate_with_progress

    answer_for(trust)
    experiment = _experiment(
        image,
        sampling,
        beam=beam,
        up=up,
        beam_energy=1e3 * beam_energy,
        semiangle=semiangle,
        **_ring(detector),
    )
    locate_with_progress(
        structure,
        experiment,
        folder=image.parent if image.suffix in YAML else Path(),
        tolerance=tolerance,
        output=output,
        picture=picture or Path(f"{image.stem}-located.png"),
        console=console(),
    )


def _ring(text: str) -> dict[str, float]:
    """Inner and outer angle [mrad]."""
    inner, outer = two_numbers(text, f"detector {text} is not of the form INNER:OUTER, like 80:200")
    return {"inner": inner, "outer": outer}


def _experiment(image: Path, sampling: float | None, **forward: str | float) -> Experiment:
    """The block of a YAML file, or one made of an image and the command's options."""
    from htinvert.config.campaign import load_experiment
    from htinvert.config.experiment import of_its_kind

    if image.suffix in YAML:
        experiment = load_experiment(image)
        return (
            experiment if sampling is None else experiment.model_copy(update={"sampling": sampling})
        )
    return of_its_kind(
        {
            "data": image,
            "sampling": sampling,
            "forward": {"use": "stem_convolution", **forward},
            "metrics": {"registration": {}},
        }
    )
