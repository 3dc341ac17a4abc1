"""Engines that may hang or crash, each in a child process with limits that the worker outlives.

The child is started once per worker and answers one structure after the other. What it prints and
writes goes to a scratch folder. An evaluation that takes too long, too much memory or too much disk
ends with the child's whole process group; the next one gets a new child. A child that dies is
replaced and asked again, for the structures before, or the machine, may have harmed it; a structure
that kills fresh children, too, is a failure and is never tried again. Linux only.
"""

from __future__ import annotations

import atexit
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

from ase import Atoms
from pydantic import NonNegativeInt, PositiveFloat

from htinvert.core import EnergyModel, EvaluationFailed, Relaxation
from htinvert.declaration.abilities import ChecksElements, Loads
from htinvert.declaration.wording import reason as told
from htinvert.energy.offer import Offer, offer_of

GB = 10**9
MOST_CHILDREN = 2  # kept per worker, one per engine; those of engines asked long ago end
LAST_BYTES = 4096  # of what a child wrote, among which its last line is
TICK = 0.5  # s, between looks at a child's memory and disk
START_SECONDS = 300.0  # for a child to import and load its engine, on a busy file system
GRACE = 5.0  # s past the limit after which a child ends by itself, should the worker be gone
SINGLE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


@dataclass(frozen=True)
class Limits:
    """What one evaluation may take: wall-clock seconds, memory [GB], disk [GB] in its folder.

    After a crash it is tried this many more times, each in a fresh process.
    """

    seconds: PositiveFloat = 60.0
    memory: PositiveFloat = 4.0
    disk: PositiveFloat = 1.0
    retries: NonNegativeInt = 1


@dataclass(frozen=True)
class Isolated:
    """An energy model that does its work in a child process, within limits.

    ``energy: {use: lammps, ..., limits: {seconds: 60, memory: 4}}`` makes one.
    """

    engine: EnergyModel
    limits: Limits = Limits()

    @property
    def offer(self) -> Offer | None:
        """What the engine declares, None where it declares nothing."""
        return offer_of(self.engine)

    def check_elements(self, symbols: set[str]) -> None:
        """Ask the engine, where it can tell, whether it covers these elements."""
        if isinstance(self.engine, ChecksElements):
            self.engine.check_elements(symbols)

    def __call__(self, atoms: Atoms) -> Relaxation:
        """Relax a structure. Raises :class:`EvaluationFailed` for what the engine or a limit says.

        What the engine returns is not looked at here.
        """
        child = _children.pop(id(self), None)
        if child is not None and child.model is not self:
            child.end()
            child = None
        deaths: list[_ChildDied] = []
        while len(deaths) <= self.limits.retries:
            try:
                return self._ask(child or _Child(self), atoms)
            except _ChildDied as death:
                deaths.append(death)
                child = None
        times = f" ({len(deaths)} times)" if len(deaths) > 1 else ""
        raise EvaluationFailed(f"crashed: {deaths[-1]}{times}") from deaths[-1]

    def _ask(self, child: _Child, atoms: Atoms) -> Relaxation:
        """Ask a child; it is kept for the next structure only if it answered."""
        try:
            kind, answer = child.ask(atoms)
        except BaseException:
            child.end()
            raise
        if kind == "out of memory":
            child.end()
        else:
            _children[id(self)] = child
            while len(_children) > MOST_CHILDREN:
                _children.pop(next(iter(_children))).end()
        if kind != "done":
            raise EvaluationFailed(answer)
        return answer  # evaluate looks at what it is


class _ChildDied(Exception):
    """A child ended without an answer; the message says how."""


