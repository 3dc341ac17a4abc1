"""Where candidates are evaluated: on Dask workers, or in the calling process.

A pool takes candidates and gives evaluations back in whatever order they end: there is no barrier.
What a worker does with a block is here; how blocks are sent, taken in and judged is in
:mod:`htinvert.pool.on_dask`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from threading import Lock
from time import sleep, time
from typing import Any, Protocol

from htinvert.core import Candidate, Evaluation, Recipe, UserError
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.surroundings import files_are_closed
from htinvert.pool.inner import CLOSED, InnerPool
from htinvert.pool.parcel import Parcel

LEAVE_AT = "HTINVERT_LEAVE_AT"  # a job's environment: the time [s since 1970] its workers leave
JOB_SECONDS = "HTINVERT_JOB_SECONDS"  # and how long they may stay in all
INNER = "HTINVERT_INNER"  # processes of each worker's inner pool, where it has one

_inner: dict[str, InnerPool] = {}  # of this process: one campaign's, by the recipe's hash
_opening = Lock()


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

    def news(self) -> list[str]:
        """What a person should know since the last call, a sentence each."""
        ...


def _true(worker: str) -> bool:  # noqa: ARG001
    return True


def _nothing(jobs: int) -> list[str]:  # noqa: ARG001
    return []


@dataclass
class Connection:
    """A Dask client and what is known of its workers.

    Attributes:
        client: connected to the scheduler.
        workers: how many workers of Dask's there should be.
        alive: how many there are.
        inner: how many processes each of them evaluates with.
        block_seconds: how long a block should last [s].
        waiting: whether workers are still to come, as jobs in a queue are.
        survived: whether a lost worker's job goes on, so that the process alone has died.
        tend: told how many workers would have work; returns news, or raises what ended the jobs.
        resources: what a worker must have, by name, for a block to be sent to it.
    """

    client: Any
    workers: int
    alive: Callable[[], int]
    inner: int = 1
    block_seconds: float = 0.5
    waiting: Callable[[], bool] = lambda: False
    survived: Callable[[str], bool] = _true
    tend: Callable[[int], list[str]] = _nothing
    resources: dict[str, float] = field(default_factory=dict)


Connect = Callable[[], AbstractContextManager[Connection]]


class HerePool:
    """Evaluate in the calling process, one candidate at a time; for debugging."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._waiting: deque[Candidate] = deque()
        files_are_closed()  # from now on

    def room(self) -> int:
        """One candidate at a time, so that each child can learn from the one before."""
        return 1 - len(self._waiting)

    def submit(self, candidates: Sequence[Candidate]) -> None:
        """Put candidates in line."""
        self._waiting.extend(candidates)

    def collect(self, timeout: float) -> list[Evaluation]:  # noqa: ARG002  (the pools' shared form)
        """Evaluate the next in line."""
        if not self._waiting:
            return []
        candidate = self._waiting.popleft()
        evaluation = evaluate(candidate, self._recipe)
        if files_are_closed():
            raise UserError(
                f"a component closed the files of this program at candidate {candidate.index}; "
                "what is committed is safe: start the same command with workers: 1, so that such a "
                "candidate costs only a worker"
            )
        return [evaluation]

    def busy(self) -> int:
        """How many wait in line."""
        return len(self._waiting)

    def news(self) -> list[str]:
        """Nothing ever happens here."""
        return []


@dataclass(frozen=True)
class Share:
    """What a worker gives back of a block: all of it, or as much as its job had time for."""

    evaluations: list[Evaluation]


def evaluate_block(parcel: Parcel, candidates: Sequence[Candidate], expected: float) -> Share:
    """Evaluate candidates, one after the other or in an inner pool, as far as the job's time goes.

    ``expected`` is what one is thought to take [s]; none is begun that would take longer, doubled
    for safety, than what is left. The worker then leaves, so that no other block comes here.
    """
    in_time = partial(_in_time, expected)
    if (width := int(os.environ.get(INNER, "1"))) > 1:
        pool = _inner_pool(parcel, width)
        evaluations = pool.evaluate(candidates, in_time)
        if len(evaluations) < len(candidates):
            pool.rest()  # of other blocks: their results would go with the worker
    else:
        recipe = parcel.open()
        evaluations = [_survived(c, recipe) for c in takewhile(lambda _: in_time(), candidates)]
    if len(evaluations) < len(candidates):
        _leave()
    return Share(evaluations)


def _survived(candidate: Candidate, recipe: Recipe) -> Evaluation:
    """Evaluate in a worker, which ends where it cannot go on: without its files it would hang."""
    files_are_closed()  # from now on
    evaluation = evaluate(candidate, recipe)
    if files_are_closed():
        os._exit(CLOSED)
    return evaluation


def evaluate_packed(parcel: Parcel, block: bytes, expected: float) -> bytes:
    """The same in the form in which Dask carries it fastest: one string of bytes each way.

    Of objects it would look into every argument, and send every array as a message of its own.
    """
    from distributed.protocol import pickle

    share = evaluate_block(parcel, pickle.loads(block), expected)
    return bytes(pickle.dumps(share))


def _in_time(expected: float) -> bool:
    """Whether a candidate that is thought to take so long can still be begun."""
    longest = 0.9 * float(os.environ.get(JOB_SECONDS, "inf"))
    return seconds_left() >= min(2 * expected, longest)


def _inner_pool(parcel: Parcel, width: int) -> InnerPool:
    """This worker's inner pool; its processes share the memory that the worker may take."""
    with _opening:
        if parcel.digest not in _inner:
            _inner[parcel.digest] = InnerPool(parcel, width, memory=_memory() / width)
        return _inner[parcel.digest]


def _memory() -> float:
    """What this worker may take [bytes]; infinite where nobody said."""
    from distributed import get_worker

    try:
        return float(get_worker().memory_manager.memory_limit or "inf")
    except ValueError:  # there is none: somebody calls this by hand
        return float("inf")


def seconds_left() -> float:
    """How long this worker's job goes on [s]; infinite where nobody said."""
    return float(os.environ.get(LEAVE_AT, "inf")) - time()


def _leave() -> None:
    """Let this worker take its leave of the scheduler."""
    from distributed import get_worker

    with suppress(ValueError):  # there is none: somebody calls this function by hand
        worker = get_worker()
        worker.loop.add_callback(worker.close_gracefully, reason="htinvert-time-is-up")
        sleep(0.5)  # so that this block's rest does not come back here
