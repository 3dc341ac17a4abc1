"""Programs that may hang or crash, run in a scratch folder and a process group within limits.

Limits of memory and disk hold on Linux; a process that is left behind ends with its group.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from htinvert.core import EvaluationFailed

GB = 10**9
MOST_SAID = 200  # characters of a program's last line


@dataclass(frozen=True)
class Allowed:
    """What one run may take.

    Attributes:
        seconds: wall-clock time [s].
        memory: of the process [GB].
        disk: of each file [GB].
    """

    seconds: float
    memory: float = 2.0
    disk: float = 1.0


def run(
    command: Sequence[str],
    folder: Path,
    allowed: Allowed,
    *,
    name: str,
    log: str = "said",
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program in a folder; the last line that it says, all of which is in ``log``.

    Args:
        command: program and arguments.
        folder: where it reads and writes.
        allowed: its limits.
        name: of the program in reasons.
        log: file in the folder for what it says.
        given: what it reads from its standard input.
        environment: variables besides those of this process.

    Raises:
        EvaluationFailed: where it crashes, takes too long, or cannot be started.
    """
    path, source = folder / log, Path(os.devnull)
    if given is not None:
        source = folder / f"{log}.given"
        source.write_text(given, encoding="ascii", errors="replace")
    with path.open("wb") as said, source.open("rb") as reads:
        try:
            process = subprocess.Popen(  # noqa: S603  (a program of the user's, our own input)
                list(command),
                stdin=reads,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ | dict(environment or {}),
                start_new_session=True,
            )
        except OSError as error:
            raise EvaluationFailed(f"crashed: {name} does not start ({error})") from error
        _limit(process.pid, allowed)
        try:
            code = process.wait(allowed.seconds)
        except subprocess.TimeoutExpired as error:
            raise EvaluationFailed(
                f"timed out: {name} gave no answer within {allowed.seconds:g} s"
            ) from error
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    last = last_line(path)
    if code != 0:
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        raise EvaluationFailed(f"crashed: {name} ended with {how} ({last})")
    return last


def last_line(path: Path) -> str:
    """The last line of a log that says something."""
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:MOST_SAID]


def _limit(pid: int, allowed: Allowed) -> None:
    """Bound a process's memory and the size of its files, where the system can."""
    if hasattr(resource, "prlimit"):
        memory, disk = round(allowed.memory * GB), round(allowed.disk * GB)
        with suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (disk, disk))
