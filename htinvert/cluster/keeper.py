"""The keeper: as many jobs in the queue as there should be, and no others.

dask-jobqueue writes the job scripts and submits them, but replaces no job that is lost. The keeper
looks at the queue every few seconds, sends what is missing, cancels what an earlier driver of the
same run has left, and stops where jobs end again and again before a worker of theirs arrives.
It lives in the event loop of the scheduler, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from htinvert.cluster.queues import Jobs, QueueError, cancel, jobs_of, why_broken
from htinvert.cluster.site import Site
from htinvert.core import UserError

GRACE = 10.0  # s after which a job that was sent must be in the queue's listing
SHRINK_AFTER = 30.0  # s without work for them before jobs are given back
SILENCE = 600.0  # s after which is said again that jobs wait in the queue
DEAF = 5  # listings in a row that may fail before that is said


@dataclass
class Sent:
    """A job that was sent: dask-jobqueue's object, when [s], and whether its worker has come."""

    job: Any
    since: float
    arrived: bool = False


class Keeper:
    """Keeps ``most`` jobs of a run in the queue; see the module's docstring.

    Args:
        site: the cluster's profile.
        run: the jobs' name, the same whenever this run is resumed.
        most: how many jobs there should be.
        scheduler: Dask's scheduler, in this process.
        address: where jobs find it.
        folder: where job scripts' logs go.
        security: of the job scripts, with paths of certificates.
    """

    def __init__(
        self,
        site: Site,
        run: str,
        *,
        most: int,
        scheduler: Any,
        address: str,
        folder: Path,
        security: Any,
    ) -> None:
        self.site, self.run, self.most = site, run, most
        self.wanted = most
        self.trouble: UserError | None = None
        self.news: list[str] = []
        self._scheduler, self._address = scheduler, address
        self._folder, self._security = folder, security
        self._sent: dict[str, Sent] = {}
        self._listed: Jobs = {}
        self._number = 0
        self._fruitless = 0  # jobs in a row that ended before a worker came
        self._ever = False  # has any worker come?
        self._deaf = 0
        self._enough_since = monotonic()
        self._said_waiting = monotonic()
        self._closing = False

    async def start(self) -> None:
        """Cancel what an earlier driver left, send the first jobs, and go on in the background."""
        strays = [job for job, state in (await self._list() or {}).items() if state != "leaving"]
        if strays:
            self.news.append(f"canceled {_jobs(strays)} that an earlier driver of this run left")
            await cancel(self.site.system, strays)
        await self._fill()
        self._loop = asyncio.ensure_future(self._keep())

    async def close(self) -> None:
        """Cancel all jobs of the run."""
        self._closing = True
        self._loop.cancel()
        with suppress(asyncio.CancelledError):
            await self._loop
        await cancel(self.site.system, list(self._sent))
        left = [job for job in await self._list() or () if job not in self._sent]
        await cancel(self.site.system, left)

    def alive(self) -> int:
        """How many workers there are."""
        return len(self._scheduler.workers)

    def waiting(self) -> bool:
        """Whether workers are still to come: of jobs that wait, or that have just begun."""
        return any(not sent.arrived for sent in self._sent.values())

    def useful(self, blocks: int) -> None:
        """Say how many blocks of candidates there are, so that no job waits for work."""
        least = self.site.terms.least
        if least is None:
            return
        wanted = min(self.most, max(least, math.ceil(blocks / self.site.processes)))
        now = monotonic()
        if wanted >= self.wanted:
            self.wanted, self._enough_since = wanted, now
        elif now - self._enough_since > SHRINK_AFTER:
            self.wanted = wanted

    async def survived(self, worker: str) -> bool:
        """Whether the job of a worker that died goes on, so that its process alone was lost."""
        jobs = await self._list()
        owners = [j for j, sent in self._sent.items() if _belongs(worker, sent.job.name)]
        return jobs is not None and any(jobs.get(owner) == "running" for owner in owners)

    async def _keep(self) -> None:
        try:
            while not self._closing and self.trouble is None:
                await asyncio.sleep(self.site.terms.interval)
                await self.look()
        except Exception as error:  # whoever waits for jobs must hear of it
            self.trouble = UserError(f"the jobs are not looked after any more: {error!r}")
            raise

    async def look(self) -> None:
        """Compare with the queue once, and put right what differs."""
        jobs = await self._list()
        if jobs is None:
            return
        self._meet()
        ended = [
            job
            for job, sent in self._sent.items()
            if job not in jobs and monotonic() - sent.since > GRACE
        ]
        for job in ended:
            self._bury(job, last_words(self._folder / "logs", job))
        await self._put_away(jobs)
        if self.trouble is None:
            await self._shrink()
            await self._fill()
        self._say_waiting()

    async def _list(self) -> Jobs | None:
        """The run's jobs in the queue, or None where the batch system does not say."""
        try:
            self._listed = await jobs_of(self.site.system, self.run)
        except (QueueError, ValueError, KeyError) as error:
            self._deaf += 1
            if self._deaf % DEAF == 1:
                self.news.append(f"the queue cannot be listed: {error}; trying again")
            return None
        self._deaf = 0
        return self._listed

    def _meet(self) -> None:
        """Note whose workers have come."""
        here = [str(worker.name) for worker in self._scheduler.workers.values()]
        for sent in self._sent.values():
            if not sent.arrived and any(_belongs(name, sent.job.name) for name in here):
                sent.arrived = self._ever = True
                self._fruitless = 0

    async def _put_away(self, jobs: Jobs) -> None:
        """Cancel jobs that stay in the queue and will never begin."""
        broken = [job for job in self._sent if jobs.get(job) == "broken"]
        for job in broken:
            self._bury(job, await why_broken(self.site.system, job) or "its node cannot begin it")
        await cancel(self.site.system, broken)

    def _bury(self, job: str, reason: str) -> None:
        """A job has ended without having been asked to."""
        sent = self._sent.pop(job)
        if sent.arrived:
            self.news.append(f"job {job} has ended; sending another")
            return
        self._fruitless += 1
        if "timed out" in reason.lower() or "TimeoutError" in reason:
            network = self.site.settings.get("interface")
            reason += (
                f" (its node did not reach {self._address}: is {network} a network that it shares "
                "with this machine?)"
            )
        self.news.append(f"job {job} ended before a worker of it arrived: {reason}")
        budget = (
            self.site.terms.failures if self._ever else min(self.most, self.site.terms.failures)
        )
        if self._fruitless >= budget:
            self.trouble = UserError(
                f"{self._fruitless} job(s) in a row ended before a worker arrived at "
                f"{self._address}; the last one, {job}, said: {reason}"
            )

    async def _fill(self) -> None:
        """Send as many jobs as are missing."""
        for _ in range(self.wanted - len(self._sent)):
            self._number += 1
            name = f"{self.run}-{self._number}"
            job = self.site.job(
                self._address, name, self._folder, run=self.run, security=self._security
            )
            try:
                identifier = await submit(job)
            except QueueError as error:
                if not self._sent:
                    self.trouble = UserError(f"the batch system refused a job: {error}")
                else:
                    self.news.append(f"a job was refused: {error}; trying again")
                return
            self._sent[identifier] = Sent(job, monotonic())

    async def _shrink(self) -> None:
        """Give back jobs that are too many: waiting ones first, then those without work."""
        many = len(self._sent) - self.wanted
        if many <= 0:
            return
        pending = [job for job in self._sent if self._listed.get(job) == "pending"]
        busy = [
            str(worker.name) for worker in self._scheduler.workers.values() if worker.processing
        ]
        idle = [
            job
            for job, sent in self._sent.items()
            if sent.arrived and not any(_belongs(name, sent.job.name) for name in busy)
        ]
        spare = [*pending, *idle][:many]
        for job in spare:
            del self._sent[job]
        if spare:
            self.news.append(f"gave {_jobs(spare)} back: there is not enough to do")
            await cancel(self.site.system, spare)

    def _say_waiting(self) -> None:
        now = monotonic()
        if self._scheduler.workers:
            self._said_waiting = now
        elif now - self._said_waiting > SILENCE:
            self._said_waiting = now
            pending = [job for job, state in self._listed.items() if state == "pending"]
            self.news.append(f"{_jobs(pending)} waiting in the queue")


