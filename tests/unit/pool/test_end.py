"""Whoever interrupts the end of a cluster sees no traceback of Dask's last attempt."""

from __future__ import annotations

import atexit

import pytest
from distributed.deploy import spec

from htinvert.pool import workers


@pytest.mark.parametrize("error", [UnboundLocalError("result"), KeyboardInterrupt()])
def test_a_cluster_that_cannot_be_closed_ends_quietly(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    asked = []
    monkeypatch.setattr(spec, "close_clusters", fail)
    monkeypatch.setattr(atexit, "unregister", lambda f: asked.append(("not", f)))
    monkeypatch.setattr(atexit, "register", lambda f: asked.append(("at exit", f)))
    workers.end_quietly()
    assert ("not", fail) in asked
    ((_, last),) = [entry for entry in asked if entry[0] == "at exit"]
    last()
