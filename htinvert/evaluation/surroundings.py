"""What a component may do to the process that it runs in, undone after every evaluation.

It may go to another folder, remove that, set an alarm or handlers of signals, end the program or
close its files. What cannot be undone is told: :func:`files_are_closed`.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import signal
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from htinvert.core import Interrupted

ALARM = int(signal.SIGALRM)
SIGNALS = (*map(int, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)), ALARM)
TIMER = int(signal.ITIMER_REAL)
SLACK = 1.0  # s by which a timer of the program's own may be off before it is set again

# `_signal` is what `signal` wraps, which looks for an enumeration of every handler: for 30 µs.

_watched: list[int] = []  # a file of our own, and what says that it is still that


class Surroundings:
    """Working folder, timer and signal handlers of this process, as they were when it was made."""

    def __init__(self) -> None:
        self._main = threading.current_thread() is threading.main_thread()
        self._begun = monotonic()
        self._folder = _folder()
        self._timer = _signal.getitimer(TIMER)
        self._handlers = [_signal.getsignal(number) for number in SIGNALS] if self._main else []
        if self._main and self._handlers[-1] == signal.SIG_DFL:  # an alarm would end the program
            _signal.signal(ALARM, _pass)

    def restore(self) -> None:
        """Go back to all of it; a folder that was removed is made again, empty."""
        self._restore_timer()
        if self._main:
            for number, handler in zip(SIGNALS, self._handlers, strict=True):
                if handler is not None and _signal.getsignal(number) is not handler:
                    _signal.signal(number, handler)
        if self._folder and _folder() != self._folder:
            with suppress(OSError):
                Path(self._folder).mkdir(parents=True, exist_ok=True)
                os.chdir(self._folder)

    def _restore_timer(self) -> None:
        left, interval = _signal.getitimer(TIMER)
        wanted = self._timer[0]
        if not wanted:
            if left:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            return
        wanted -= monotonic() - self._begun
        if wanted > 0 and (abs(left - wanted) > SLACK or interval != self._timer[1]):
            signal.setitimer(signal.ITIMER_REAL, wanted, self._timer[1])


def is_a_person(error: BaseException) -> bool:
    """Whether an exception is a real Ctrl-C, and not a component's own.

    A campaign turns the first one into an event and raises :class:`Interrupted` at the second; its
    workers ignore it. Elsewhere, as in a script, Python's own handler may have raised it.
    """
    if isinstance(error, Interrupted):
        return True
    if not isinstance(error, KeyboardInterrupt):
        return False
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def files_are_closed() -> bool:
    """Whether somebody has closed this process's files since the first call, ours among them."""
    if not _watched:
        descriptor = os.memfd_create("htinvert")
        _watched[:] = [descriptor, os.fstat(descriptor).st_ino]
        return False
    descriptor, inode = _watched
    try:
        return os.fstat(descriptor).st_ino != inode
    except OSError:
        return True


def ignore_alarms() -> None:
    """Let no alarm that a component sets end this process; its own children are not concerned."""
    signal.signal(signal.SIGALRM, _pass)


def _folder() -> str:
    """The working folder, empty where it is gone."""
    try:
        return os.getcwd()  # noqa: PTH109  (a Path costs ten times as much)
    except OSError:
        return ""


def _pass(number: int, frame: Any) -> None:
    """Let an alarm go off without anybody's harm."""
