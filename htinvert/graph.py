"""Evaluate blocks of candidates on Dask workers, or in the calling process.

A pool takes candidates and gives evaluations back in whatever order they end: there is no barrier.
The recipe travels to each worker once, also to one that is started later. A worker that dies takes
its block with it; the block is then tried again candidate by candidate, and what kills a worker
again is a failure with a reason.
"""

from __future__ import annotations

import logging
import signal
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Protocol

from htinvert.core import Candidate, Evaluation, Recipe, UserError
from htinvert.evaluate import evaluate

BLOCK_SECONDS = 0.5  # a block should keep a worker busy for about so long
LARGEST_BLOCK = 32
BLOCKS_PER_WORKER = 2  # one at work, one waiting
ALLOWED_FAILURES = 1  # worker deaths that Dask itself forgives before it gives a block back
NO_WORKER_SECONDS = 60.0


class Pool(Protocol):
    """Where candidates are evaluated."""

    def room(self) -> int:
        """How many candidates can be taken now without anyone waiting for long."""
        ...

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Take candidates in."""
        ...

    def collect(self, timeout: float) -> list[Evaluation]:
        """Evaluations that have ended, after at most ``timeout`` seconds; may be none."""
        ...

    def busy(self) -> int:
        """How many candidates were taken in and have not come back."""
        ...


@contextmanager
def open_pool(workers: int, recipe: Recipe) -> Iterator[Pool]:
    """Start ``workers`` processes on this machine, or none and evaluate in this process."""
    if workers == 0:
        yield HerePool(recipe)
        return
    with _local_client(workers) as client:
        yield DaskPool(client, workers, recipe)


_held: list[Recipe] = []  # in a worker: the recipe of its campaign


def hold(recipe: Recipe) -> None:
    """Keep the campaign's recipe in this worker process."""
    _held[:] = [recipe]


def evaluate_block(candidates: Sequence[Candidate]) -> list[Evaluation]:
    """Evaluate candidates one after the other under the recipe that this worker holds."""
    return [evaluate(candidate, _held[0]) for candidate in candidates]


class HerePool:
    """Evaluate in the calling process, one candidate at a time; for debugging."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._waiting: deque[Candidate] = deque()

    def room(self) -> int:
        """One candidate at a time, so that each child can learn from the one before."""
        return 1 - len(self._waiting)

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Put candidates in line."""
        self._waiting.extend(candidates)

    def collect(self, timeout: float) -> list[Evaluation]:  # noqa: ARG002  (the pools' shared form)
        """Evaluate the next in line."""
        return [evaluate(self._waiting.popleft(), self._recipe)] if self._waiting else []

    def busy(self) -> int:
        """How many wait in line."""
        return len(self._waiting)


class DaskPool:
    """Evaluate on the workers of a Dask client, in blocks that last about half a second."""

    def __init__(self, client: Any, workers: int, recipe: Recipe) -> None:
        self._client = client
        self._workers = workers
        client.register_plugin(_carrier(recipe))
        self._blocks: dict[Any, Sequence[Candidate]] = {}  # future -> what it evaluates
        self._seconds = 0.0  # running mean of the seconds per candidate
        self._heard = monotonic()

    def room(self) -> int:
        """Candidates that fill the blocks which are missing."""
        return (BLOCKS_PER_WORKER * self._workers - len(self._blocks)) * self._block_size()

    def busy(self) -> int:
        """Candidates on their way."""
        return sum(map(len, self._blocks.values()))

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Send candidates in blocks."""
        size = self._block_size()
        for start in range(0, len(candidates), size):
            self._send(candidates[start : start + size])

    def collect(self, timeout: float) -> list[Evaluation]:
        """Take in the blocks that have ended, waiting up to ``timeout`` seconds for the first.

        Raises :class:`UserError` where no worker has been alive for a minute.
        """
        evaluations: list[Evaluation] = []
        for future in self._ended(timeout):
            block = self._blocks.pop(future)
            try:
                evaluations += future.result()
            except Exception as death:  # also where a worker dies between finishing and sending
                evaluations += self._lost(block, death)
            future.release()
        for evaluation in evaluations:
            weight = 0.2 if self._seconds else 1.0
            self._seconds += weight * (evaluation.seconds - self._seconds)
        return evaluations

    def _block_size(self) -> int:
        if not self._seconds:
            return 1
        return max(1, min(LARGEST_BLOCK, round(BLOCK_SECONDS / self._seconds)))

    def _send(self, block: Sequence[Candidate]) -> None:
        future = self._client.submit(evaluate_block, list(block), pure=False)
        self._blocks[future] = block

    def _ended(self, timeout: float) -> list[Any]:
        """Futures that have ended; waits for the first, then takes all others that are ready."""
        from distributed import wait

        if not self._blocks:
            return []
        with suppress(TimeoutError):
            wait(list(self._blocks), timeout=timeout, return_when="FIRST_COMPLETED")
        ended = [future for future in self._blocks if future.done()]
        if ended or self._client.scheduler_info(n_workers=-1)["workers"]:
            self._heard = monotonic()
        elif monotonic() - self._heard > NO_WORKER_SECONDS:
            raise UserError(
                f"no worker has been alive for {NO_WORKER_SECONDS:.0f} s; what is committed is "
                "safe: start the same command again, or look for lack of memory"
            )
        return ended

    def _lost(self, block: Sequence[Candidate], death: Exception) -> list[Evaluation]:
        """A block that took its worker down: try its candidates one by one, or give one up."""
        if len(block) > 1:
            for candidate in block:
                self._send([candidate])
            return []
        reason = f"the worker was lost: {' '.join(str(death).split())}"
        return [Evaluation(block[0], error=reason)]


def _carrier(recipe: Recipe) -> Any:
    """A plugin that brings the recipe to every worker, those included that replace a dead one.

    Scattered data would be lost with the workers that hold it.
    """
    from distributed import WorkerPlugin

    class Carrier(WorkerPlugin):
        """Hands the recipe to the process of a worker."""

        name = "htinvert-recipe"

        def setup(self, worker: Any) -> None:  # noqa: ARG002  (the form that Dask asks for)
            """Run on each worker when it starts; a Ctrl-C is for the driver alone."""
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            hold(recipe)

    return Carrier()


@contextmanager
def _local_client(workers: int) -> Iterator[Any]:
    """A cluster on this machine: loopback only, no dashboard, one thread per worker process."""
    import dask
    from distributed import Client, LocalCluster

    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        "distributed.worker.memory.terminate": 0.95,
        "distributed.admin.low-level-log-length": 0,
        "distributed.comm.timeouts.connect": "60s",
    }
    with (
        dask.config.set(settings),
        tempfile.TemporaryDirectory(prefix="htinvert-") as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address="127.0.0.1:0",
            local_directory=folder,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
