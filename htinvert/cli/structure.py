"""Commands on structures: build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from htinvert.cli.app import Trust, answer_for, app, console
from htinvert.core import UserError

if TYPE_CHECKING:
    from ase import Atoms


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="A campaign, or a YAML file with a structure.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that results are written to.")
    ] = Path("built"),
    choice: Annotated[
        int | None, typer.Option(min=0, help="Row of the table of common cells [the first].")
    ] = None,
    beam: Annotated[str, typer.Option(help="Zone axis, toward the viewer.")] = "x",
    up: Annotated[str, typer.Option(help="Direction that is up in the picture.")] = "z",
    library: Annotated[
        bool, typer.Option("--library", help="Build all of the vary block, or their patterns.")
    ] = False,
    trust: Trust = False,
) -> None:
    """Build a structure from its description, explain it, and write CIF, POSCAR, XYZ and a picture.

    Example: htinvert build configs/structures/cdte_twin.yaml -o twin
    """
    from htinvert.config.pattern_block import asks_for_patterns
    from htinvert.report.library import write_library
    from htinvert.report.pattern_library import build_with_progress
    from htinvert.report.structure import explain, write_built
    from htinvert.report.terminal import spinner

    answer_for(trust)
    out = console()
    if library:
        if choice is not None:
            raise UserError("--choice and --library do not go together; put choice under vary")
        if asks_for_patterns(config):
            build_with_progress(config, output, console=out)
        else:
            write_library(config, output, console=out)
        return
    with spinner(out, f"building {config.stem}"):
        atoms = _structure(config, choice)
        lines = explain(atoms)
        paths = write_built(output, config.stem, atoms, beam=beam, up=up)
    for line in lines:
        out.print(line, soft_wrap=True)
    for path in paths:
        out.print(f"written: {path}")


def _structure(config: Path, choice: int | None) -> Atoms:
    """The structure that a file describes; of a campaign's, the roles that its region gives."""
    from htinvert import plugins
    from htinvert.config.campaign import load_structure
    from htinvert.core import Region
    from htinvert.structures.region import search_space

    described = load_structure(config)
    block = described.structure
    if choice is not None:
        block = {**block, "choice": choice}
    atoms: Atoms = plugins.build("structure", block, config.parent, "structure")
    if described.region is None:
        return atoms
    region, composition = Region(**described.region.model_dump()), described.composition
    marked = search_space(atoms, region=region, composition=composition, min_distance={}).template
    marked.info = atoms.info
    return marked
