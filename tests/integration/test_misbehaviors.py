"""Whatever a component does, no pool hangs, and the run is readable and goes on after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ase.io import write

from tests.misbehaviors import (
    DEADLY,
    GOOD,
    HARMLESS,
    MISBEHAVIORS,
    campaign,
    errors_of,
    name_number,
    structure,
)

from .conftest import Command, environment

POOLS = ("here", "dask", "inner", "isolated")
ENDS_A_CHILD = {"alarm"}  # a child of an isolated engine ends by its own alarm

RUN = '''
"""The command line, with one worker that has an inner pool where the first word says so."""
import sys
from contextlib import contextmanager
from dataclasses import replace

if __name__ == "__main__":
    pool = sys.argv.pop(1)
    if pool == "inner":
        import os
        from htinvert.cluster import connect
        os.environ["HTINVERT_INNER"] = "2"
        local = connect.local

        @contextmanager
        def one(workers):
            with local(workers) as connection:
                yield replace(connection, inner=2)

        connect.local = one
    from htinvert.cli import main
    main()
'''


def written(folder: Path, pool: str, names: list[str]) -> Path:
    """A campaign of all misbehaviors as given structures, in a folder of its own."""
    (folder / "go.py").write_text(RUN)
    changes: dict[str, Any] = {"workers": 0 if pool in ("here", "isolated") else 1}
    if pool == "isolated":
        limits = {"seconds": 20, "memory": 2, "retries": 0}
        changes["energy"] = {"use": "odd_engine:Odd", "limits": limits}
    return campaign(folder, names, **changes)


@pytest.mark.parametrize("pool", POOLS)
def test_a_run_survives_all_of_them(tmp_path: Path, htinvert: Command, pool: str) -> None:
    """One campaign per pool; what it leaves is read, checked in every byte, and gone on with."""
    names = [*MISBEHAVIORS] if pool == "here" else [*MISBEHAVIORS, *DEADLY]
    path = written(tmp_path, pool, names)
    done = run(tmp_path, pool, path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    errors = errors_of(tmp_path)
    assert len(errors) == len(names) + GOOD
    for name in names:
        error = errors[name_number(name)]
        if name in HARMLESS and not (pool == "isolated" and name in ENDS_A_CHILD):
            assert error == "", (name, error)
        else:
            assert error and error.isprintable() and len(error) <= 2000, (name, error)
    assert [errors[500 + i] for i in range(GOOD)] == [""] * GOOD
    for words in (["status"], ["rank"], ["verify", "--full"]):
        said = htinvert(*words, Path("runs") / "odd")
        assert said.returncode == 0, said.stdout + said.stderr
    write(tmp_path / "structures" / "900.xyz", structure(900), format="extxyz")
    again = run(tmp_path, pool, path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert errors_of(tmp_path) == errors | {900: ""}


def test_closed_files_end_a_campaign_without_workers_in_one_sentence(
    tmp_path: Path, htinvert: Command
) -> None:
    """It waited for its disk for ten minutes; with a worker the same command goes on."""
    path = written(tmp_path, "here", ["files closed"])
    done = run(tmp_path, "here", path)
    assert done.returncode == 2, done.stdout + done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("htinvert: ")]
    assert said.startswith("htinvert: a component closed the files of this program")
    assert errors_of(tmp_path) == {500: ""}, "the start, before the one that closed them"
    path.write_text(path.read_text().replace("workers: 0", "workers: 1"))
    assert run(tmp_path, "dask", path).returncode == 0
    errors = errors_of(tmp_path)
    assert "died under this candidate 2 times" in errors.pop(name_number("files closed"))
    assert errors == {500: "", 501: ""}


def run(folder: Path, pool: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run a campaign to its end in a process; a hang fails the test."""
    return subprocess.run(
        [sys.executable, "go.py", pool, "run", path.name],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
