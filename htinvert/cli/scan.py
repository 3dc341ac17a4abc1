"""The command on a scan of diffraction patterns: scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from htinvert.cli.app import app, console
from htinvert.core import UserError


@app.command()
def scan(
    file: Annotated[Path, typer.Argument(help="A scan of patterns, (y, x, ky, kx).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = Path("scan"),
    disk: Annotated[
        float | None, typer.Option(help="Radius of the bright disk, finds the scale [mrad].")
    ] = None,
    sampling: Annotated[float | None, typer.Option(help="Step per detector pixel [mrad].")] = None,
    step: Annotated[float | None, typer.Option(help="Between places [Å].")] = None,
    places: Annotated[
        str | None, typer.Option(help="ROWSxCOLUMNS of a file of frames in a row [its own].")
    ] = None,
    exchanged: Annotated[
        bool, typer.Option("--exchanged", help="The file has the axes of the scan last.")
    ] = False,
    beam_stop: Annotated[
        bool, typer.Option("--beam-stop", help="Find its shadow and leave it out.")
    ] = False,
    inner: Annotated[
        float | None, typer.Option(help="Inner angle of the annular detector [mrad].")
    ] = None,
    outer: Annotated[float | None, typer.Option(help="Its outer angle [mrad].")] = None,
    energy: Annotated[
        float | None, typer.Option(help="Beam energy [eV], to integrate the center of mass.")
    ] = None,
    rotation: Annotated[
        float, typer.Option(help="Turn of the detector against the scan [degrees].")
    ] = 0.0,
) -> None:
    """Show what a scan of diffraction patterns holds: mean pattern, virtual images, center of mass.

    A file larger than the memory is read block by block. Images are in NAME-images.npz.

    Example: htinvert scan scan.mib --disk 21.4 --step 0.2 --energy 200e3
    """
    from htinvert.report.scan import scan_with_progress
    from htinvert.signals.scan_image import DetectorPart

    keys: dict[str, Any] = {"disk": disk, "sampling": sampling, "exchanged": exchanged or None}
    keys["unit"] = None if sampling is None else "mrad"
    keys["places"] = None if places is None else _two(places)
    keys["prepare"] = ({"beam_stop": None},) if beam_stop else ()
    for name, value in (("disk", disk), ("sampling", sampling), ("step", step), ("energy", energy)):
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"{name} is {value:g}; give it above 0")
    scan_with_progress(
        file,
        DetectorPart.model_validate(keys),
        output=output,
        console=console(),
        step=step,
        inner=inner,
        outer=outer,
        beam_energy=energy,
        rotation=rotation,
    )


def _two(text: str) -> tuple[int, int]:
    """Rows and columns of a scan."""
    try:
        rows, columns = (int(number) for number in text.split("x"))
    except ValueError as error:
        raise UserError(f"places {text} is not of the form ROWSxCOLUMNS, like 64x128") from error
    if min(rows, columns) < 1:
        raise UserError(f"places {text} has no place; give rows and columns above 0")
    return rows, columns
