"""A terminal that closes ends a campaign as cleanly as Ctrl-C does."""

from __future__ import annotations

import os
import signal

import pytest

from htinvert.campaign import interrupt


def test_what_would_go_to_a_closed_terminal_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing to it is an error, which ended the campaign with code 1 instead of 0."""
    terminal, own = os.openpty()
    monkeypatch.setattr(interrupt, "OUTPUTS", (own,))
    try:
        with interrupt.interruptible() as asked:
            os.close(terminal)
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked.wait(1.0)
            assert os.write(own, b"said to nobody") == 14
    finally:
        os.close(own)
