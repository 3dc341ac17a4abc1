"""What goes wrong at a site is said in one sentence, in the batch system's own words."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from .batch import Batch, both, only_grid_engine
from .conftest import Writer, environment, run_name

DEATH_TIMEOUT = 4  # s that workers look for the driver here


def refused(batch: Batch, path: Path, *arguments: str) -> str:
    """What `htinvert run` says of a mistake; nothing may be left in the queue."""
    done = subprocess.run(
        ["htinvert", "run", path.name, *arguments],
        cwd=path.parent,
        env=environment(path.parent),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert batch.none_left(run_name(path.parent / "runs" / path.stem), 20)
    return lines[0]


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"queue": "nosuch"}, "the batch system refused a job: sbatch: error: invalid partition"),
        ({"memory": "9000GiB"}, "the batch system refused a job: sbatch: error:"),
        ({"interface": "ib7"}, "this machine has no network interface ib7"),
        ({"queu": "batch"}, "site.yaml: jobqueue.slurm.queu is unknown; did you mean queue?"),
    ],
    ids=["queue", "memory", "interface", "key"],
)
def test_what_the_site_cannot_do_is_said(
    batch: Batch, campaign: Writer, site: dict[str, Any], words: str
) -> None:
    assert words in refused(batch, campaign(site=site))


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ({"queue": "nosuch"}, 'the batch system refused a job: Unable to run job: .* "nosuch"'),
        ({"resource-spec": "num_proc=4000"}, "the batch system refused a job: .*no suitable queue"),
        (
            {"job-extra-directives": ["-o /nowhere/at/all/"]},
            'before a worker arrived at .* said: can\'t open output file "/nowhere/at/all/"',
        ),
    ],
    ids=["queue", "resources", "log"],
)
@only_grid_engine
def test_what_grid_engine_cannot_do_is_said(
    batch: Batch, campaign: Writer, site: dict[str, Any], words: str
) -> None:
    """The last of these stays in its queue in an error state, which no other batch system has."""
    assert re.search(words, refused(batch, campaign(site=site)))


def test_an_unknown_profile_is_named(batch: Batch, campaign: Writer) -> None:
    assert "cluster slrum is unknown; did you mean slurm?" in refused(
        batch, campaign(), "--cluster", "slrum"
    )


@both
def test_a_node_that_cannot_reach_the_driver_is_named_in_time(
    batch: Batch, campaign: Writer, tmp_path: Path
) -> None:
    """The interpreter of the jobs sends their workers to a port where nobody listens."""
    python = script(
        tmp_path, f'exec {sys.executable} $(echo "$@" | sed "s/127.0.0.1:[0-9]* /127.0.0.1:9 /")'
    )
    begun = time.monotonic()
    said = refused(batch, campaign(site={"python": python, "death-timeout": DEATH_TIMEOUT}))
    assert time.monotonic() - begun < 60 + DEATH_TIMEOUT
    assert "ended before a worker arrived at tls://127.0.0.1:" in said
    assert "is lo a network that it shares with this machine?" in said


@both
def test_certificates_that_a_node_cannot_read_are_named(
    batch: Batch, campaign: Writer, tmp_path: Path
) -> None:
    python = script(tmp_path, f'exec {sys.executable} $(echo "$@" | sed "s/key.pem/nothing.pem/")')
    said = refused(batch, campaign(site={"python": python, "death-timeout": DEATH_TIMEOUT}))
    assert "ended before a worker arrived" in said
    assert "nothing.pem" in said or "No such file" in said


@both
def test_jobs_of_an_earlier_driver_are_canceled(
    batch: Batch, campaign: Writer, tmp_path: Path
) -> None:
    path = campaign(stop={"evaluations": 5})
    name = run_name(tmp_path / "runs" / "box")
    batch.send(name)
    assert len(batch.jobs(name)) == 1
    done = subprocess.run(
        ["htinvert", "run", path.name],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "canceled 1 job that an earlier driver of this run left" in done.stdout
    assert batch.none_left(name)


def script(folder: Path, line: str) -> str:
    """A program of one line; its path."""
    path = folder / "interpreter"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return os.fspath(path)
