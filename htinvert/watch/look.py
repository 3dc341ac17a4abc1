"""Look on while a campaign runs, until it is enough: in a browser, or in this terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from htinvert.campaign.funnel import objectives_of
from htinvert.campaign.interrupt import interruptible
from htinvert.campaign.plan import Plan
from htinvert.campaign.resume import plan_of
from htinvert.core import UserError
from htinvert.watch.server import serving
from htinvert.watch.state import State

PORT = 8642
TICK = 0.2  # s
BARS = "▁▂▃▄▅▆▇█"


def look_on(
    folder: Path,
    *,
    console: Any,
    text: bool = False,
    port: int = PORT,
    minutes: float | None = None,
) -> None:
    """Show how a run goes until Ctrl-C; only the store is read, so the campaign never notices.

    Args:
        folder: of the run.
        console: where the page's address, or the view itself, is printed.
        text: in the terminal rather than in a browser.
        port: of the page, on loopback; 0 is any.
        minutes: after which the view ends [min].

    Raises :class:`UserError` where the folder is no run, or the port is taken.
    """
    if minutes is not None and not minutes > 0.0:
        raise UserError(f"minutes is {minutes:g}; give a number above 0")
    objectives_of(folder)  # says so where it is no run
    state = State(folder)
    end = time.monotonic() + 60.0 * minutes if minutes is not None else float("inf")
    with suppress(KeyboardInterrupt), interruptible() as left:
        ticks = _ticks(left, end)
        if text:
            state.look()
            _watch_text(state, ticks, console)
        else:
            with serving(state, port) as server:
                console.print(f"live: {server.address}", soft_wrap=True)
                state.plan = _plan(folder, console)
                for _ in ticks:
                    if state.look():
                        server.tell()
    if left.is_set():
        console.print("the view has ended; the campaign goes on")


def _ticks(left: threading.Event, end: float) -> Iterator[None]:
    """Moments to look, until somebody leaves or the time is over.

    Libraries that are being imported may swallow a KeyboardInterrupt, so Ctrl-C is an event.
    """
    while time.monotonic() < end and not left.is_set():
        yield
        left.wait(TICK)


def _plan(folder: Path, console: Any) -> Plan | None:
    """What the pictures need; None, with a sentence, where this machine lacks something."""
    try:
        return plan_of(folder)
    except UserError as error:
        console.print(f"no pictures of images: {error}", soft_wrap=True)
        return None


def _watch_text(state: State, ticks: Iterator[None], console: Any) -> None:
    """Show counts, the best and the history in the terminal; in a log, then a line per change."""
    from rich.live import Live

    if not console.is_terminal:
        console.print(_page(state))
        for _ in ticks:
            if state.look():
                console.print(_counts(state.facts), soft_wrap=True)
        return

    with Live(_page(state), console=console, auto_refresh=False) as live:
        for _ in ticks:
            if state.look():
                live.update(_page(state), refresh=True)


def _counts(facts: Mapping[str, Any]) -> str:
    return (
        f"{facts['name']}: {facts['evaluated']} evaluated, "
        f"{facts['families']} families{facts['held']}, {facts['failed']} failed, "
        f"{facts['pending']} on their way, {sum(facts['refused'].values())} refused"
    )


def _page(state: State) -> Any:
    from rich.console import Group
    from rich.table import Table

    facts = state.facts
    if not facts:
        return "waiting for the first evaluation"
    view = Table()
    for name in ("rank", "candidate", "formula", *facts["objectives"], "above", "found"):
        view.add_column(name, justify="right")
    for row in facts["best"]:
        values = (f"{value:.4f}" for value in row["values"])
        last = (f"{row['above']:.3f}", f"{row['members']}x")
        view.add_row(str(row["rank"]), f"#{row['candidate']}", row["formula"], *values, *last)
    notes = [f"failed: {facts['failures']}"] if facts["failures"] else []
    notes += [f"warning: {facts['changed']}"] if facts["changed"] else []
    return Group(_counts(facts), *notes, _spark(facts["history"]), view)


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
