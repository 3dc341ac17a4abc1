"""A pool on Dask workers: blocks of candidates, their fates, and a watchdog over all of it.

Blocks last about a second; a candidate that takes longer is a block of its own. A worker that dies
takes its block with it: its halves are tried again until the candidate that kills is alone. It is
given up after two attempts, and nobody else is.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from time import monotonic, sleep
from typing import Any

from htinvert.core import Candidate, Evaluation, UserError
from htinvert.declaration.wording import reason as told
from htinvert.pool.here import Connect, Share, evaluate_packed
from htinvert.pool.inner import ATTEMPTS
from htinvert.pool.parcel import Parcel

LARGEST_BLOCK = 4096
AT_ONCE = 500  # candidates that are asked for and sent together, lest the others wait for them
LOSSES = 5  # jobs that may end under a candidate, for reasons that may not be its own
TOGETHER = 0.05  # s within which the blocks that one worker took with it are heard of
FETCHED = 100  # blocks whose results are asked for together, lest they take longer than ...
FETCH_SECONDS = 30.0  # for results that are ready
NO_WORKER_SECONDS = 60.0
NO_ANSWER_SECONDS = 60.0  # of the scheduler
NO_PROGRESS = 20.0  # times the expected seconds of a block, but at least ...
NO_PROGRESS_SECONDS = 300.0
REBUILDS = 3  # in a row without a result between them


Block = tuple[Candidate, ...]


class DaskPool:
    """Evaluate on the workers of a Dask client; connects anew where that comes to a standstill."""

    def __init__(self, connect: Connect, parcel: Parcel, *, in_flight: int | None = None) -> None:
        self._connect = connect
        self._parcel = parcel
        self._in_flight = in_flight
        self._blocks: dict[str, Block] = {}  # by the future's key
        self._futures: dict[str, Any] = {}
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._keys = count()
        self._kills: Counter[int] = Counter()  # by candidate
        self._losses: Counter[int] = Counter()
        self._part = False  # were those just sent as many as can be sent together?
        self._seconds = 0.0  # running mean of the seconds per candidate
        self._news: list[str] = []
        self._heard = self._answered = self._manned = monotonic()
        self._ping: Any = None
        self._rebuilds = 0
        self._stack = ExitStack()
        self._open()

    def close(self) -> None:
        """Let go of the workers; gives up after half a minute where Dask does not answer."""
        closing = threading.Thread(target=self._stack.close, daemon=True)
        closing.start()
        closing.join(FETCH_SECONDS)

    def room(self) -> int:
        """Candidates that fill the blocks which are missing, or a part of them."""
        if self._in_flight is not None:
            return max(0, self._in_flight - self.busy())
        size = self._block_size()
        missing = max(0, self._blocks_wanted() - len(self._blocks))
        return min(missing, max(1, AT_ONCE // size)) * size

    def busy(self) -> int:
        """Candidates on their way."""
        return sum(map(len, self._blocks.values()))

    def news(self) -> list[str]:
        """What has happened to the workers."""
        news, self._news = self._news, []
        return news

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Send candidates in blocks."""
        self._part = len(candidates) >= AT_ONCE // 2
        size = self._block_size()
        starts = range(0, len(candidates), size)
        self._send([tuple(candidates[start : start + size]) for start in starts])

    def collect(self, timeout: float) -> list[Evaluation]:
        """Take in the blocks that have ended, waiting up to ``timeout`` seconds for the first.

        Raises :class:`UserError` where there are no workers to be had, or none of them makes
        any progress although everything was begun anew.
        """
        self._news += self._connection.tend(self._occupied())
        evaluations: list[Evaluation] = []
        lost: list[tuple[Block, Any]] = []
        if self._part and self.room():  # more are wanted first
            timeout = 0.0
        self._part = False
        for key, share in self._shares(self._ended(timeout)):
            block = self._blocks.pop(key)
            del self._futures[key]
            if isinstance(share, Share):
                evaluations += share.evaluations
                back = {evaluation.candidate.index for evaluation in share.evaluations}
                short = tuple(candidate for candidate in block if candidate.index not in back)
                self._send([short], priority=1)  # of time
            else:
                lost.append((block, share))
        evaluations += self._judge(lost)
        for evaluation in evaluations:
            weight = 0.2 if self._seconds else 1.0
            self._seconds += weight * (evaluation.seconds - self._seconds)
        self._watch(progress=bool(evaluations or lost))
        return evaluations

    def _open(self) -> None:
        self._stack = ExitStack()
        self._connection = self._stack.enter_context(self._connect())
        self._heard = self._answered = self._manned = monotonic()
        self._ping = None

    def _occupied(self) -> int:
        """How many workers have something to do."""
        return min(len(self._blocks), -(-self.busy() // self._connection.inner))

    def _blocks_wanted(self) -> int:
        """Enough blocks for all processes, and one waiting per worker."""
        at_work = -(-self._connection.inner // self._block_size())
        if self._connection.resources:  # Dask queues no tasks that ask for resources
            return at_work * self._connection.workers
        return (at_work + 1) * self._connection.workers

    def _block_size(self) -> int:
        if not self._seconds or self._in_flight is not None:
            return 1
        together = self._connection.inner * self._connection.block_seconds
        return max(1, min(LARGEST_BLOCK, round(together / self._seconds)))

    def _send(self, blocks: Sequence[Block], *, priority: int = 0) -> None:
        """Give blocks to Dask, marked so that it keeps all but one per worker on the scheduler.

        A worker that dies then takes one block with it, not those that wait behind it.
        """
        from dask._task_spec import Task
        from distributed.protocol import pickle

        tasks, keys = {}, []
        for block in filter(None, blocks):
            key = f"evaluate-{os.getpid()}-{id(self)}-{next(self._keys)}"
            arguments = (self._parcel, pickle.dumps(block), self._seconds)
            tasks[key] = Task(key, evaluate_packed, *arguments, _data_producer=True)
            self._blocks[key] = block
            keys.append(key)
        if not keys:
            return
        asked = {"resources": self._connection.resources} if self._connection.resources else {}
        client = self._connection.client
        for future in client.get(tasks, keys, sync=False, priority=priority, **asked):
            self._futures[future.key] = future
            self._tell_when_done(future)

    def _tell_when_done(self, future: Any) -> None:
        done = self._done
        future.add_done_callback(lambda ended: done.put(ended.key))

    def _ended(self, timeout: float) -> list[str]:
        """Keys of the futures that have ended; waits for the first, then takes all others."""
        keys = []
        with suppress(queue.Empty):
            keys.append(self._done.get(timeout=timeout if self._blocks else 0.01))
            while True:
                keys.append(self._done.get_nowait())
        if any(self._futures[key].status != "finished" for key in keys if key in self._futures):
            sleep(TOGETHER)
            with suppress(queue.Empty):
                while True:
                    keys.append(self._done.get_nowait())
        return [key for key in dict.fromkeys(keys) if key in self._futures]

    def _shares(self, keys: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """What came of these blocks: a share, or the exception that took its place."""
        from distributed.protocol import pickle

        ready = {key: self._futures[key] for key in keys if self._futures[key].done()}
        good = [key for key in ready if ready[key].status == "finished"]
        for key in good[FETCHED:]:
            self._done.put(key)
        shares = self._fetch({key: ready[key] for key in good[:FETCHED]}) if good else {}
        later = set(good[FETCHED:])
        for key in (key for key in keys if key not in later):
            future = self._futures[key]
            if key in shares:
                share: Share = pickle.loads(shares[key])
                yield key, share
            elif future.status in ("cancelled", "lost"):
                yield key, None
            elif future.status == "error":
                yield key, future.exception(timeout=FETCH_SECONDS)
            else:  # the worker went between finishing and sending: Dask evaluates it again
                self._tell_when_done(future)

    def _fetch(self, futures: dict[str, Any]) -> dict[str, Any]:
        """Results of finished futures; those are missing that could not be had in time."""
        client = self._connection.client

        async def gather() -> Any:
            found = client.gather(futures, errors="skip", asynchronous=True)
            return await asyncio.wait_for(found, FETCH_SECONDS)

        running = asyncio.run_coroutine_threadsafe(gather(), client.loop.asyncio_loop)
        try:
            gathered = dict(running.result(FETCH_SECONDS + 5.0))
            return {key: share for key, share in gathered.items() if share is not None}
        except (TimeoutError, OSError, KeyError):
            return {}

    def _judge(self, lost: Sequence[tuple[Block, Any]]) -> list[Evaluation]:
        """Blocks that ended without a share: split them, or give a candidate up."""
        together = Counter(_worker(reason) for _, reason in lost)
        given_up: list[Evaluation] = []
        for block, reason in lost:
            if isinstance(reason, UserError):
                raise reason
            half = len(block) // 2
            if reason is None:  # cancelled from outside: nobody's fault
                self._send([block], priority=1)
            elif half:
                self._send([block[:half], block[half:]], priority=1)
            else:
                alone = together[_worker(reason)] == 1
                given_up += self._blame(block[0], reason, alone=alone)
        return given_up

    def _blame(self, candidate: Candidate, reason: Any, *, alone: bool) -> list[Evaluation]:
        """Count a death against the only candidate of a block; after two it is given up."""
        worker, _ = _worker(reason)
        if alone and (not worker or self._connection.survived(worker)):
            self._kills[candidate.index] += 1
        else:
            self._losses[candidate.index] += 1
        kills, losses = self._kills[candidate.index], self._losses[candidate.index]
        if kills < ATTEMPTS and losses < LOSSES:
            self._send([(candidate,)], priority=1)
            return []
        text = f"it died under this candidate {kills} times"
        if kills < ATTEMPTS:
            text = f"{losses} jobs ended under it; it may need more time or memory than a job has"
        cause = f" ({told(reason)})" if isinstance(reason, BaseException) and not worker else ""
        return [Evaluation(candidate, error=f"the worker was lost: {text}{cause}")]

    def _watch(self, *, progress: bool) -> None:
        """Connect anew where the scheduler is silent, workers are gone or nothing moves."""
        now = monotonic()
        if progress or not self._blocks:
            self._heard = now
        if progress:
            self._rebuilds = 0
        if self._connection.alive() or self._connection.waiting():
            self._manned = now
            if not self._connection.alive():
                self._heard = now
        self._ask_for_an_answer(now)
        patience = max(
            NO_PROGRESS_SECONDS,
            NO_PROGRESS * max(self._seconds, self._connection.block_seconds),
        )
        if now - self._answered > NO_ANSWER_SECONDS:
            self._rebuild(f"the scheduler has not answered for {now - self._answered:.0f} s")
        elif now - self._manned > NO_WORKER_SECONDS:
            self._rebuild(f"no worker has been alive for {now - self._manned:.0f} s")
        elif now - self._heard > patience:
            if self._seconds:
                self._rebuild(f"no candidate has ended for {now - self._heard:.0f} s")
            else:
                self._heard = now
                self._news.append(f"no candidate has ended yet after {patience:.0f} s; waiting")

    def _ask_for_an_answer(self, now: float) -> None:
        """Ping the scheduler every few seconds without waiting for it."""
        if self._ping is not None and self._ping.done():
            if self._ping.exception() is None:
                self._answered = now
            self._ping = None
        if self._ping is None and now - self._answered > NO_ANSWER_SECONDS / 30:
            client = self._connection.client

            async def ping() -> None:
                await asyncio.wait_for(client.scheduler.identity(n_workers=0), FETCH_SECONDS)

            self._ping = asyncio.run_coroutine_threadsafe(ping(), client.loop.asyncio_loop)

    def _rebuild(self, reason: str) -> None:
        """Close everything, connect anew, and send again what has not come back."""
        self._rebuilds += 1
        if self._rebuilds > REBUILDS:
            raise UserError(
                f"{reason}, also after {REBUILDS} new beginnings; what is committed is safe: look "
                "for lack of memory, set energy.limits.seconds, then start the same command again"
            )
        self._news.append(
            f"{reason}: starting workers anew; candidates on their way are sent again"
        )
        blocks = list(self._blocks.values())
        self._blocks.clear()
        self._futures.clear()
        self.close()
        self._open()
        self._send(blocks)


def _worker(reason: Any) -> tuple[str, str]:
    """Name and address of the worker that was lost, empty where a block failed otherwise.

    A worker that begins anew in the same job keeps its name and has another address.
    """
    from distributed import KilledWorker

    if not isinstance(reason, KilledWorker):
        return "", ""
    return str(reason.last_worker.name), str(reason.last_worker.address)
