"""Who can reach a run: its own workers, and nobody else."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import dask
import pytest
from distributed import Client
from distributed.security import Security

from .batch import Batch, both
from .conftest import Driver, Writer, processes

Start = Callable[..., Driver]


def listening(pids: set[int]) -> set[str]:
    """Addresses that these processes listen on, from the kernel's own tables."""
    inodes = set()
    for pid in pids:
        done = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True)
        inodes |= set(re.findall(r"socket:\[(\d+)\]", done.stdout))
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for words in map(str.split, Path(table).read_text().splitlines()):
            if len(words) > 9 and words[3] == "0A" and words[9] in inodes:
                found.add(words[1])
    return found


def descendants(pid: int) -> set[int]:
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(a): int(b) for a, b in map(str.split, done.stdout.splitlines())}
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


@both
def test_a_run_listens_on_loopback_only_and_refuses_strangers(
    batch: Batch, campaign: Writer, start: Start
) -> None:
    driver = start(campaign(stop={"evaluations": 10**6}, energy={"seconds": 0.05}))
    driver.wait_until(10)
    nannies = processes("distributed.cli.dask_worker", driver.name)
    assert len(nannies) == len(batch.jobs(driver.name, "running")) > 0
    family = descendants(driver.process.pid).union(*map(descendants, nannies))
    sockets = listening(family)
    assert len(sockets) > len(nannies)
    assert {address for address in sockets if not address.startswith("0100007F:")} == set()

    folder = driver.run / "tls"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

    line = Path(f"/proc/{nannies[0]}/cmdline").read_text().replace("\0", " ")
    address = re.search(r"tls://\S+:\d+", line).group()
    with pytest.raises(OSError, match="."):
        Client(address.replace("tls", "tcp"), timeout=3)
    with pytest.raises((OSError, RuntimeError), match="."):
        Client(address, security=Security.temporary(), timeout=3)
    own = Security(
        tls_ca_file=str(folder / "ca_file.pem"),
        tls_client_cert=str(folder / "cert.pem"),
        tls_client_key=str(folder / "key.pem"),
        require_encryption=True,
    )
    with Client(address, security=own, timeout=60) as client:
        client.wait_for_workers(len(nannies), timeout=120)  # some may still be on their way
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == len(nannies)
        paused = client.run(dask.config.get, "distributed.worker.memory.pause")
        assert set(paused.values()) == {False}  # what Dask is told here has reached the jobs
