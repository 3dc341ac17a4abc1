"""The terminal that people see: names, paths and reasons are printed as they are, never as markup.

What rich takes for markup, such as ``[eV]`` or a path in brackets, would be swallowed or end in an
error. So every console and every bar of the program is made here, without.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any, ClassVar

SILENT = 3.0  # s after which a log says what is being done


def terminal(*, quiet: bool = False) -> Any:
    """A rich console without markup and colored numbers; a ``quiet`` one prints nothing."""
    from rich.console import Console

    lasting: Any = _Lasting(sys.stdout)
    return Console(file=lasting, markup=False, highlight=False, quiet=quiet)


class _Lasting:
    """A stream that swallows what is written to it after its terminal has closed."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write, or leave it: a terminal that has gone is no error of what is being done."""
        with _gone_terminals():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave it."""
        with _gone_terminals():
            self.stream.flush()


@contextmanager
def _gone_terminals() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def recording() -> Any:
    """A terminal that prints nothing: it keeps the lines that it was given as ``lines``."""
    from rich.console import Console

    class Recording(Console):
        lines: ClassVar[list[str]]

        def print(self, *objects: Any, **how: Any) -> None:  # noqa: ARG002
            self.lines.extend(text for text in objects if isinstance(text, str))

    heard = Recording(quiet=True)
    heard.lines = []  # type: ignore[misc]
    return heard


def progress_bar(console: Any, *columns: Any, width: int = 40, transient: bool = True) -> Any:
    """A rich progress display: what is being done, a bar of some letters, further ``columns``."""
    from rich.progress import BarColumn, Progress, TextColumn

    class Bar(Progress):
        def stop(self) -> None:
            if console.is_terminal or not transient:
                super().stop()
            else:
                self.live.stop()  # rich's own leaves an empty line in a log

    doing = TextColumn("{task.description}", markup=False)
    return Bar(doing, BarColumn(bar_width=width), *columns, console=console, transient=transient)


def counted_bar(console: Any, *, transient: bool = True) -> Any:
    """A progress bar that says how many are done of how many, and how long the rest will take."""
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    return progress_bar(console, MofNCompleteColumn(), TimeRemainingColumn(), transient=transient)


def spinner(console: Any, doing: str) -> Any:
    """A context that shows that something is going on."""
    from rich.text import Text

    return console.status(Text(doing))


@contextmanager
def working(console: Any, doing: str, *, after: float = SILENT) -> Iterator[None]:
    """Say what is being done meanwhile: on a terminal as long as it lasts, in a log in one line.

    That line appears ``after`` this many seconds [s]: what is quick needs no word.
    """
    if console.is_terminal:
        with spinner(console, f"{doing} ..."):
            yield
        return
    timer = Timer(after, console.print, (f"{doing} ...",), {"soft_wrap": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
