"""Commands to begin with: init, schema."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.cli.app import app
from htinvert.core import UserError

if TYPE_CHECKING:
    from ase import Atoms

    from htinvert.config.starter import Answers, Microscope

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing, take what is likely.")]


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="Name of the campaign; the file is NAME.yaml.")],
    structure: Annotated[
        str | None, typer.Option(help="File of the start structure: CIF, POSCAR, XYZ, ...")
    ] = None,
    image: Annotated[str | None, typer.Option(help="File of the micrograph.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget.")] = None,
    yes: Yes = False,
) -> None:
    """Ask a few questions and write a commented campaign that runs, to be edited from there.

    Example: htinvert init boundary --structure grains.vasp --image micrograph.dm3
    """
    from htinvert.config.campaign import load
    from htinvert.config.starter import SCHEMA, campaign_text, engines

    path = Path(f"{name}.yaml")
    if path.exists():
        raise UserError(f"{path} exists; choose another name or remove it")
    asks = sys.stdin.isatty() and not yes
    structure = structure or _ask("start structure (file)", None, asks)
    atoms = _read(structure)
    image = (
        image if image is not None else (_ask("micrograph (file, or nothing)", "", asks) or None)
    )
    answers = _answers(name, structure, atoms, image, minutes, asks)
    text = campaign_text(
        answers, [e for e in engines(set(answers.composition)) if e != answers.energy]
    )
    path.write_text(text, encoding="utf-8")
    load(path)
    _write_schema(Path(SCHEMA))
    typer.echo(f"written: {path}, {SCHEMA} (for your editor)")
    typer.echo(f"now look at what it would do: htinvert check {path}")


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


def _answers(
    name: str, structure: str, atoms: Atoms, image: str | None, minutes: float | None, asks: bool
) -> Answers:
    """Ask for what the files do not tell, with what is likely as the default."""
    from htinvert.config import starter

    likely = starter.directions(atoms)
    beam = _ask("beam along (x, y, z)", likely[0], asks) if image else likely[0]
    up = _ask("normal of the boundary, up in the image (x, y, z)", likely[1], asks)
    for direction in (beam, up):
        if direction not in ("x", "y", "z"):
            raise UserError(f"{direction} is no direction; choose x, y or z")
    low, high = starter.boundary(atoms, up)
    low = _number("what may change, from [Å]", low, asks)
    high = _number("to [Å]", high, asks)
    composition = starter.amounts(atoms, up, (low, high))
    energy = starter.engines(set(composition))[0]
    if minutes is None:
        minutes = _number("budget [minutes]", 10.0, asks)
    return starter.Answers(
        name=name,
        structure=structure,
        beam=beam,
        up=up,
        region=(low, high),
        composition=composition,
        energy=energy,
        potential=_reference(energy, atoms),
        image=image,
        microscope=_microscope(image, asks) if image else starter.Microscope(),
        minutes=minutes,
        workers=len(os.sched_getaffinity(0)),
    )


def _microscope(image: str, asks: bool) -> Microscope:
    """How the image was taken; a pixel size that the file has is not asked for."""
    from htinvert.config.starter import Microscope
    from htinvert.image.read import describe

    source = describe(Path(image))
    typer.echo(str(source))
    sampling = None
    if source.sampling is None:
        given = _ask("pixel size [Å/px]", None, asks)
        sampling = _float(given, "pixel size")
    likely = Microscope()
    return Microscope(
        beam_energy=_number("beam energy [keV]", likely.beam_energy, asks),
        semiangle=_number("convergence semiangle [mrad]", likely.semiangle, asks),
        inner=_number("detector from [mrad]", likely.inner, asks),
        outer=_number("to [mrad]", likely.outer, asks),
        sampling=sampling,
    )


def _read(structure: str) -> Atoms:
    from htinvert.structures.file import from_file

    atoms = from_file(Path(structure))
    lengths = " x ".join(f"{length:.2f}" for length in atoms.cell.lengths())
    typer.echo(f"{structure}: {atoms.get_chemical_formula()}, cell {lengths} Å")
    return atoms


def _reference(energy: dict[str, str], atoms: Atoms) -> float:
    """Energy per atom [eV] of the start structure as it stands."""
    from htinvert import plugins

    engine: Any = plugins.build("energy", energy, Path())
    return float(engine.single_point(atoms).energy) / len(atoms)


def _ask(question: str, likely: str | None, asks: bool) -> str:
    """An answer; what is likely where nothing is to be asked."""
    if asks:
        return str(typer.prompt(question, default=likely))
    if likely is None:
        raise UserError(
            f"{question} is not given; answer in a terminal, or see `htinvert init --help`"
        )
    return likely


def _number(question: str, likely: float, asks: bool) -> float:
    return _float(_ask(question, f"{likely:g}", asks), question)


def _float(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"{what} is {text!r}, which is no number") from error
