"""The command that looks on while a campaign runs: watch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import Trust, answer_for, app, console


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    text: Annotated[
        bool, typer.Option("--text", help="Show it in this terminal instead of a browser.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, help="Port of the page on this machine; 0 is any free one."),
    ] = 8642,
    minutes: Annotated[
        float | None, typer.Option(help="End the view after this long [min; never].")
    ] = None,
    trust: Trust = False,
) -> None:
    """Watch a running campaign, in a browser on this machine or as text; Ctrl-C ends the view.

    It reads the store only: start and end it as you like. From afar: ssh -L 8642:127.0.0.1:8642.
    Example: htinvert watch runs/demo
    """
    from htinvert.watch.look import look_on

    answer_for(trust)
    look_on(folder, text=text, port=port, minutes=minutes, console=console())
