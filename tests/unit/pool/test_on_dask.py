"""What the pool on Dask's workers makes of workers that die one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from dask.utils import parse_timedelta

from htinvert.pool.on_dask import NO_WORKER_SECONDS, DaskPool
from htinvert.pool.workers import SETTINGS


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Runs in a thread of its own, as a client's does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_result_that_went_with_its_worker_is_none_to_unpack(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Dask gives None in its place; the run once ended in a TypeError."""

    async def gather(futures: dict[str, Any], **how: Any) -> dict[str, Any]:
        return {"here": b"a share", "gone": None}

    pool = object.__new__(DaskPool)
    client = SimpleNamespace(gather=gather, loop=SimpleNamespace(asyncio_loop=loop))
    pool._connection = SimpleNamespace(client=client)
    assert pool._fetch({"here": None, "gone": None}) == {"here": b"a share"}


def test_no_nanny_is_let_go_while_the_pool_waits_for_its_worker() -> None:
    """One worker that died again 15 s after a death was not started any more, for a minute."""
    patience = parse_timedelta(SETTINGS["distributed.deploy.lost-worker-timeout"])
    assert patience > NO_WORKER_SECONDS
