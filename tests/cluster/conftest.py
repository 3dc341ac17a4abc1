"""Private batch systems for these tests, and campaigns whose candidates cost next to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.cluster.connect import run_name
from htinvert.core import UserError
from htinvert.store import RunStore

from .batch import DEPLOY, GRID_ENGINE, SLURM, Batch

NODES = 4

# An energy that does as it is told. One structure of twenty is poison; its numbers say which.
ENGINE = '''
import os, time
from dataclasses import dataclass
from htinvert.core import Relaxation
from htinvert.energy.lennard_jones import LennardJones

def number(atoms):
    """A number of a structure that is the same wherever it is evaluated."""
    return int(abs(atoms.positions).sum() * 1e4) % 60

@dataclass(frozen=True)
class Static:
    """The energy as it stands, after a while [s]; poison ends the process where asked."""
    seconds: float = 0.0
    poison: bool = False

    def __call__(self, atoms):
        time.sleep(self.seconds)
        if self.poison and number(atoms) < 3:
            os._exit(1)
        return Relaxation(atoms.copy(), float(number(atoms)), True, 1)
'''


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of one batch system stay together, side by side with those of another."""
    for item in items:
        if isinstance(item, pytest.Function) and Path(__file__).parent in item.path.parents:
            values = item.callspec.params if hasattr(item, "callspec") else {}
            item.add_marker(pytest.mark.xdist_group(values.get("batch", SLURM).name))


@pytest.fixture(scope="session", autouse=True)
def on_the_path() -> Iterator[None]:
    """The command is found, also where the environment of the tests is not activated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def private_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """Four virtual nodes on loopback; commands of Slurm then speak to them."""
    with SLURM.brought_up(tmp_path_factory.mktemp("slurm")):
        yield SLURM


@pytest.fixture(scope="session")
def private_gridengine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Batch]:
    """A node of four slots on loopback; commands of Grid Engine then speak to it."""
    with GRID_ENGINE.brought_up(tmp_path_factory.mktemp("gridengine")):
        yield GRID_ENGINE


@pytest.fixture
def batch(request: pytest.FixtureRequest) -> Batch:
    """The batch system that a test is for: Slurm, unless it is said to be for others as well."""
    wanted = getattr(request, "param", SLURM)
    return request.getfixturevalue(f"private_{wanted.name}")


Writer = Callable[..., Path]


@pytest.fixture
def campaign(batch: Batch, tmp_path: Path) -> Writer:
    """Write a campaign of random clusters, and the site beside it; keywords replace parts."""

    def make(
        name: str = "box",
        *,
        site: dict[str, Any] | None = None,
        terms: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        raw = yaml.safe_load(batch.site.read_text())
        raw["jobqueue"][batch.system] |= site or {}
        raw["htinvert"] |= terms or {}
        (tmp_path / "site.yaml").write_text(yaml.safe_dump(raw))
        return written(tmp_path, name, **changes)

    return make


def written(folder: Path, name: str, **changes: Any) -> Path:
    """A campaign of random clusters in a folder, and its engine; keywords replace parts."""
    (folder / "engine.py").write_text(ENGINE)
    energy = {"use": "engine:Static"} | changes.pop("energy", {})
    config = {
        "name": name,
        "structure": {"use": "box", "size": 12.0},
        "composition": {"Ar": [5, 7]},
        "energy": energy,
        "search": {"generators": [{"use": "random"}], "novelty": 0},
        "stop": {"evaluations": 60},
        "cluster": "site.yaml",
        "workers": NODES,
    } | changes
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in config.items() if v is not None}))
    return path


class Driver:
    """`htinvert run` as a process of its own; leaves nothing behind."""

    def __init__(self, path: Path, *arguments: str) -> None:
        self.folder = path.parent
        self.run = self.folder / "runs" / path.stem
        self.name = run_name(self.run)
        self.log = self.folder / f"{path.stem}.log"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["htinvert", "run", path.name, *arguments],
                cwd=self.folder,
                env=environment(self.folder),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def committed(self) -> int:
        """How many evaluations are safe."""
        return committed(self.run)

    def wait_until(self, evaluations: int, seconds: float = 120) -> None:
        """Wait until so many evaluations are safe."""
        end = time.monotonic() + seconds
        while self.committed() < evaluations:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.2)

    def end(self, seconds: float = 240) -> str:
        """Wait for its end, which must be a good one; returns what it printed."""
        code = self.process.wait(seconds)
        text = self.log.read_text()
        assert code == 0, text
        assert "Traceback" not in text, text
        return text


@pytest.fixture
def start(batch: Batch) -> Iterator[Callable[..., Driver]]:
    """Start drivers, and end those that a failing test leaves."""
    drivers: list[Driver] = []

    def begin(path: Path, *arguments: str) -> Driver:
        drivers.append(Driver(path, *arguments))
        return drivers[-1]

    yield begin
    for driver in drivers:
        if driver.process.poll() is None:
            driver.process.kill()
            driver.process.wait()
        if left := batch.jobs(driver.name):
            batch.stop(*left)


def committed(run: Path) -> int:
    """How many evaluations of a run are safe."""
    if not (run / "journal.sqlite").is_file():
        return 0
    try:
        with RunStore.open(run) as store:
            counts = store.counts()
    except UserError:  # not yet
        return 0
    return int(counts.ok + counts.failed)


def environment(folder: Path) -> dict[str, str]:
    """The folder's modules can be imported, also in jobs; output is plain."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    scripts = os.pathsep.join([str(Path(shutil.which("python") or "").parent), os.environ["PATH"]])
    plain = {"COLUMNS": "200", "NO_COLOR": "1", "HTINVERT_SITES": str(DEPLOY / "sites")}
    return os.environ | {"PYTHONPATH": path, "PATH": scripts} | plain


def evaluations(run: Path) -> dict[int, tuple[Any, ...]]:
    """What a run holds: per candidate its structure, its energy, and why it failed."""
    with RunStore.open(run) as store:
        found = list(store.evaluations())
    assert len({e.candidate.index for e in found}) == len(found)
    return {
        e.candidate.index: (
            e.candidate.atoms.positions.tobytes(),
            tuple(e.candidate.atoms.numbers),
            dict(e.objectives),
            e.error,
        )
        for e in found
    }


def processes(*words: str) -> list[int]:
    """Ids of the processes whose command lines hold all these words."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if all(word in line for word in words):
                found.append(int(entry.name))
    return found
