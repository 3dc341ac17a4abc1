"""What Dask is told that it would otherwise do in its own way, here and in jobs."""

from __future__ import annotations

from typing import Any

SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,  # the pool itself judges who killed a worker
    "distributed.scheduler.worker-saturation": 1.0,  # what waits, waits on the scheduler
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-ttl": "15 minutes",  # a task may hold Python's lock for long
    "distributed.worker.memory.terminate": 0.95,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,  # with nothing to spill it would never go on
    "distributed.worker.profile.enabled": False,  # where time goes, a hundred times a second
    "distributed.admin.low-level-log-length": 0,
    "distributed.admin.tick.interval": "500ms",  # of looks at the clock, by default 50 a second
    "distributed.admin.system-monitor.interval": "5s",  # and at what the machine is doing
    "distributed.admin.system-monitor.disk": False,
    "distributed.comm.timeouts.connect": "60s",
    "distributed.comm.timeouts.tcp": "120s",
}


def exports() -> list[str]:
    """Shell lines that tell the workers of a job the same; what is the scheduler's is left out."""
    return [
        f"export DASK_{key.upper().replace('.', '__').replace('-', '_')}={value}"
        for key, value in SETTINGS.items()
        if not key.startswith("distributed.scheduler.")
    ]
