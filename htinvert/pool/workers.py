"""Dask's worker processes on this machine, and what every worker does before its first task."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from multiprocessing import spawn
from typing import Any

from htinvert.evaluation.surroundings import ignore_alarms
from htinvert.pool.scratch import scratch

WORKER = "Dask Worker"  # how the names of Dask's worker processes begin
LOOPBACK_PAGES = "127.0.0.1:0"  # Dask's pages have no password: nobody but this machine sees them

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # the pool itself judges who killed a worker
    "distributed.scheduler.worker-saturation": 1.0,  # what waits, waits on the scheduler
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.http.routes": [],  # its pages tell of every task, and have no password
    "distributed.scheduler.worker-ttl": "15 minutes",  # a task may hold Python's lock for long
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # with nothing to spill it would never go on
    "distributed.worker.profile.enabled": False,  # where time goes, a hundred times a second
    "distributed.deploy.lost-worker-timeout": "1 day",  # else a second death loses its nanny
    "distributed.admin.low-level-log-length": 0,
    "distributed.admin.tick.interval": "500ms",  # of looks at the clock, by default 50 a second
    "distributed.admin.system-monitor.interval": "5s",  # and at what the machine is doing
    "distributed.admin.system-monitor.disk": False,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "120s",
}

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT = 256 << 20  # bytes that a worker keeps of what it has freed
MAPPED = 32 << 20  # bytes from which an array is given back at once, the most that glibc takes


@contextmanager
def local_workers(count: int) -> Iterator[tuple[Any, Any]]:
    """A cluster on this machine and its client: loopback only, one thread per worker process.

    Loopback is every user's of this machine, so it is TLS with certificates that are made for this
    cluster and never leave the memory of its processes; without them a connection is refused.
    """
    import dask
    from distributed import Client, LocalCluster
    from distributed.security import Security

    hush()
    end_quietly()
    with (
        dask.config.set(SETTINGS),
        apart_from_main(),
        scratch() as folder,
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            protocol="tls://",
            security=Security.temporary(),
            scheduler_kwargs={"dashboard": False},
            dashboard_address=LOOPBACK_PAGES,
            local_directory=str(folder),
            silence_logs=logging.ERROR,
        ) as cluster,
        closing(Client(cluster, set_as_default=False)) as client,
    ):
        client.register_plugin(manners())
        yield cluster, client


@contextmanager
def apart_from_main() -> Iterator[None]:
    """Let Dask's worker processes start without the program that asks for them.

    A spawned process otherwise runs the caller's main module again: a script without a main guard
    would then start workers of workers, and one that is read from stdin cannot be found. Nothing is
    lost, for what is defined there travels by value (cloudpickle).
    """
    prepared = spawn.get_preparation_data

    def of_workers(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepared(name)
        if name.startswith(WORKER):
            for key in ("init_main_from_name", "init_main_from_path"):
                data.pop(key, None)
        return data

    spawn.get_preparation_data = of_workers
    try:
        yield
    finally:
        spawn.get_preparation_data = prepared


def exports() -> list[str]:
    """Shell lines that tell the workers of a job the same; what is the driver's is left out."""
    return [
        f"export DASK_{key.upper().replace('.', '__').replace('-', '_')}={shlex.quote(str(value))}"
        for key, value in SETTINGS.items()
        if not key.startswith(("distributed.scheduler.", "distributed.deploy."))
    ]


def manners() -> Any:
    """A plugin for workers: Ctrl-C and the terminal are for the driver, freed memory is kept."""
    from distributed import WorkerPlugin

    class Manners(WorkerPlugin):
        """What a worker process has to know before its first block."""

        name = "htinvert-manners"

        def setup(self, worker: Any) -> None:  # noqa: ARG002  (the form that Dask asks for)
            """Run on each worker when it starts."""
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ignore_alarms()
            hush()
            _keep_freed_memory()

    return Manners()


def hush() -> None:
    """Keep Dask from telling of connections that end: at the end of a run all of them do.

    What ``silence_logs`` hides is shown again as soon as a cluster closes, which is too early.
    """
    for part in ("worker", "core", "comm", "batched"):
        logging.getLogger(f"distributed.{part}").setLevel(logging.CRITICAL)


def end_quietly() -> None:
    """Let whoever interrupts a cluster's end see no traceback of Dask's own last attempt at it."""
    from distributed.deploy.spec import close_clusters

    atexit.unregister(close_clusters)
    atexit.unregister(_close)
    atexit.register(_close)


def _close() -> None:
    from distributed.deploy.spec import close_clusters

    with suppress(Exception, KeyboardInterrupt):  # the program ends anyway, and workers with it
        close_clusters()


def _keep_freed_memory() -> None:
    """Undo what Dask tells a worker's allocator: to give every 64 kB that is free back at once.

    For images and forces that come and go by the million, page faults would take as long as the
    work itself. Does nothing where the C library is not glibc.
    """
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)  # nor for processes that the worker starts
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, MAPPED)
        mallopt(M_TRIM_THRESHOLD, KEPT)
