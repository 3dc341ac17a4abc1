"""How a campaign is told to end: signals that become an event."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from htinvert.core import Interrupted

OUTPUTS = (1, 2)  # file descriptors of standard output and error
LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first signal to leave into an event; a second SIGINT interrupts at once.

    Batch systems send SIGTERM or SIGUSR1 before a time limit, a terminal that closes SIGHUP.
    """
    event = threading.Event()
    terminals = [number for number in OUTPUTS if os.isatty(number)]
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: Any) -> None:  # noqa: ARG001  (the form that signal asks for)
        if event.is_set() and number == signal.SIGINT:
            raise Interrupted
        if number == signal.SIGHUP:
            _let_go(terminals)
        event.set()

    before = {number: signal.signal(number, note) for number in LEAVE}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _let_go(terminals: list[int]) -> None:
    """Write to nowhere what would go to a terminal that has closed: it would be an error."""
    for number in terminals:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
