"""Commands to begin with: init, schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from htinvert.cli.app import app
from htinvert.core import UserError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the likely answers.")]


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the campaign; the file is NAME.yaml.")],
    structure: Annotated[
        str | None, typer.Option(help="File of the start structure: CIF, POSCAR, XYZ, ... [asked]")
    ] = None,
    image: Annotated[str | None, typer.Option(help="File of the micrograph [asked].")] = None,
    stm: Annotated[
        str | None, typer.Option(help="File of an image by scanning tunneling microscopy [none].")
    ] = None,
    curve: Annotated[str | None, typer.Option(help="File of a curve, such as G(r) [none].")] = None,
    forward: Annotated[
        str | None, typer.Option(help="Model that simulates the curve [by the file's ending].")
    ] = None,
    composition: Annotated[
        str | None,
        typer.Option(help="Atoms, such as Ti7O11 or Ti=6:7,O=8:11 [asked]; needs no structure."),
    ] = None,
    energy: Annotated[
        str | None, typer.Option(help="Engine by name, or the file of a potential [by elements].")
    ] = None,
    sampling: Annotated[float | None, typer.Option(help="Pixel size [Å/px].")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Stop after this long [min; asked].")
    ] = None,
    yes: Yes = False,
) -> None:
    """Ask a few questions and write a commented campaign that runs, to be edited from there.

    Boundaries and surfaces begin from a structure, clusters from one or from a composition.
    Example: htinvert init boundary --structure grains.vasp --image micrograph.dm3
    """
    from htinvert.cli.questions import Given, answered
    from htinvert.config.campaign import load
    from htinvert.config.starter import SCHEMA, campaign_text, engines

    path = Path(f"{name}.yaml")
    if path.exists():
        raise UserError(f"{path} exists; choose another name or remove it")
    if image is not None and stm is not None:
        raise UserError("--image and --stm are two names of one thing; give the one that it is")
    asks = sys.stdin.isatty() and not yes
    given = Given(structure, image, stm, curve, forward, composition, energy, sampling, minutes)
    answers = answered(name, given, asks=asks)
    others = [] if energy else engines(set(answers.composition))
    text = campaign_text(answers, [e for e in others if e != answers.energy])
    path.write_text(text, encoding="utf-8")
    load(path)
    _write_schema(Path(SCHEMA))
    typer.echo(f"written: {path}, {SCHEMA} (for your editor)")
    typer.echo(f"now look at what it would do: htinvert check {quote(str(path))}")


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File [stdout].")] = None,
) -> None:
    """Print the JSON schema of a campaign, which editors complete and check from.

    Example: htinvert schema -o htinvert.schema.json
    """
    if output is None:
        from htinvert.config.schema import campaign_schema

        typer.echo(json.dumps(campaign_schema(), indent=1))
    else:
        _write_schema(output)
        typer.echo(f"written: {output}")


def _write_schema(path: Path) -> None:
    from htinvert.config.schema import campaign_schema

    path.write_text(json.dumps(campaign_schema(), indent=1) + "\n", encoding="utf-8")
