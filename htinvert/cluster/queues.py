"""What is in the queue: each batch system's own words for listing and canceling jobs by name."""

from __future__ import annotations

import asyncio
import getpass
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from xml.etree import ElementTree

LISTING_SECONDS = 60.0  # a busy batch system may take its time

Jobs = dict[str, str]  # job's id -> "pending", "running", "leaving", or "broken": it will not begin


class QueueError(Exception):
    """A command of the batch system failed; the message is in its own words."""


async def call(*command: str) -> str:
    """What a command prints. Raises :class:`QueueError` where it fails, is missing or hangs."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise QueueError(f"{command[0]} cannot be run here ({error.strerror})") from error
    try:
        out, err = await asyncio.wait_for(process.communicate(), LISTING_SECONDS)
    except TimeoutError as error:
        with suppress(ProcessLookupError):
            process.kill()
            await process.wait()
        raise QueueError(f"{command[0]} has not answered for {LISTING_SECONDS:.0f} s") from error
    if process.returncode:
        words = " ".join((err or out).decode(errors="replace").split())
        raise QueueError(f"{command[0]}: {words or f'exit code {process.returncode}'}")
    return out.decode(errors="replace")


async def jobs_of(system: str, run: str) -> Jobs:
    """Jobs in the queue that bear the name of a run. Raises :class:`QueueError`."""
    command, read = _LISTINGS[system]
    return read(
        await call(*(word.format(run=run, user=getpass.getuser()) for word in command)), run
    )


async def cancel(system: str, jobs: Sequence[str]) -> None:
    """Cancel jobs; those that have gone by themselves are no error."""
    if jobs:
        with suppress(QueueError):
            await call(_CANCEL[system], *jobs)


async def why_broken(system: str, job: str) -> str:
    """Why a job will never begin, in the batch system's own words; empty where it does not say."""
    if system != "sge":
        return ""
    try:
        text = await call("qstat", "-j", job)
    except QueueError:
        return ""
    stamp = r"[\d/]+ [\d:]+ \[[\d:]+\]: "
    found = re.search(rf"^error reason[^:]*: *(?:{stamp})?(?:error: )?(.*)", text, re.MULTILINE)
    return found[1] if found else ""


def _state(word: str, pending: str, running: str) -> str:
    if word in pending.split():
        return "pending"
    return "running" if word in running.split() else "leaving"


def read_slurm(text: str, run: str) -> Jobs:  # noqa: ARG001  (the readers' shared form)
    """Lines of job id and state."""
    rows = (line.split() for line in text.splitlines() if line.strip())
    return {
        job: _state(state, "PENDING CONFIGURING REQUEUED SUSPENDED", "RUNNING")
        for job, state in rows
    }


def read_pbs(text: str, run: str) -> Jobs:
    """The JSON of OpenPBS and PBS Pro; names of jobs are cut to what PBS keeps of them."""
    jobs = json.loads(text or "{}").get("Jobs", {})
    return {
        job.partition(".")[0]: _state(facts["job_state"], "Q H W T S", "R B")
        for job, facts in jobs.items()
        if facts.get("Job_Name") == run and facts["job_state"] not in "FX"
    }


def read_sge(text: str, run: str) -> Jobs:
    """The XML of Grid Engine's qstat; a state is letters, each with a meaning of its own."""
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  (our own qstat)
    except ElementTree.ParseError as error:
        raise ValueError(f"qstat's XML is broken: {error}") from error
    words = {"d": "leaving", "E": "broken", "s": "pending", "S": "pending", "r": "running"}
    found = {}
    for job in root.iter("job_list"):
        if job.findtext("JB_name") == run:
            state = job.findtext("state") or ""
            known = [word for letter, word in words.items() if letter in state]
            found[job.findtext("JB_job_number") or ""] = (known or ["pending"])[0]
    return found


def read_lsf(text: str, run: str) -> Jobs:  # noqa: ARG001
    """Lines of job id and state."""
    rows = (line.split() for line in text.splitlines() if re.match(r"\s*\d+\s+\w+", line))
    states = {row[0]: _state(row[1], "PEND PSUSP PROV WAIT", "RUN USUSP SSUSP") for row in rows}
    return {job: state for job, state in states.items() if state != "leaving"}


def read_oar(text: str, run: str) -> Jobs:
    """The JSON of oarstat."""
    jobs = json.loads(text) if text.strip() else {}
    return {
        str(job): _state(facts["state"], "Waiting Hold toLaunch toAckReservation", "Running")
        for job, facts in jobs.items()
        if facts.get("name") == run and facts["state"] not in ("Terminated", "Error")
    }


def read_htcondor(text: str, run: str) -> Jobs:
    """Lines of cluster id, state (1 idle, 2 running, 5 held) and batch name."""
    rows = (line.split(maxsplit=2) for line in text.splitlines() if line.strip())
    return {
        f"{cluster}.0": _state(state, "1 5 7", "2 6")
        for cluster, state, name in rows
        if name.startswith(run)
    }


_LISTINGS: dict[str, tuple[Sequence[str], Callable[[str, str], Jobs]]] = {
    "slurm": (("squeue", "-h", "-n", "{run}", "-u", "{user}", "-o", "%A %T"), read_slurm),
    "pbs": (("qstat", "-f", "-F", "json"), read_pbs),
    "sge": (("qstat", "-xml", "-u", "{user}"), read_sge),
    "lsf": (("bjobs", "-noheader", "-J", "{run}", "-o", "jobid stat"), read_lsf),
    "oar": (("oarstat", "-u", "{user}", "-J"), read_oar),
    "htcondor": (
        ("condor_q", "{user}", "-af", "ClusterId", "JobStatus", "JobBatchName"),
        read_htcondor,
    ),
}
_CANCEL = {
    "slurm": "scancel",
    "pbs": "qdel",
    "sge": "qdel",
    "lsf": "bkill",
    "oar": "oardel",
    "htcondor": "condor_rm",
}