async def submit(job: Any) -> str:
    """Send a job of dask-jobqueue's; returns its id. Raises :class:`QueueError`."""
    try:
        with job.job_file() as script:
            text = await job._submit_job(script)
            return str(job._job_id_from_submit_output(text))
    except OSError as error:
        raise QueueError(f"{job.submit_command} cannot be run here ({error.strerror})") from error
    except (RuntimeError, ValueError) as error:
        words = str(error).partition("stderr:")[2] or str(error)
        raise QueueError(" ".join(words.split())) from error


def last_words(logs: Path, job: str) -> str:
    """What a job's log ends with: the last error of it, or its last line."""
    bearing = re.compile(rf"(?<!\d){re.escape(job.partition('.')[0])}(?!\d)")
    files = sorted(
        path
        for path in (logs.iterdir() if logs.is_dir() else ())
        if path.is_file() and bearing.search(re.sub(r"^hti-[0-9a-f]{8}(?!\w)", "", path.name))
    )
    lines = [
        line.strip()
        for path in files
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
        if line.strip() and " - INFO - End worker" not in line
    ]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    told = [line for line in lines if "Error" in line or "error:" in line]
    last = (raised or told or lines or [f"nothing; it has no log in {logs}"])[-1]
    return re.sub(r"^[-\d]+ [:,\d]+ - ", "", last)[:300]


def _belongs(worker: str, job: str) -> bool:
    """Whether a worker is one of a job's: it bears the job's name, or one with a number behind."""
    return worker == job or (worker.startswith(f"{job}-") and worker[len(job) + 1 :].isdigit())


def _jobs(jobs: list[str]) -> str:
    return f"{len(jobs)} job{'s' if len(jobs) != 1 else ''}"
