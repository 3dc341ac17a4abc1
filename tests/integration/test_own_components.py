"""Components of one's own: by which name their objectives go, and what is said when they fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from htinvert.cli import main
from htinvert.store import RunStore

from .conftest import experiment

Writer = Callable[..., Path]

OWN = """
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from htinvert.core import Score, Signal
from htinvert.forward.stem_convolution import StemConvolution


@dataclass(frozen=True)
class Broken:
    sampling: float | None = None
    shape: tuple[int, int] | None = None
    gain: float = 1.0

    def __call__(self, atoms):
        return [][len(atoms)]


@dataclass(frozen=True)
class Rw:
    power: float = 2.0

    def __call__(self, simulated, observed):
        return Score(float(np.mean(np.abs(simulated.data - observed.data) ** self.power)))


def failing(scale: float = 1.0) -> Callable[..., Score]:
    def metric(simulated, observed):
        raise ValueError("no such\\n scale")
    return metric


@dataclass(frozen=True)
class Profile:
    step: float = 0.3
    size: int = 60

    def __call__(self, atoms):
        assert len(atoms), "an empty structure"
        return Signal.image(np.full((self.size, 40), float(len(atoms))), self.step)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with components, in the folder of the campaign; its name is new in every test."""
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return name


def typed(*words: str | Path) -> int:
    """What a command line ends with, where the module is trusted."""
    asked = words[0] in ("check", "register", "compare")
    sys.argv = ["htinvert", *map(str, words), *(["--trust"] if asked else [])]
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("part", ["forward", "metric"])
@pytest.mark.parametrize("verb", ["check", "run", "register", "compare"])
def test_what_a_component_raises_is_one_sentence_with_its_place(
    campaign: Writer, own: str, capsys: pytest.CaptureFixture[str], verb: str, part: str
) -> None:
    """It was a traceback of some fifty lines, though in a campaign a recorded reason."""
    broken: dict[str, Any] = {"metrics": {f"{own}:failing": None}}
    place, says = "metrics.failing", "ValueError: no such scale"
    if part == "forward":
        broken = {"forward": {"use": f"{own}:Broken"}}
        place, says = "forward", "IndexError: list index out of range"
    path = campaign(experiments=experiment(**broken))
    words: list[str | Path] = [verb, path]
    if verb in ("register", "compare"):
        block = experiment(**broken)["haadf"]
        if part == "forward":
            block["free"] = {"gain": [0.5, 2.0]}
        elif verb == "register":
            block["forward"] = {"use": "stem_convolution", "shape": [40, 30]}
        Path("experiment.yaml").write_text(yaml.safe_dump(block))
        files = ["crystal.vasp", "start.vasp"]
        words = [verb, "experiment.yaml", *files, "--size", "20"]
        if verb == "register":
            words = [verb, files[0], "experiment.yaml"]
    else:
        place = f"experiments.haadf.{place}"
    assert typed(*words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"htinvert: {place} raised {says} ({own}.py, line ")
    assert line.endswith("; correct the component or its parameters")


def test_a_metric_of_a_module_goes_by_its_own_name(campaign: Writer, own: str) -> None:
    """Its objective was called ``haadf.module:Rw``."""
    made = campaign(
        experiments=experiment(metrics={f"{own}:Rw": {"power": 1.0}}),
        objectives={"energy": 1.0, "haadf.Rw": 2.0},
        stop={"evaluations": 2, "target": {"haadf.Rw": -1.0}},
    )
    assert typed("run", made, "-o", "run") == 0
    with RunStore.open(Path("run")) as store:
        good = [e for e in store.evaluations() if e.ok]
        assert {"haadf.Rw"} == {name for e in good for name in e.scores}
        assert "objectives.haadf.Rw" in store.table()
    assert typed("rank", "run", "--weight", "haadf.Rw=3") == 0


def test_two_metrics_of_one_name_are_a_mistake_that_says_how_to_name_them(
    campaign: Writer, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {"registration": None, f"{own}:Rw": None, f"{own}.sub:Rw": None}
    (Path(f"{own}.py")).rename("inner.py")
    Path(own).mkdir()
    Path(own, "__init__.py").write_text(OWN)
    Path(own, "sub.py").write_text(OWN)
    path = campaign(experiments=experiment(metrics=metrics))
    assert typed("check", path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"metrics.{own}:Rw would be called haadf.Rw like {own}.sub:Rw" in line
    assert f'Rw_2: {{use: "{own}:Rw"}}' in line
    del metrics[f"{own}.sub:Rw"]
    metrics["Rw_2"] = {"use": f"{own}.sub:Rw"}
    assert typed("check", campaign(experiments=experiment(metrics=metrics))) == 0


@pytest.mark.parametrize("verb", ["check", "run"])
def test_an_empty_box_is_never_simulated(
    campaign: Writer, own: str, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """Its forward model was called with no atoms before the first candidate, and failed."""
    cluster = {
        "structure": {"use": "box", "size": 12},
        "region": None,
        "composition": {"Cd": [2, 2], "Te": [2, 2]},
        "stop": {"evaluations": 3},
    }
    block = experiment(forward={"use": f"{own}:Profile"}, metrics={f"{own}:Rw": None})
    assert typed(verb, campaign(**cluster, experiments=block)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the start structure has no atoms: nothing is fitted, simulated or priced" in said
    assert verb == "run" or "an empty box, cell 12.000 x 12.000 x 12.000 Å, 0 atoms" in said
    block["haadf"]["free"] = {"step": [0.2, 0.4]}
    assert typed(verb, campaign(**cluster, experiments=block, name="other")) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "experiments.haadf.free.step is fitted to the start structure, but that has no" in line
    assert "name it in refit" in line
