"""Every kind of data goes all the way: read, plan, evaluate, be killed, resume, rank, be shown.

The forward models are defined in files of their own and nowhere else; nothing else knows of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.io import write

from htinvert.campaign.resume import plan_of
from htinvert.core import Axis, Signal
from htinvert.report.page.make import make
from htinvert.signals.kind import kind_of
from htinvert.store import RunStore
from htinvert.watch.state import State

from .conftest import Command

DIES = r'''
import os
import signal

SEEN = set()


def die_in_time(atoms, kind):
    """End this process as a crash would, at the structure that the environment counts to."""
    SEEN.add(atoms.positions.tobytes())
    if "LOG" in os.environ:
        with open(os.environ["LOG"], "a") as log:
            log.write(f"{kind} {hash(atoms.positions.tobytes())}\n")
    if len(SEEN) == int(os.environ.get("DIE_AT", "0")):
        os.kill(os.getpid(), signal.SIGKILL)
'''

HISTOGRAM = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from htinvert.core import Signal

from dies import die_in_time


@dataclass(frozen=True)
class Throwaway:
    """A stand-in with the form of a real model: smeared distances, on whatever grid is asked for.

    Attributes:
        width: of the smearing [Å].
    """

    sources: ClassVar[tuple[str, ...]] = ("A. N. Author, J. Throw. Away 1, 1 (2026).",)
    kind: ClassVar[str] = "KIND"
    axes: tuple | None = None
    shape: tuple[int, ...] | None = None
    sampling: float | tuple[float, float] | None = None
    width: float = 0.3

    def __call__(self, atoms):
        die_in_time(atoms, self.kind)
        r = atoms.get_all_distances(mic=True)
        r = r[np.triu_indices(len(atoms), 1)]
        if self.kind == "curve":
            (axis,) = self.axes
            grid = axis.origin + axis.step * np.arange(self.shape[0])
            values = np.exp(-0.5 * ((grid[:, None] - r) / self.width) ** 2).sum(axis=1)
            return Signal(values.astype(np.float32), self.axes)
        ny, nx = self.shape[-2:]
        y, x = np.mgrid[:ny, :nx] - 0.5 * np.array([ny, nx])[:, None, None]
        image = sum(np.cos(0.35 * d * y + self.width * x) for d in r) / len(r)
        if self.kind == "image":
            return Signal.image(image + 0.02 * x, self.sampling)
        pattern = np.exp(-0.01 * (x**2 + y**2)) * (2.0 + image)
        scale = 1.0 + 0.1 * np.arange(int(np.prod(self.shape[:-2])) or 1)
        stack = (scale[:, None, None] * pattern).reshape(self.shape)
        return Signal(stack.astype(np.float32), self.axes)
'''


@dataclass(frozen=True)
class Case:
    """A kind of data: file, what the experiment says of it, the metric, words that are shown."""

    kind: str
    file: str
    keys: dict[str, Any]
    metric: str
    words: str


CASES = {
    "image": Case("image", "seen.npy", {"sampling": 0.3}, "correlation", "32 x 28 px of 0.3 x 0.3"),
    "curve": Case("curve", "seen.gr", {"range": [1.0, 9.0]}, "rw", "r from 1 to 9 Å"),
    "pattern": Case(
        "pattern", "seen.npy", {"sampling": 2.0, "unit": "mrad"}, "cosine", "2 x 2 mrad"
    ),
    "scan": Case(
        "pattern", "seen.npz", {"sampling": 0.05, "scan": 2.5}, "rw", "2 x 3 places of 2.5 x 2.5 Å"
    ),
}


def observe(case: Case, path: Path, model: Any) -> None:
    """Write what the model sees of the right structure, with noise."""
    rng = np.random.default_rng(5)
    atoms = copper(0.0)
    if case.kind == "curve":
        r = np.arange(0.5, 10.0, 0.02)
        axis = (Axis("r", "Å", 0.02, 0.5),)
        g = model(axes=axis, shape=r.shape)(atoms).data
        rows = "\n".join(
            f"{a:.4f} {b:.6f}" for a, b in zip(r, g + 0.05 * rng.normal(size=len(r)), strict=True)
        )
        path.write_text(f"#### start data\n#S 1\n#L r($\\AA$)  G($\\AA^{{-2}}$)\n{rows}\n")
        return
    shape = (2, 3, 24, 24) if path.suffix == ".npz" else (32, 28)
    axes = tuple(Axis(name, "1", 1.0) for name in "abcd"[: len(shape)])
    data = model(axes=axes, shape=shape, sampling=0.3)(atoms).data
    data = data + 0.02 * data.std() * rng.normal(size=shape)
    if path.suffix == ".npz":
        np.savez(path, pattern=data)
    else:
        np.save(path, data)


def copper(spread: float) -> Any:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((2, 1, 1))
    atoms.rattle(spread, seed=3)
    return atoms


@contextmanager
def planted(folder: Path, cases: dict[str, Case], **changes: Any) -> Iterator[Path]:
    """A campaign whose forward models are files in its folder; an experiment for each case."""
    (folder / "dies.py").write_text(DIES)
    write(folder / "start.vasp", copper(0.05))
    sys.path.insert(0, str(folder))
    experiments = {}
    for name, case in cases.items():
        module = f"throwaway_{case.kind}"
        (folder / f"{module}.py").write_text(HISTOGRAM.replace("KIND", case.kind))
        sys.modules.pop("dies", None)
        sys.modules.pop(module, None)
        observe(case, folder / case.file, __import__(module).Throwaway)
        experiments[name] = {
            "data": case.file,
            **case.keys,
            "forward": {"use": f"{module}:Throwaway"},
            "metrics": {case.metric: None},
            "free": {"width": [0.1, 0.6]},
            "credit": "made for this test",
        }
    block = {
        "name": "walk",
        "structure": {"use": "file", "path": "start.vasp"},
        "energy": {"use": "ase", "name": "emt", "steps": 200},
        "experiments": experiments,
        "objectives": {"energy": 1.0} | {f"{n}.{c.metric}": 10.0 for n, c in cases.items()},
        "search": {"generators": [{"use": "random"}]},
        "stop": {"evaluations": 10},
        "workers": 0,
    }
    path = folder / "walk.yaml"
    path.write_text(yaml.safe_dump(block | changes))
    try:
        yield path
    finally:
        sys.path.remove(str(folder))
        for module in ("dies", *(f"throwaway_{case.kind}" for case in cases.values())):
            sys.modules.pop(module, None)


ALONE = ("image", "curve", "scan")  # a pattern goes the way with others, below


@pytest.fixture(params=[CASES[name] for name in ALONE], ids=ALONE)
def campaign(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Case, Path]]:
    """A campaign with one experiment."""
    with planted(tmp_path, {"seen": request.param}) as path:
        yield request.param, path


def killed_at(count: int, path: Path) -> int:
    """What a run ends with that dies at its ``count``-th structure."""
    done = subprocess.run(
        [sys.executable, "-m", "htinvert.cli", "run", path.name],
        cwd=path.parent,
        env=os.environ | {"PYTHONPATH": str(path.parent), "DIE_AT": str(count)},
        capture_output=True,
        check=False,
    )
    return done.returncode


def test_every_kind_of_data_goes_all_the_way(
    campaign: tuple[Case, Path], htinvert: Command
) -> None:
    case, path = campaign
    checked = htinvert("check", path.name, "--trust")
    assert checked.returncode == 0, checked.stderr
    assert case.words in " ".join(checked.stdout.replace("│", " ").split())
    assert (path.parent / "walk-check.png").stat().st_size > 10_000

    assert killed_at(7, path) == -signal.SIGKILL
    run = path.parent / "runs" / "walk"
    with RunStore.open(run) as store:
        done = store.counts().ok
        first = {e.candidate.index: e.objectives for e in store.evaluations()}
    assert 0 < done < 10
    resumed = htinvert("run", path.name)
    assert resumed.returncode == 0, resumed.stderr
    with RunStore.open(run) as store:
        evaluations = list(store.evaluations(signals=True))
    assert len(evaluations) == 10
    assert all(e.objectives == first.get(e.candidate.index, e.objectives) for e in evaluations)

    plan = plan_of(run)
    (channel,) = plan.recipe.channels
    assert kind_of(channel.forward).name == case.kind
    assert_signals_are_kept(evaluations, channel.observed)
    assert (run / "best-seen.png").stat().st_size > 10_000

    page = path.parent / "report.html"
    from rich.console import Console

    words = make(run, page, console=Console(quiet=True))
    text = page.read_text(encoding="utf-8")
    assert "J. Throw. Away" in text and "made for this test" in text and words in text
    families = json.loads(text.partition('id="data">')[2].partition("</script>")[0])["families"]
    panels = families[0]["images"]["seen"]
    assert {key for key, _ in kind_of(channel.forward).frame(channel.observed).panels} == {
        "experiment",
        *panels,
    }

    state = State(run, plan)
    assert state.look() and state.facts["pareto"].startswith("<svg")
    (shown,) = state.facts["signals"]
    assert set(state.pictures) == {name for name, _ in shown["panels"]}
    assert set(state.pictures) == {"seen-experiment", *(f"seen-{key}" for key in panels)}


def assert_signals_are_kept(evaluations: list[Any], observed: Signal) -> None:
    """In 12 bits or finer, on the observed axes."""
    kept = [e.signals["seen"] for e in evaluations if "seen" in e.signals]
    assert kept
    for one in kept:
        assert one.data.ndim == observed.data.ndim
        assert [axis.unit for axis in one.axes] == [axis.unit for axis in observed.axes]


MOST = 7e6  # bytes of a page, docs/report.md
LIKELY = dict.fromkeys(("energy", "image", "curve", "pattern"), "likelihood")


def test_four_data_resume_after_a_kill_fork_by_one_and_report(
    tmp_path: Path, htinvert: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image, a curve, a pattern and an energy as likelihoods; the pattern's fit is changed."""
    chosen = {name: CASES[name] for name in ("image", "curve", "pattern")}
    stop = {"evaluations": 5}
    with planted(tmp_path, chosen, objectives=LIKELY, stop=stop) as path:
        assert killed_at(3, path) == -signal.SIGKILL
        resumed = htinvert("run", path.name)
        assert resumed.returncode == 0, resumed.stderr
        with RunStore.open(tmp_path / "runs" / "walk") as store:
            before = {e.candidate.index: e for e in store.evaluations()}
        assert len(before) == 5

        block = yaml.safe_load(path.read_text())
        block["experiments"]["pattern"]["free"]["width"] = [0.1, 0.7]
        path.write_text(yaml.safe_dump(block))
        monkeypatch.setenv("LOG", str(tmp_path / "log"))
        forked = htinvert("run", path.name, "--fork", "runs/walk", "-o", "runs/fork")
        assert forked.returncode == 0, forked.stderr
        with RunStore.open(tmp_path / "runs" / "fork") as store:
            after = {e.candidate.index: e for e in store.evaluations()}
        lines = {*(tmp_path / "log").read_text().splitlines()}
        simulated = Counter(line.split()[0] for line in lines)
        assert simulated["pattern"] >= 5
        assert max(simulated["image"], simulated["curve"]) <= 2  # the start; the best's picture
        assert before.keys() == after.keys()
        for index, one in before.items():
            for name in ("energy", "image.correlation", "curve.rw"):
                assert one.objectives[name] == after[index].objectives[name]

        from rich.console import Console

        page = tmp_path / "report.html"
        make(tmp_path / "runs" / "fork", page, console=Console(quiet=True))
        text = page.read_text(encoding="utf-8")
        assert "most probable families" in text and "multiple comparisons" not in text
        families = json.loads(text.partition('id="data">')[2].partition("</script>")[0])["families"]
        assert set(families[0]["images"]) == set(chosen)
        assert page.stat().st_size < MOST
