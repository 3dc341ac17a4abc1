"""The batch systems of these tests: how each is brought up, and its words for jobs in the queue."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MISSING = 3  # what `up` ends with where the batch system is not installed


@dataclass(frozen=True)
class Batch:
    """A private batch system on loopback.

    Attributes:
        name: of its folder in deploy/, and of its profile.
        system: what a site file calls it.
        sizes: what its `up` is told: nodes or slots.
        ports: how many ports it takes in a row.
        cancel: its command for that.
        submit: how a job that sleeps is sent, without its name.
    """

    name: str
    system: str
    sizes: int
    ports: int
    cancel: str
    submit: Sequence[str]

    @property
    def site(self) -> Path:
        """The profile that deploy/ has for it."""
        return DEPLOY / "sites" / f"private-{self.name}.yaml"

    def jobs(self, name: str, state: str = "") -> list[str]:
        """Ids of the jobs of this name that are in the queue."""
        if self.system == "slurm":
            return words("squeue", "-h", "-n", name, "-o", "%A", *(["-t", state] if state else []))
        found = ElementTree.fromstring(output("qstat", "-xml", "-u", "*"))  # noqa: S314
        return [
            str(job.findtext("JB_job_number"))
            for job in found.iter("job_list")
            if job.findtext("JB_name") == name
            and (not state or (state == job.get("state") and "d" not in str(job.findtext("state"))))
        ]

    def stop(self, *jobs: str) -> None:
        """Cancel jobs."""
        subprocess.run([self.cancel, *jobs], check=True, stdout=subprocess.DEVNULL)

    def send(self, name: str) -> None:
        """Send a job of this name that sleeps for ten minutes."""
        named = [word.format(name=name) for word in self.submit]
        subprocess.run(named, check=True, capture_output=True, input="sleep 600\n", text=True)

    def none_left(self, name: str, seconds: float = 60) -> bool:
        """Whether the queue holds nothing of a run any more, before long."""
        end = time.monotonic() + seconds
        while self.jobs(name):
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        return True

    @contextmanager
    def brought_up(self, folder: Path) -> Iterator[None]:
        """Bring it up; commands of it then speak to it. Skips where it is not installed."""
        place = DEPLOY / self.name
        up = [place / "up", folder, str(self.sizes), str(free_ports(self.ports))]
        done = subprocess.run(up, capture_output=True, text=True, check=False, timeout=60)
        required = os.environ.get(f"HTINVERT_REQUIRE_{self.name.upper()}") == "1"
        if done.returncode == MISSING and not required:
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
        with pytest.MonkeyPatch.context() as patch:
            for line in (folder / "env.sh").read_text().splitlines():
                for setting in line.removeprefix("export ").split():
                    key, _, value = setting.partition("=")
                    patch.setenv(key, value.strip("'"))
            try:
                yield
            finally:
                subprocess.run([place / "down", folder], check=True, timeout=60)


SLURM = Batch(
    "slurm",
    "slurm",
    sizes=4,
    ports=5,
    cancel="scancel",
    submit=("sbatch", "--job-name={name}", "--mem=10", "--output=/dev/null", "--wrap=sleep 600"),
)
GRID_ENGINE = Batch(
    "gridengine",
    "sge",
    sizes=4,
    ports=2,
    cancel="qdel",
    submit=("qsub", "-N", "{name}", "-S", "/bin/sh", "-j", "y", "-o", "/dev/null"),
)


def _for(*batches: Batch) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("batch", batches, indirect=True, ids=lambda b: b.name)


both = _for(SLURM, GRID_ENGINE)
only_grid_engine = _for(GRID_ENGINE)


def output(*command: str) -> str:
    """What a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def words(*command: str) -> list[str]:
    """The words that a command prints."""
    return output(*command).split()


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on; not those of another process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for first in range(17000 + 5000 * (worker % 2) + os.getpid() % 1000, 30000, count):
        with_listener = []
        for port in range(first, first + count):
            with socket.socket() as probe:
                with_listener.append(probe.connect_ex(("127.0.0.1", port)) == 0)
        if not any(with_listener):
            return first
    raise RuntimeError("no free ports")
