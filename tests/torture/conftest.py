"""The server that forks drivers under a shim, and how much of each protocol is run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import htinvert.store.run

HERE = Path(__file__).parent
Forked = Callable[..., dict[str, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """These stay together: one server forks all of their drivers."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("torture"))


@pytest.fixture(autouse=True)
def block() -> Iterator[None]:
    """Drivers in this process set the rows of a block; the next test finds what it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(htinvert.store.run, "BLOCK", htinvert.store.run.BLOCK)
        yield


@pytest.fixture(scope="session")
def full() -> bool:
    """Whether to run the whole protocol (make torture) or a sample of it."""
    return os.environ.get("HTINVERT_TORTURE") == "full"


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Run a driver or a judge in a process of its own, see pseudo.py."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("the shim needs a C compiler")
    shim = tmp_path_factory.mktemp("shim") / "shim.so"
    source = [str(HERE / "shim.c"), "-ldl"]
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, *source], check=True)
    server = subprocess.Popen(
        [sys.executable, HERE / "pseudo.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1"},
    )
    assert server.stdin and server.stdout
    stdin, stdout = server.stdin, server.stdout

    def ask(do: str, path: Path, **task: Any) -> dict[str, Any]:
        stdin.write(json.dumps({"do": do, "path": str(path), **task}) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        if do == "judge":
            assert answer["status"] == 0
            found: dict[str, Any] = json.loads(answer["said"])
            return found
        whole = answer["said"].rpartition("\n")[0].split()
        answer["events"] = [word for word in whole if word[0] in "EA"]
        answer["count"] = next((int(word[1:]) for word in whole if word[0] == "C"), 0)
        return answer

    yield ask
    stdin.close()
    server.wait(timeout=30)
    stdout.close()


def acknowledged(events: list[str]) -> set[int]:
    """Candidates that were said to be durable."""
    return {int(word[1:]) for word in events if word[0] == "A"}


def evaluated_again(events: list[str]) -> list[int]:
    """Candidates that were evaluated after they were said to be durable."""
    durable: set[int] = set()
    again = []
    for word in events:
        index = int(word[1:])
        if word[0] == "A":
            durable.add(index)
        elif index in durable:
            again.append(index)
    return again
