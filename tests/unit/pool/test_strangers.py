"""Who can reach the workers of a local campaign: the user who started it, nobody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from distributed import LocalCluster

from htinvert.pool.workers import local_workers

ATTACK = """
import os, sys
from distributed import Client
from distributed.security import Security

def tried(address, security):
    try:
        with Client(address, security=security, timeout="1s") as client:
            return f"ran as {client.submit(os.getuid).result(timeout=10)}"
    except Exception as error:
        return f"refused: {error}"

own = Security.temporary()
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
for port in sys.argv[1:]:
    print(tried(f"tcp://127.0.0.1:{port}", None))
    print(tried(f"tls://127.0.0.1:{port}", own))
"""

as_another_user = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


def attacked(*addresses: str) -> list[str]:
    """What another user of this machine gets by plain TCP, and with certificates of his own."""
    ports = [address.rpartition(":")[2] for address in addresses]
    command = [sys.executable, "-c", ATTACK, *ports]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@as_another_user
def test_another_user_of_this_machine_can_run_nothing() -> None:
    with local_workers(1) as (cluster, client):
        (nanny,) = cluster.workers.values()  # which would start programs, too
        answers = attacked(cluster.scheduler_address, nanny.address, nanny.worker_address)
        assert len(answers) == 6 and all(answer.startswith("refused: ") for answer in answers)
        assert client.submit(os.getuid).result() == 0
        for file in ("cmdline", "environ"):
            said = client.submit(Path.read_bytes, Path(f"/proc/self/{file}")).result()
            assert said and b"PRIVATE KEY" not in said


@as_another_user
def test_that_attack_works_where_nothing_is_done_about_it() -> None:
    """Else the test above would say nothing."""
    with LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        assert attacked(cluster.scheduler_address)[0] == "ran as 0"