class _Child:
    """A process that holds one engine; leader of a process group of its own."""

    def __init__(self, model: Isolated) -> None:
        self.model = model
        self.folder = Path(tempfile.mkdtemp(prefix="htinvert-engine-"))
        self.connection, theirs = Pipe()
        code = f"from htinvert.energy.isolation import serve; serve({theirs.fileno()})"
        path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100  ('' is this folder)
        place = {"PYTHONPATH": os.pathsep.join(path), "TMPDIR": str(self.folder)}
        with theirs, (self.folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(  # noqa: S603  (our own Python, our own code)
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                cwd=self.folder,
                env=os.environ | SINGLE_THREAD | place,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        try:
            kind, reason = self._exchange((model.engine, model.limits), START_SECONDS)
        except BaseException:
            self.end()
            raise
        if kind != "ready":
            self.end()
            raise EvaluationFailed(f"the engine does not start in a child process: {reason}")

    def ask(self, atoms: Atoms) -> tuple[str, Any]:
        """The child's answer, its kind before it; raises where it gives none within the limits."""
        return self._exchange(atoms, self.model.limits.seconds)

    def end(self) -> None:
        """End the process group and remove its folder."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _exchange(self, message: Any, seconds: float) -> tuple[str, Any]:
        limits, deadline = self.model.limits, monotonic() + seconds
        try:
            self.connection.send(message)
            while not self.connection.poll(min(TICK, max(deadline - monotonic(), 0.0))):
                if monotonic() >= deadline:
                    raise EvaluationFailed(f"timed out: no answer within {seconds:g} s")
                if (used := group_memory(self.process.pid)) > limits.memory * GB:
                    raise EvaluationFailed(_over("out of memory", used / GB, limits.memory))
                if (used := folder_size(self.folder)) > limits.disk * GB:
                    raise EvaluationFailed(_over("out of disk", used / GB, limits.disk))
            answer = self.connection.recv()
        except (EOFError, OSError) as error:
            raise _ChildDied(self._death()) from error
        except EvaluationFailed:
            raise
        except (Exception, SystemExit, GeneratorExit) as error:  # what it sent is not to be read
            raise EvaluationFailed(f"garbage: the answer cannot be read ({told(error)})") from error
        return answer

    def _death(self) -> str:
        """How the process ended, with the last line that it wrote."""
        code = self.process.wait()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        with (self.folder / "stderr").open("rb") as file:  # which may be very long
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"the engine's process ended with {how}" + (f" ({last[:200]})" if last else "")


_children: dict[int, _Child] = {}  # by the identity of the model, which the child keeps alive


@atexit.register
def end_children() -> None:
    """End all child processes of this one."""
    while _children:
        _children.popitem()[1].end()


def group_memory(group: int) -> int:
    """Resident memory [bytes] of all processes of a process group."""
    pages = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it may end while we look
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                pages += int(fields[21]) if int(fields[2]) == group else 0
    return pages * resource.getpagesize()


def folder_size(folder: Path) -> int:
    """Size [bytes] of all files below a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_size
    return total


def serve(handle: int) -> None:
    """Answer structures on a connection until it closes; this is all that a child does."""
    folder = Path.cwd()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver
    try:
        with Connection(handle) as connection, suppress(EOFError, BrokenPipeError):
            _serve(connection, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(connection: Connection[Any, Any], folder: Path) -> None:
    try:
        engine, limits = connection.recv()
        if isinstance(engine, Loads):
            engine.load()
    except EOFError:
        raise
    except BaseException as error:
        connection.send(("broken", told(error)))
        return
    for what, size in ((resource.RLIMIT_DATA, limits.memory), (resource.RLIMIT_FSIZE, limits.disk)):
        resource.setrlimit(what, (int(size * GB), int(size * GB)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send(("ready", ""))
    while True:
        atoms = connection.recv()
        folder.mkdir(exist_ok=True)  # the structure before may have removed it, or gone elsewhere
        os.chdir(folder)
        # The kernel ends a hanging child whose worker was killed.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limits.seconds + GRACE)
        answer = _answer(engine, atoms, limits)
        try:
            connection.send(answer)
        except (EOFError, OSError):
            return
        except BaseException as error:  # whatever pickle meets
            connection.send(("failed", f"garbage: the answer cannot be sent ({told(error)})"))
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _answer(engine: EnergyModel, atoms: Atoms, limits: Limits) -> tuple[str, Any]:
    """What the engine made of a structure: a kind, and a relaxation or a reason."""
    try:
        return "done", engine(atoms)
    except BaseException as error:  # a third party's engine may raise anything
        if isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError):
            return "out of memory", _over("out of memory", None, limits.memory)
        causes = (error, error.__cause__)
        if any(getattr(cause, "errno", None) in (errno.EFBIG, errno.ENOSPC) for cause in causes):
            return "failed", _over("out of disk", None, limits.disk)
        return "failed", told(error)


def _over(status: str, used: float | None, limit: float) -> str:
    took = "the engine asked for more" if used is None else f"the engine took {used:.2g} GB, more"
    return f"{status}: {took} than its limit of {limit:g} GB"
