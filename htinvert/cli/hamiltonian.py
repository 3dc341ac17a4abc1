"""The command on occupations of a lattice: hamiltonian."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import app, console, two_numbers
from htinvert.core import UserError


@app.command()
def hamiltonian(
    images: Annotated[
        list[Path], typer.Argument(help="Tables x, y, species (.csv), or arrays (.npy).")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder.")] = Path("hamiltonian"),
    lattice: Annotated[str, typer.Option(help="square, or hexagonal.")] = "hexagonal",
    shells: Annotated[int, typer.Option(min=1, help="Shells of neighbors that interact.")] = 2,
    cluster: Annotated[
        list[str] | None,
        typer.Option(help="Larger: triangle, rhombus; of a square lattice corner, square. [none]"),
    ] = None,
    error_rate: Annotated[
        str, typer.Option(help="Share of misclassified columns, or FIRST:SECOND of each species.")
    ] = "0",
    temperature: Annotated[
        list[float] | None, typer.Option(help="At which each image's order was frozen in [K].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
) -> None:
    """Find the interactions behind the order of species, in kT, and the order they predict.

    Example: htinvert hamiltonian a.csv b.csv --lattice hexagonal --shells 2 --error-rate 0.02
    """
    from htinvert.report.hamiltonian import hamiltonian_with_progress

    hamiltonian_with_progress(
        images,
        lattice=lattice,
        count=shells,
        larger=cluster or (),
        rates=_rates(error_rate),
        temperatures=temperature or (),
        seed=seed,
        output=output,
        console=console(),
    )


def _rates(text: str) -> tuple[float, float]:
    """One rate for both species, or one for each."""
    wrong = f"error rate {text} is no number, such as 0.02, and not two, such as 0.01:0.03"
    if ":" in text:
        return two_numbers(text, wrong)
    try:
        return float(text), float(text)
    except ValueError as error:
        raise UserError(wrong) from error
