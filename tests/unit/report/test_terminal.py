"""What the terminal does when it is no terminal any more."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from htinvert.report.terminal import terminal


class Closed(io.StringIO):
    """A terminal that has gone."""

    def write(self, text: str) -> int:
        raise OSError(self.number, "gone")

    number = errno.EIO


def test_a_terminal_that_has_closed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    terminal().print("evaluated 12")


def test_another_error_of_writing_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(Closed, "number", errno.ENOSPC)
    with pytest.raises(OSError, match="gone"):
        terminal().print("evaluated 12")
