"""Commands on a run's files: verify, migrate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from htinvert.cli.app import Json, app, console, say_json

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.")]


@app.command()
def verify(
    folder: RunFolder,
    full: Annotated[bool, typer.Option(help="Read every byte instead of sizes.")] = False,
    repair: Annotated[bool, typer.Option(help="Repair what can be; implies --full.")] = False,
    as_json: Json = False,
) -> None:
    """Check that a run's files are what was written; ends with 0 if so.

    1: something is wrong, and it was or can be repaired. 2: committed results are lost.
    Example: htinvert verify runs/cdte_tellurene --full
    """
    from htinvert.campaign.inputs import changed_inputs
    from htinvert.store.salvage import verify as check

    with _progress("reading rows", quiet=as_json) as observer:
        found = check(folder, full=full, repair=repair, observer=observer)
    changed = [*changed_inputs(folder).values()]
    if as_json:
        values = {"run": folder, "code": found.code, "lost": found.lost, "repaired": repair}
        say_json(values | {"problems": found.problems, "notes": [*found.notes, *changed]})
        raise typer.Exit(found.code)
    for line in (*found.problems, *found.notes, *changed):
        typer.echo(line)
    state = {0: "all is well", 1: "no committed result is lost", 2: "committed results are lost"}
    if found.problems and not repair:
        hint = "; htinvert verify --repair puts right what can be"
    else:
        hint = " now" if repair and found.code == 1 else ""
    if found.code == 1 and not full and not repair:
        state[1] = "something is wrong"
    typer.echo(f"{folder}: {state[found.code]}{hint}")
    raise typer.Exit(found.code)


@app.command()
def migrate(folder: RunFolder) -> None:
    """Bring a run of an older format to the present one; the old one is kept beside it.

    Example: htinvert migrate runs/cdte_tellurene
    """
    from htinvert.store.migrate import migrate as bring

    with _progress("writing rows") as observer:
        aside = bring(folder, observer=observer)
    if aside is None:
        typer.echo(f"{folder} is of the present format already")
    else:
        typer.echo(f"{folder} is of the present format now; the old one is {aside}")


@contextmanager
def _progress(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar that appears with the first rows."""
    from htinvert.report.terminal import counted_bar

    with counted_bar(console(quiet=quiet)) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)
