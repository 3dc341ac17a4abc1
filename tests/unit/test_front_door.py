"""What ``import htinvert`` offers: light to import, every name there, one run object."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.cluster import Icosahedron
from ase.io import write

import htinvert as ht
from htinvert.core import Candidate, Evaluation, UserError

IMPORT_SECONDS = 0.1  # of the processor, beyond those of the bare interpreter
CLUSTER: dict[str, Any] = {
    "name": "lj7",
    "structure": {"use": "box", "size": 20.0},
    "composition": {"Xe": [7, 7]},
    "energy": {"use": "lennard_jones", "sigma": 2.5},
    "search": {"generators": [{"use": "basin_hopping"}]},
    "stop": {"evaluations": 12},
    "workers": 0,
}


def cpu_seconds(code: str) -> tuple[float, set[str]]:
    """Processor time [s] of a fresh interpreter that runs ``code``, and the modules it loaded."""
    report = (
        f"{code}\nimport json, sys, time; print(json.dumps([time.process_time(), [*sys.modules]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    seconds, modules = json.loads(done.stdout)
    return seconds, {name.partition(".")[0] for name in modules}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ht.Run:
    """A small campaign of a cluster, by a mapping."""
    return ht.run(CLUSTER, tmp_path_factory.mktemp("runs") / "lj7")


def test_the_import_is_light() -> None:
    bare = min(cpu_seconds("pass")[0] for _ in range(3))
    timed = [cpu_seconds("import htinvert") for _ in range(3)]
    assert min(seconds for seconds, _ in timed) - bare < IMPORT_SECONDS
    assert not timed[0][1] & {"numpy", "ase", "pydantic", "typer", "yaml", "importlib_metadata"}


@pytest.mark.parametrize("name", [name for name in ht.__all__ if name != "__version__"])
def test_every_name_is_there_and_says_what_it_raises_and_in_which_units(name: str) -> None:
    found = getattr(ht, name)
    assert name in dir(ht)
    text = inspect.getdoc(found) or ""
    assert text.partition("\n")[0].endswith((".", ":"))
    if inspect.isfunction(found):
        assert "Raises" in text or "raises" in text


def test_a_signal_is_shown_by_its_axes() -> None:
    image = ht.Signal.image(np.arange(12.0).reshape(3, 4), 0.5)
    curve = ht.Signal.curve(np.linspace(1, 5, 20), np.sin(np.linspace(1, 5, 20)))
    shown = ht.show(image, curve, titles=["<i>", "sine"])._repr_html_()
    assert shown.count("<figure") == 2
    assert "&lt;i&gt;" in shown and "<i>" not in shown
    with pytest.raises(UserError, match="there are 1 titles for 2 signals; give as many"):
        ht.show(image, curve, titles=["one"])


def test_the_version_is_that_of_the_installed_package() -> None:
    assert ht.__version__ == importlib.metadata.version("htinvert")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'htinvert' has no attribute 'inverse'"):
        ht.inverse  # noqa: B018


def test_load_validates_changes_as_it_does_the_campaign(tmp_path: Path) -> None:
    assert ht.load(CLUSTER, stop={"minutes": 1}).config.stop.evaluations == 12  # merged
    assert (
        ht.load(CLUSTER, stop={"evaluations": None, "minutes": 1}).config.stop.evaluations is None
    )
    assert ht.load(CLUSTER, energy={"epsilon": 2.0}).config.energy["sigma"] == 2.5
    for changes, words in (
        ({"stop": {"minutes": -1}}, r"^stop\.minutes: give a number above 0 \(given: -1\)$"),
        ({"workers": 100_000}, r"^workers: .*give 50000 or less \(given: 100000\)$"),
        ({"stop": {"evaluation": 3}}, r"^stop\.evaluation is unknown; did you mean evaluations\?$"),
        ({"worker": 3}, r"^worker is unknown; did you mean workers\?$"),
        ({"energy": {"sigma": "wide"}}, r"^energy\.sigma: .*'wide'"),
    ):
        with pytest.raises(UserError, match=words):
            ht.load(CLUSTER, **changes)
        path = tmp_path / "lj7.yaml"
        path.write_text(json.dumps(CLUSTER))
        with pytest.raises(UserError, match=words):
            ht.load(path, **changes)


def test_a_mistake_in_the_file_keeps_its_line_beside_a_change(tmp_path: Path) -> None:
    path = tmp_path / "lj7.yaml"
    path.write_text(json.dumps(CLUSTER | {"stop": {"minutes": -1}}))
    with pytest.raises(UserError, match=r"^lj7\.yaml:1: stop\.minutes"):
        ht.load(path, workers=1)


def test_a_mapping_may_hold_paths_and_tuples(tmp_path: Path) -> None:
    write(tmp_path / "start.xyz", Icosahedron("Cu", 2))
    plan = ht.load(
        {
            "name": "cu13",
            "structure": {"use": "file", "path": tmp_path / "start.xyz"},
            "composition": {"Cu": (np.int64(13), 13)},
            "energy": {"use": "ase", "name": "emt"},
        },
        folder=tmp_path,
    )
    assert len(plan.space.template) == 13


def test_run_gives_what_open_gives(run: ht.Run) -> None:
    again = ht.open(run.path)
    assert type(again) is type(run) is ht.Run
    assert again.run_id == run.run_id
    assert run.counts().ok + run.counts().failed == 12
    assert repr(run).startswith("lj7: 12 evaluated, 0 failed, 0 on their way, ")
    assert run.reason == again.reason == "12 evaluations are done"


def test_a_run_has_families_tables_and_structures(run: ht.Run, tmp_path: Path) -> None:
    best = run.best(2)
    assert [entry.rank for entry in best] == [1, 2]
    assert len(run.rank()) >= len(best)
    assert len(run.table()) == 12
    atoms = run.atoms(best[0])
    assert len(atoms) == 7
    assert atoms == run.atoms(best[0].evaluation.candidate.index)
    assert run.parameters(best[0]) == {}
    assert run.export(tmp_path / "best.xyz", top=2) == 2
    assert run.export(tmp_path / "all.csv") == len(run.rank())
    with pytest.raises(UserError, match="no known ending; choose .xyz, .cif, .vasp or .csv"):
        run.export(tmp_path / "best.doc")
    with pytest.raises(UserError, match="the campaign has no experiment 'haadf'; it has none"):
        run.signal(best[0], "haadf")
    with pytest.raises(UserError, match="objective nothing is unknown"):
        run.rank(nothing=1.0)


def test_a_run_writes_its_report(run: ht.Run, tmp_path: Path) -> None:
    assert run.report(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_same_call_resumes_and_workers_are_validated(run: ht.Run) -> None:
    more = ht.load(CLUSTER, stop={"evaluations": 14})
    with pytest.raises(UserError, match="workers: give 0 or more"):
        ht.run(more, run.path, workers=-1)
    assert ht.run(more, run.path, workers=0).counts().ok == 14


def test_one_structure_is_evaluated_by_a_plan_or_its_recipe(run: ht.Run) -> None:
    # Seven Lennard-Jones atoms: the pentagonal bipyramid, -16.505384 epsilon; Hoare & Pal, Adv.
    # Phys. 20, 161 (1971). What a search has found is at a minimum, so that it stays where it is.
    best = run.best(1)[0].evaluation
    plan = ht.load(CLUSTER)
    for by in (plan, plan.recipe, run.plan):
        found = ht.evaluate(best.atoms, by)
        assert isinstance(found, Evaluation) and isinstance(found.candidate, Candidate)
        assert found.objectives["energy"] == pytest.approx(best.objectives["energy"], abs=1e-4)
    assert best.objectives["energy"] >= -16.505384 - 1e-4


def test_a_component_is_made_as_by_a_campaign() -> None:
    engine = ht.component("energy", "lennard_jones", epsilon=2.0)
    assert engine.epsilon == 2.0
    with pytest.raises(UserError, match="there is no kind of component 'engine'"):
        ht.component("engine", "lennard_jones")
    with pytest.raises(UserError, match="forward stem_convolve is unknown; did you mean stem_conv"):
        ht.component("forward", "stem_convolve")
    with pytest.raises(UserError, match="sampling"):
        ht.component("forward", "stem_convolution", sampling="fine")


@pytest.fixture(scope="module")
def micrograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CdTe crystal along [100] as a file, 0.3 Å/px."""
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    show = ht.component(
        "forward", "stem_convolution", sampling=0.3, shape=[96, 96], source_size=1.0
    )
    counts = np.random.default_rng(0).poisson(300 * show(crystal).data / show(crystal).data.max())
    path = tmp_path_factory.mktemp("data") / "image.npy"
    np.save(path, counts)
    return path


