"""An inner pool: the processes that evaluate for one Dask worker, where that has a whole node.

A scheduler can hold connections to a thousand or two workers, and clusters have more cores than
that. So one worker takes a block of candidates for all its processes, and hands out one at a time.
A process that dies is replaced, its candidate tried again when those before it in line are done; it
is given up after two attempts, and no other is blamed.
"""

from __future__ import annotations

import math
import os
import queue
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIG_IGN, SIGINT, Signals, signal
from time import sleep
from typing import Any

from htinvert.core import Candidate, Evaluation, UserError
from htinvert.declaration.wording import reason
from htinvert.energy.isolation import SINGLE_THREAD, end_children
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.surroundings import files_are_closed, ignore_alarms
from htinvert.pool.parcel import Parcel

ATTEMPTS = 2  # processes that a candidate may kill
STARTS = 3  # in a row that may fail before that is the campaign's end
CLOSED = 74  # exit status of a process whose files were closed; EX_IOERR of sysexits.h
TICK = 0.5  # s between looks at a process's memory
TERMINATE = 0.95  # of its share of memory, above which a process is ended; as Dask does

InTime = Callable[[], bool]


class Died(Exception):
    """A process ended without an answer; the message says how."""


@dataclass
class Job:
    """A candidate in line: whether there is time to begin it, where its answer goes."""

    candidate: Candidate
    in_time: InTime
    answers: queue.SimpleQueue[Any]
    deaths: int = 0


class InnerPool:
    """So many processes of one thread each, shared by the blocks that a worker has at a time.

    Args:
        parcel: the recipe, which every process opens once.
        width: how many processes.
        memory: of one process [bytes]; one that takes more is ended.
    """

    def __init__(self, parcel: Parcel, width: int, *, memory: float = math.inf) -> None:
        self._parcel, self._memory = parcel, memory
        self._width = width
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._idle = threading.Condition()
        self._working = 0
        for _ in range(width):
            threading.Thread(target=self._feed, daemon=True).start()

    def evaluate(self, candidates: Sequence[Candidate], in_time: InTime) -> list[Evaluation]:
        """Evaluate candidates, in the order in which they end; those without time are left out.

        Raises :class:`UserError` where a process cannot open the recipe, or does not start.
        """
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for candidate in candidates:
            self._jobs.put(Job(candidate, in_time, answers))
        found = []
        for _ in candidates:
            answer = answers.get()
            if isinstance(answer, Exception):
                raise answer
            if answer is not None:
                found.append(answer)
        return found

    def close(self) -> None:
        """Let the processes go when they have done what is in line."""
        for _ in range(self._width):
            self._jobs.put(None)

    def rest(self) -> None:
        """Wait until no process is at work."""
        with self._idle:
            self._idle.wait_for(lambda: not self._working)

    def _feed(self) -> None:
        """Hand one candidate after the other to one process, which starts with the first."""
        process: Process | None = None
        while job := self._jobs.get():
            if not job.in_time():
                job.answers.put(None)
                continue
            with self._idle:
                self._working += 1
            try:
                process = process or started(self._parcel, self._memory)
                job.answers.put(process.evaluate(job.candidate))
            except Died as death:
                process = None
                self._blame(job, death)
            except Exception as error:  # whoever waits for the answer must hear of it
                job.answers.put(error)
            with self._idle:
                self._working -= 1
                self._idle.notify_all()
        if process is not None:
            process.end()

    def _blame(self, job: Job, death: Died) -> None:
        """Count a death against a candidate; after two it is given up."""
        job.deaths += 1
        if job.deaths < ATTEMPTS:
            self._jobs.put(job)
            return
        text = f"the worker was lost: it died under this candidate {job.deaths} times ({death})"
        job.answers.put(Evaluation(job.candidate, error=text))


def started(parcel: Parcel, memory: float) -> Process:
    """A process that is ready; raises :class:`UserError` where it does not get so far."""
    for attempt in range(STARTS):
        try:
            return Process(parcel, memory)
        except (Died, OSError) as error:
            trouble = error
            sleep(attempt)
    raise UserError(
        f"a process of the inner pool on {os.uname().nodename} does not start: {trouble}; look "
        "into the job's log, and whether its memory suffices for this many"
    )


class Process:
    """A process that evaluates; it ends when the worker does, whatever becomes of that."""

    def __init__(self, parcel: Parcel, memory: float) -> None:
        self._most = TERMINATE * memory
        self._connection, theirs = Pipe()
        code = f"from htinvert.pool.inner import serve; serve({theirs.fileno()})"
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  ('' is this folder)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own Python, our own code)
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                env=os.environ | SINGLE_THREAD | {"PYTHONPATH": os.pathsep.join(path)},
                pass_fds=[theirs.fileno()],
            )
        trouble = self._exchange(parcel)
        if trouble is not None:
            self.end()
            raise trouble

    def evaluate(self, candidate: Candidate) -> Evaluation:
        """What came of a candidate. Raises :class:`Died` where the process did not survive it."""
        evaluation: Evaluation = self._exchange(candidate)
        return evaluation

    def _exchange(self, message: Any) -> Any:
        try:
            self._connection.send(message)
            while not self._connection.poll(TICK):
                if (used := own_memory(self._process.pid)) > self._most:
                    self.end()
                    raise Died(f"it took {used / 1e9:.2g} GB, nearly all of its share or more")
            return self._connection.recv()
        except (EOFError, OSError) as error:
            code = self.end()
            how = Signals(-code).name if code < 0 else f"exit status {code}"
            raise Died("it closed its files" if code == CLOSED else how) from error

    def end(self) -> int:
        """Make sure that the process is gone; returns how it ended."""
        self._connection.close()  # it leaves when it sees that
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(1.0)
        self._process.kill()
        return self._process.wait()


def own_memory(process: int) -> int:
    """Memory [bytes] that a process shares with no file; 0 where it has gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0
    return (int(resident) - int(shared)) * resource.getpagesize()


def serve(handle: int) -> None:
    """Evaluate what comes on a connection until it closes; this is all that a process does."""
    signal(SIGINT, SIG_IGN)  # Ctrl-C is for the driver
    ignore_alarms()
    incoming: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Connection(handle) as connection:
        threading.Thread(target=_receive, args=(connection, incoming), daemon=True).start()
        recipe = None
        parcel: Parcel = incoming.get()
        try:
            recipe = parcel.open()
            connection.send(None)
        except BaseException as error:  # whatever it is, the worker hands it on
            connection.send(error if isinstance(error, UserError) else Died(reason(error)))
            return
        files_are_closed()  # from now on
        while True:
            evaluation = evaluate(incoming.get(), recipe)
            if files_are_closed():  # the connection may be another's by now
                os._exit(CLOSED)
            try:
                connection.send(evaluation)
            except OSError:  # there is nobody to hear it
                os._exit(CLOSED)
            except BaseException as error:  # whatever pickle meets
                said = f"garbage: what came of it cannot be sent ({reason(error)})"
                connection.send(Evaluation(evaluation.candidate, error=said))


def _receive(connection: Connection[Any, Any], incoming: queue.SimpleQueue[Any]) -> None:
    """Take in what the worker sends; leave at once when it is gone, also amid an evaluation."""
    try:
        with suppress(EOFError, OSError):
            while True:
                incoming.put(connection.recv())
    finally:
        end_children()
        os._exit(0)
