"""Commands on one image: calibrate, register."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.cli.app import YAML, Trust, answer_for, app, console
from htinvert.core import UserError

if TYPE_CHECKING:
    from ase import Atoms

    from htinvert.config.experiment import Experiment
    from htinvert.core import Signal


@app.command()
def calibrate(
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    phase: Annotated[str, typer.Option(help="A formula such as CdTe, or a structure file.")],
    zone: Annotated[str, typer.Option(help="Zone axis toward the viewer, such as 1,1,0.")],
    crystal: Annotated[
        str | None, typer.Option(help="Prototype, such as zincblende [a structure file].")
    ] = None,
    a: Annotated[float | None, typer.Option("-a", help="Lattice constant [Å].")] = None,
    c: Annotated[
        float | None, typer.Option("-c", help="Lattice constant [Å], if hexagonal.")
    ] = None,
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    region: Annotated[
        str | None, typer.Option(help="Part of one grain [px], TOP,BOTTOM,LEFT,RIGHT.")
    ] = None,
    other: Annotated[
        list[Path] | None,
        typer.Option(help="File of another phase to compare with [none]; repeatable."),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture [IMAGE-calibration.png].")] = None,
) -> None:
    """Measure pixel size, shear and rotation from the lattice of a known phase.

    Two grains of the phase are both found, with the angle between them. A block's steps of
    `prepare` come first.

    Example: htinvert calibrate twin.dm3 --phase CdTe --crystal zincblende -a 6.48 --zone 1,1,0
    """
    from htinvert.report.calibration import report
    from htinvert.structures.file import from_file

    observed, said = _micrograph(image, sampling)
    console().print(said, soft_wrap=True)
    report(
        observed,
        _phase(phase, crystal, a, c),
        zone=_zone(zone),
        picture=picture or Path(f"{image.stem}-calibration.png"),
        console=console(),
        name=Path(phase).stem,
        others={path.stem: from_file(path) for path in other or ()},
        region=None if region is None else _region(region),
    )


@app.command()
def register(
    structure: Annotated[Path, typer.Argument(help="A structure file.")],
    image: Annotated[Path, typer.Argument(help="A micrograph, or a YAML file with its block.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that results are written to.")
    ] = Path("registered"),
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    shape: Annotated[str | None, typer.Option(help="Region to compare [px], ROWSxCOLUMNS.")] = None,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Direction that is up in the image.")] = "z",
    ssim: Annotated[
        str, typer.Option(help="How similarity is computed: float7 or uint8-35.")
    ] = "float7",
    intensity: Annotated[
        str,
        typer.Option(help="How intensities are scaled: matched, or own (each by its extremes)."),
    ] = "matched",
    free: Annotated[
        list[str] | None,
        typer.Option(help="Fit this, too, such as interface_width=-1:1 [none]; repeatable."),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Optimizer of the last stage [powell].")
    ] = None,
    movie: Annotated[bool, typer.Option(help="Draw frames and a movie.")] = True,
    trust: Trust = False,
) -> None:
    """Find a structure in a micrograph and fit the imaging parameters; the same on every run.

    Example: htinvert register grains.cif image.dm3 --shape 200x160 --free interface_width=-1:1
    """
    from htinvert.report.registration import register_with_progress

    answer_for(trust)
    experiment = experiment_of(
        image,
        sampling=sampling,
        shape=shape,
        forward={"use": "stem_convolution", "beam": beam, "up": up},
        metric={"ssim": ssim, "intensity": intensity},
    )
    register_with_progress(
        structure,
        _refitted(experiment, free or (), method),
        folder=image.parent if image.suffix in YAML else Path(),
        output=output,
        movie=movie,
        console=console(),
    )


def _phase(phase: str, crystal: str | None, a: float | None, c: float | None) -> Atoms:
    """A prototype by formula, crystal and lattice constants, or the structure of a file."""
    from htinvert.structures.file import from_file
    from htinvert.structures.prototype import CUBIC, prototype

    if crystal is None:
        return from_file(Path(phase))
    if a is None:
        raise UserError(f"{phase} as {crystal} needs its lattice constant; add -a [Å]")
    return prototype(phase, crystal=crystal, a=a, c=c, cubic=crystal in CUBIC)


def _micrograph(path: Path, sampling: float | None) -> tuple[Signal, str]:
    """The image of a file, or that of a block prepared as it says, and what the file holds."""
    from htinvert.campaign.channels import read_experiment
    from htinvert.config.campaign import load_experiment
    from htinvert.image.read import read_described

    if path.suffix not in YAML:
        observed, source = read_described(path, sampling=sampling)
        return observed, str(source)
    experiment = load_experiment(path)
    if experiment.kind != "image":
        raise UserError(f"{path} describes a {experiment.kind}; calibrate measures images")
    if sampling is not None:
        experiment = experiment.model_copy(update={"sampling": sampling})
    return read_experiment(experiment, folder=path.parent)


def _region(text: str) -> tuple[int, int, int, int]:
    """Four edges of a part of an image [px]."""
    try:
        top, bottom, left, right = (int(number) for number in text.split(","))
    except ValueError as error:
        raise UserError(f"region {text} is not TOP,BOTTOM,LEFT,RIGHT, like 0,256,0,160") from error
    return top, bottom, left, right


def _zone(text: str) -> tuple[int, int, int]:
    """Three indices of a direction."""
    try:
        u, v, w = (int(number) for number in text.replace(" ", ",").split(","))
    except ValueError as error:
        raise UserError(f"zone {text} is not three whole numbers, such as 1,1,0") from error
    return u, v, w


def experiment_of(
    image: Path,
    *,
    sampling: float | None,
    shape: str | None,
    forward: dict[str, Any],
    metric: dict[str, Any],
) -> Experiment:
    """The block of a YAML file, or one made of an image and the command's options."""
    from htinvert.config.campaign import load_experiment
    from htinvert.config.experiment import of_its_kind

    if image.suffix in YAML:
        experiment = load_experiment(image)
        given = {} if sampling is None else {"sampling": sampling}
        return experiment.model_copy(update=given)
    if shape is not None:
        try:
            rows, columns = (int(number) for number in shape.split("x"))
        except ValueError as error:
            raise UserError(
                f"shape {shape} is not of the form ROWSxCOLUMNS, like 200x160"
            ) from error
        forward["shape"] = [rows, columns]
    block = {"data": image, "sampling": sampling, "forward": forward}
    return of_its_kind(block | {"metrics": {"registration": metric}})


def _refitted(experiment: Experiment, free: Sequence[str], method: str | None) -> Experiment:
    """An experiment with more free parameters, such as ``defocus=-50:50``, or another method."""
    from htinvert.evaluation.optimize import METHODS
    from htinvert.image.register import free_of
    from htinvert.plugins import find, suggest

    bounds = {}
    for text in free:
        name, _, span = text.partition("=")
        try:
            low, high = (float(number) for number in span.split(":"))
        except ValueError as error:
            raise UserError(f"free {text} is not of the form NAME=LOWER:UPPER") from error
        bounds[name] = (low, high)
    method = (method or experiment.method).lower()
    if method not in METHODS:
        raise UserError(f"method {method} is unknown; {suggest(method, list(METHODS))}")
    known = experiment.free or free_of(find("forward", str(experiment.forward["use"])))
    return experiment.model_copy(update={"free": {**known, **bounds}, "method": method})
