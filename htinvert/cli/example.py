"""The command that writes a case to begin from: example."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import app


@app.command()
def example(
    name: Annotated[
        str | None, typer.Argument(help="One of those that are listed without a name.")
    ] = None,
    folder: Annotated[Path | None, typer.Argument(help="Where to write it [NAME].")] = None,
) -> None:
    """Write a complete, commented case that runs: a file, a structure, data. Lists them by itself.

    Example: htinvert example boundary
    """
    from htinvert.config.examples import EXAMPLES, write_example

    if name is None:
        for known, case in EXAMPLES.items():
            needs = f' (pip install "htinvert[{case.needs}]")' if case.needs else ""
            typer.echo(f"{known:<10} {case.about}{needs}")
        typer.echo("write one: htinvert example NAME [FOLDER]")
        return
    where = folder or Path(name)
    for path in write_example(name, where):
        typer.echo(f"written: {path}")
    needs = EXAMPLES[name].needs
    if needs and find_spec(needs) is None:
        typer.echo(f'it needs an extra: pip install "htinvert[{needs}]"')
    typer.echo("now:")
    for command in EXAMPLES[name].first:
        typer.echo(f"  {command.format(*[shlex.quote(str(where))] * command.count('{}'))}")
