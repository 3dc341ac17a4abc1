"""Whose fault an exception is, a forward model's or a metric's, told in one sentence."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from htinvert.core import Channel, EvaluationFailed, UserError


@contextmanager
def answerable(channels: Iterable[Channel], *, at: str = "experiments.{}.") -> Iterator[None]:
    """Turn what components of these channels raise into :class:`UserError`; all else passes.

    In a campaign the same exception is the recorded reason of a candidate's failure. ``at`` is
    where in the YAML the block of the channel stands whose name takes the place of ``{}``.
    """
    try:
        yield
    except (UserError, EvaluationFailed):
        raise
    except Exception as error:
        for channel in channels:
            if place := culprit(error, channel):
                raise UserError(
                    f"{at.format(channel.name)}{place} raised {_told(error)}; correct the "
                    "component or its parameters"
                ) from error
        raise


def culprit(error: BaseException, channel: Channel) -> str:
    """Which of a channel's components was at work: ``forward``, ``metrics.NAME``; empty if neither.

    It is the outermost whose code the exception has passed.
    """
    parts: dict[str, Any] = {"forward": channel.forward}
    parts |= {f"metrics.{name}": metric for name, metric in channel.metrics.items()}
    for frame, _ in traceback.walk_tb(error.__traceback__):
        for place, component in parts.items():
            method = type(frame.f_locals.get("self")) is type(component)
            if method or frame.f_code is _code(component):
                return place
    return ""


def _code(component: Callable[..., Any]) -> Any:
    """The code of a function, or of what calling an object runs."""
    called = component if hasattr(component, "__code__") else type(component).__call__
    return getattr(called, "__code__", None)


def _told(error: BaseException) -> str:
    """An exception in one line, with the file and line that raised it."""
    words = " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"{said} ({Path(last.filename).name}, line {last.lineno})"