def test_what_is_read_is_compared_and_registered(micrograph: Path) -> None:
    observed = ht.read(micrograph, sampling=0.3)
    assert isinstance(observed, ht.Signal)
    with pytest.raises(UserError, match="kind imag is unknown; did you mean image"):
        ht.read(micrograph, kind="imag")
    crystal = bulk("CdTe", "zincblende", a=6.48, cubic=True)
    other = bulk("ZnTe", "zincblende", a=6.10, cubic=True)
    show = ht.component(
        "forward", "stem_convolution", sampling=0.3, shape=[40, 40], source_size=1.0
    )
    found = ht.register(crystal, observed, forward=show, free={"shift_x": (-2.0, 2.0)})
    assert found.score.cost < 0.3
    both = ht.compare(
        {"CdTe": crystal, "ZnTe": other},
        observed,
        forward=show,
        metric=ht.component("metric", "correlation"),
        size=32,
    )
    assert both.best == "CdTe"


def test_a_micrograph_is_looked_up_in_a_library(micrograph: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    for formula, a in (("CdTe", 6.48), ("GaAs", 5.65)):
        crystal = bulk(formula, "zincblende", a=a, cubic=True).repeat((1, 6, 6))
        write(library / f"{formula}.xyz", crystal)
    found = ht.match(ht.read(micrograph, sampling=0.3), library, top=2, tolerance=0.02)
    assert found.names[0].startswith("CdTe")
    assert "CdTe" in found.verdict
