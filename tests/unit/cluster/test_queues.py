"""The queue's answers, as each batch system's manual shows them, and commands that fail."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from htinvert.cluster.queues import (
    QueueError,
    call,
    cancel,
    jobs_of,
    read_htcondor,
    read_lsf,
    read_oar,
    read_pbs,
    read_sge,
    read_slurm,
)

RUN = "hti-00000000"


def test_slurm() -> None:
    text = "11 RUNNING\n12 PENDING\n13 COMPLETING\n"
    assert read_slurm(text, RUN) == {"11": "running", "12": "pending", "13": "leaving"}


def test_pbs() -> None:
    """`qstat -f -F json` of OpenPBS 20; Torque has no JSON."""
    jobs = {
        "11.server": {"Job_Name": RUN, "job_state": "R"},
        "12.server": {"Job_Name": RUN, "job_state": "Q"},
        "13.server": {"Job_Name": RUN, "job_state": "F"},
        "14.server": {"Job_Name": "another", "job_state": "R"},
    }
    text = json.dumps({"pbs_version": "20.0.1", "Jobs": jobs})
    assert read_pbs(text, RUN) == {"11": "running", "12": "pending"}
    assert read_pbs("", RUN) == {}


def test_grid_engine() -> None:
    states = ["r", "qw", "dr", "Rr", "Eqw", "t", "S", "hqw"]
    rows = [(str(job), RUN, state) for job, state in enumerate(states, 11)]
    rows.append(("19", "another", "r"))
    text = "".join(
        f"<job_list><JB_job_number>{job}</JB_job_number><JB_name>{name}</JB_name>"
        f"<state>{state}</state></job_list>"
        for job, name, state in rows
    )
    found = read_sge(f"<job_info><queue_info>{text}</queue_info></job_info>", RUN)
    words = ["running", "pending", "leaving", "running", "broken", "pending", "pending", "pending"]
    assert found == {str(job): word for job, word in enumerate(words, 11)}


def test_a_broken_answer_of_grid_engine_is_not_an_empty_queue() -> None:
    with pytest.raises(ValueError, match="qstat's XML is broken"):
        read_sge("<?xml version='1.0'?><job_info><queue_", RUN)


def test_lsf() -> None:
    text = "11 RUN\n12 PEND\n13 EXIT\n"
    assert read_lsf(text, RUN) == {"11": "running", "12": "pending"}
    assert read_lsf(f"Job <{RUN}> is not found\n", RUN) == {}


def test_oar() -> None:
    jobs = {
        "11": {"name": RUN, "state": "Running"},
        "12": {"name": RUN, "state": "Waiting"},
        "13": {"name": RUN, "state": "Terminated"},
        "14": {"name": None, "state": "Running"},
    }
    assert read_oar(json.dumps(jobs), RUN) == {"11": "running", "12": "pending"}


def test_htcondor() -> None:
    text = f"11 2 {RUN}-1\n12 1 {RUN}-2\n13 2 another\n"
    assert read_htcondor(text, RUN) == {"11.0": "running", "12.0": "pending"}


def program(folder: Path, name: str, line: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_the_listing_asks_for_this_run_and_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "squeue", 'echo "$@" > asked; echo 7 RUNNING')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LOGNAME", "ada")
    monkeypatch.chdir(tmp_path)
    assert asyncio.run(jobs_of("slurm", RUN)) == {"7": "running"}
    assert (tmp_path / "asked").read_text().split() == f"-h -n {RUN} -u ada -o %A %T".split()


def test_jobs_are_canceled_in_one_call_and_a_gone_one_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "qdel", 'echo "$@" >> asked; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    asyncio.run(cancel("pbs", ["7", "8"]))
    asyncio.run(cancel("pbs", []))
    assert (tmp_path / "asked").read_text() == "7 8\n"


def test_a_failing_command_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "squeue", 'echo "squeue: error: no luck" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(QueueError, match="squeue: error: no luck"):
        asyncio.run(call("squeue"))


def test_a_missing_command_is_named() -> None:
    with pytest.raises(QueueError, match="no-such-command cannot be run here"):
        asyncio.run(call("no-such-command"))


def test_a_hanging_command_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("htinvert.cluster.queues.LISTING_SECONDS", 0.1)
    with pytest.raises(QueueError, match=r"sleep has not answered for"):
        asyncio.run(call("sleep", "60"))
