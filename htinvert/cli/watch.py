"""The command that looks on while a campaign runs: watch."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from htinvert.cli.app import app, console

if TYPE_CHECKING:
    from htinvert.campaign.plan import Plan
    from htinvert.watch.state import State

TICK = 0.2  # s
BARS = "▁▂▃▄▅▆▇█"


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(help="The folder of a run.")],
    text: Annotated[bool, typer.Option("--text", help="In this terminal, as over ssh.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0: any.")] = 8642,
    minutes: Annotated[float | None, typer.Option(help="End the view after so long.")] = None,
) -> None:
    """Look on while a campaign runs, in a browser on this machine or as text; Ctrl-C ends the view.

    It reads the store only: start and end it as you like. From afar: ssh -L 8642:127.0.0.1:8642.
    Example: htinvert watch runs/demo
    """
    from htinvert.watch.server import serving
    from htinvert.watch.state import State

    state = State(folder, None if text else _plan(folder))
    state.look()
    end = time.monotonic() + 60.0 * minutes if minutes is not None else float("inf")
    try:
        if text:
            _watch_text(state, end)
            return
        with serving(state, port) as server:
            console().print(f"live: {server.address}", soft_wrap=True, highlight=False)
            while time.monotonic() < end:
                if state.look():
                    server.tell()
                time.sleep(TICK)
    except KeyboardInterrupt:
        typer.echo("the view has ended; the campaign goes on")


def _plan(folder: Path) -> Plan | None:
    """What the pictures need; None, with a sentence, where this machine lacks something."""
    from htinvert.campaign.funnel import objectives_of
    from htinvert.campaign.resume import plan_of
    from htinvert.core import UserError

    objectives_of(folder)  # says so where it is no run
    try:
        return plan_of(folder)
    except UserError as error:
        typer.echo(f"no pictures of images: {error}", err=True)
        return None


def _watch_text(state: State, end: float) -> None:
    """Show counts, the best and the history in the terminal until Ctrl-C."""
    from rich.live import Live

    with Live(_page(state), console=console(), auto_refresh=False) as live:
        while time.monotonic() < end:
            if state.look():
                live.update(_page(state), refresh=True)
            time.sleep(TICK)


def _page(state: State) -> Any:
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    facts = state.facts
    if not facts:
        return "waiting for the first evaluation"
    counts = (
        f"{facts['name']}: {facts['evaluated']} evaluated, "
        f"{facts['families']} families{facts['held']}, {facts['failed']} failed, "
        f"{facts['pending']} on their way, {sum(facts['refused'].values())} refused"
    )
    view = Table()
    for name in ("rank", "candidate", "formula", *facts["objectives"], "above", "found"):
        view.add_column(escape(name), justify="right")  # a unit in brackets is no markup
    for row in facts["best"]:
        values = (f"{value:.4f}" for value in row["values"])
        last = (f"{row['above']:.3f}", f"{row['members']}x")
        view.add_row(str(row["rank"]), f"#{row['candidate']}", row["formula"], *values, *last)
    failed = [f"failed: {facts['failures']}"] if facts["failures"] else []
    return Group(counts, *failed, _spark(facts["history"]), view)


def _spark(history: list[tuple[int, float]]) -> str:
    """The best weighted sum so far as a line of bars, over the number of evaluations."""
    if len(history) < 2:
        return ""
    last, width = history[-1][0], 60
    values = []
    for place in range(1, width + 1):
        known = [value for number, value in history if number <= place * last / width]
        values.append(known[-1] if known else history[0][1])
    low, high = min(values), sorted(values)[int(0.9 * width)]
    scale = (len(BARS) - 1) / max(high - low, 1e-9)
    line = "".join(BARS[min(int((value - low) * scale), len(BARS) - 1)] for value in values)
    return f"best weighted sum {line} {history[-1][1]:.4f}"
