"""The program that the commands belong to."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from htinvert.core import UserError

Scan = Annotated[
    str | None, typer.Option(help="A range of a chemical potential, such as Te=-2.6:-2.1 [eV].")
]
Tie = Annotated[
    list[str] | None,
    typer.Option(help="With --scan, a compound and its energy, such as CdTe=-4.119 [eV]."),
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="From one micrograph and a guess at the chemistry to a ranked list of structures.",
)


def main() -> None:
    """Entry point of the ``htinvert`` command: a user's mistake is one sentence, and its code."""
    try:
        app()
    except UserError as mistake:
        for line in str(mistake).splitlines():
            typer.echo(f"htinvert: {line}", err=True)
        sys.exit(mistake.code)


def console() -> Any:
    """Where rich text goes."""
    from rich.console import Console

    return Console()
