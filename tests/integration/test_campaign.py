"""Campaigns: what they promise of stopping, resuming and being killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr

import htinvert as ht
from htinvert.campaign.loop import Campaign, Progress, run
from htinvert.campaign.screen import Screened
from htinvert.core import Candidate, Evaluation, UserError
from htinvert.generators.mixture import Mixture
from htinvert.ranking.rank import operator_yields
from htinvert.store import RunStore
from htinvert.store.salvage import verify
from htinvert.store.tables import crc_of

from .conftest import environment, writer
from .zygote import Forked, Zygote

Start = Callable[[Path, Path], Forked]
Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]
KILLS = 10


def records(folder: Path) -> list[tuple[int, str, float]]:
    """Index, operator and energy [eV] of everything committed, in commit order."""
    with RunStore.open(folder) as store:
        return [
            (e.candidate.index, e.candidate.operator, e.objectives.get("energy", np.nan))
            for e in store.evaluations()
        ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str, float]]:
    """What forty evaluations of the usual campaign are, where nothing happens to it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    run(ht.load(writer(folder)(), stop={"evaluations": 40}), folder / "run")
    return records(folder / "run")


def test_a_campaign_stops_after_its_evaluations(campaign: Writer, tmp_path: Path) -> None:
    seen: list[int] = []

    def observe(progress: Progress) -> None:
        seen.append(progress.evaluated)

    end = run(ht.load(campaign()), tmp_path / "run", observer=observe)
    assert end.reason == "30 evaluations are done"
    assert len(records(tmp_path / "run")) == 30 == max(seen)
    assert seen == sorted(seen)


def test_a_runs_own_config_names_its_files_and_goes_on_with_it(
    campaign: Writer, tmp_path: Path
) -> None:
    run(ht.load(campaign(), stop={"evaluations": 5}), tmp_path / "runs" / "run")
    own = tmp_path / "runs" / "run" / "config.yaml"
    raw = yaml.safe_load(own.read_text())
    assert raw["structure"]["path"] == "../../start.vasp"
    assert raw["experiments"]["haadf"]["data"] == "../../image.npy"
    assert raw["energy"]["potential"] == "CdTe.sw"
    end = run(ht.load(own, stop={"evaluations": 8}), own.parent)
    assert (end.evaluated, end.session) == (8, 3)


def test_candidates_refit_from_their_parents_and_a_resumed_run_does_too(
    campaign: Writer, tmp_path: Path
) -> None:
    free = {"shift_x": [-0.5, 0.5], "source_size": [0.5, 2.0]}
    raw = yaml.safe_load(campaign().read_text())["experiments"]["haadf"]
    experiments = {"haadf": raw | {"free": free, "refit": ["shift_x"]}}
    path = campaign(experiments=experiments)
    run(ht.load(path, stop={"evaluations": 24}), tmp_path / "straight")
    run(ht.load(path, stop={"evaluations": 15}), tmp_path / "resumed")
    run(ht.load(path, stop={"evaluations": 24}), tmp_path / "resumed")
    straight, resumed = (_fitted(tmp_path / name) for name in ("straight", "resumed"))
    assert len(set(straight.values())) > 10  # Å, each candidate its own
    assert straight == resumed


def _fitted(folder: Path) -> dict[int, float]:
    """The shift that each candidate ended with; no other parameter was fitted."""
    with RunStore.open(folder) as store:
        found = {e.candidate.index: e.parameters["haadf"] for e in store.evaluations() if e.ok}
        assert any(e.candidate.parents for e in store.evaluations())
    assert all(list(values) == ["shift_x"] for values in found.values())
    return {index: values["shift_x"] for index, values in found.items()}


def test_the_same_seed_in_one_process_finds_the_same(
    campaign: Writer, tmp_path: Path, undisturbed: list[tuple[int, str, float]]
) -> None:
    plan = ht.load(campaign())
    run(plan, tmp_path / "a")
    run(ht.load(campaign(), seed=2, stop={"evaluations": 8}), tmp_path / "c")
    assert records(tmp_path / "a") == undisturbed[:30]
    assert records(tmp_path / "c") != undisturbed[:8]
    again = run(plan, tmp_path / "a")
    assert again.session == 0, "a finished campaign evaluates nothing again"
    assert records(tmp_path / "a") == undisturbed[:30]


def test_a_resumed_campaign_ends_like_an_undisturbed_one(
    campaign: Writer, tmp_path: Path, undisturbed: list[tuple[int, str, float]]
) -> None:
    run(ht.load(campaign(), stop={"evaluations": 17}), tmp_path / "parts")
    run(ht.load(campaign(), stop={"evaluations": 40}), tmp_path / "parts")
    assert records(tmp_path / "parts") == undisturbed


@pytest.mark.parametrize("selection", ["auto", "weighted_sum", "nsga2"])
def test_a_resumed_campaign_goes_on_bit_for_bit_under_any_selection(
    campaign: Writer, tmp_path: Path, selection: str
) -> None:
    generators = [{"use": "genetic", "random": 6, "selection": selection, "credit": "steps"}]
    path = campaign(search={"generators": generators})
    ends = [run(ht.load(path, stop={"evaluations": 24}), tmp_path / "whole")]
    run(ht.load(path, stop={"evaluations": 15}), tmp_path / "parts")
    ends.append(run(ht.load(path, stop={"evaluations": 24}), tmp_path / "parts"))
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert ends[0].refused == ends[1].refused
    assert ends[0].duplicates == ends[1].duplicates


@pytest.mark.parametrize("left", ["whole", "half", "lost", "flipped"])
def test_a_resumed_campaign_is_told_what_came_after_its_checkpoint(
    campaign: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: list[tuple[int, str, float]],
    left: str,
) -> None:
    """Whatever of the checkpoint is left, the campaign goes on bit for bit."""
    folder = tmp_path / "parts"
    run(ht.load(campaign(), stop={"evaluations": 12}), folder)
    state = folder / "checkpoint.json"
    if left == "half":  # as after a kill: the checkpoint is of an earlier time than the results
        early = state.read_bytes()
        run(ht.load(campaign(), stop={"evaluations": 17}), folder)
        state.write_bytes(early)
    elif left == "lost":
        state.unlink()
    elif left == "flipped":
        raw = bytearray(state.read_bytes())
        raw[99] ^= 1
        state.write_bytes(raw)
    told: list[int] = []
    replay, tell = Campaign.replay, Mixture.tell

    def count(self: Mixture, evaluations: list[Evaluation]) -> None:
        told.append(len(evaluations))
        tell(self, evaluations)

    def counted(self: Campaign) -> None:
        monkeypatch.setattr(Mixture, "tell", count)
        replay(self)
        monkeypatch.setattr(Mixture, "tell", tell)

    monkeypatch.setattr(Campaign, "replay", counted)
    end = run(ht.load(campaign(), stop={"evaluations": 40}), folder)
    assert sum(told) == {"whole": 0, "half": 5, "lost": 12, "flipped": 12}[left]
    assert records(folder) == undisturbed
    assert end.evaluated == 40


def test_other_weights_make_a_checkpoint_void(campaign: Writer, tmp_path: Path) -> None:
    """The population was drawn by the old ones; all is told again, as if they had always held."""
    weights = {"energy": 1.0, "haadf.registration": 50.0}
    run(ht.load(campaign(), stop={"evaluations": 15}), tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / "checkpoint.json").unlink()
    for name in ("first", "second"):
        run(ht.load(campaign(objectives=weights), stop={"evaluations": 30}), tmp_path / name)
    assert records(tmp_path / "first") == records(tmp_path / "second")


def test_credit_by_measured_seconds_is_replayed_from_what_was_measured(
    campaign: Writer, tmp_path: Path
) -> None:
    """Seconds differ from run to run, so both drivers go on from copies of one folder."""
    path = campaign(search={"generators": [{"use": "genetic", "random": 6, "credit": "seconds"}]})
    run(ht.load(path, stop={"evaluations": 16}), tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    for name in ("first", "second"):
        run(ht.load(path, stop={"evaluations": 17}), tmp_path / name)
    assert records(tmp_path / "first") == records(tmp_path / "second")


def test_more_evaluations_are_added_to_a_finished_run(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    path = campaign(stop={"evaluations": 12, "patience": 1000, "target": {"energy": 1e6}})
    assert "the target is reached: energy 1e+06" in htinvert("run", path).stdout
    before = len(records(tmp_path / "runs/tiny"))
    assert before < 12
    assert f"{before + 7} evaluations are done" in htinvert("run", path, "--more", "7").stdout
    assert len(records(tmp_path / "runs/tiny")) == before + 7
    both = htinvert("run", path, "--more", "7", "--evaluations", "30")
    assert both.returncode == 2
    assert "two answers to one question" in both.stderr


def test_a_budget_of_core_seconds_counts_earlier_sessions(campaign: Writer, tmp_path: Path) -> None:
    path = campaign(stop={"core_seconds": 0.05})
    end = run(ht.load(path), tmp_path / "run")
    assert end.reason == "evaluations took 0.05 core-seconds"
    assert end.core_seconds >= 0.05
    assert run(ht.load(path), tmp_path / "run").session == 0


def test_a_target_ends_a_campaign_also_on_resume(campaign: Writer, tmp_path: Path) -> None:
    first = run(ht.load(campaign()), tmp_path / "a")
    path = campaign(stop={"target": {"total": first.best}})
    end = run(ht.load(path), tmp_path / "b")
    assert end.reason.startswith("the target is reached: total")
    assert end.best == first.best
    assert end.evaluated <= first.evaluated
    assert run(ht.load(path), tmp_path / "b").session == 0


def test_a_run_of_an_older_version_goes_on_though_keys_were_added_since(
    campaign: Writer, tmp_path: Path
) -> None:
    path = campaign()
    run(ht.load(path, stop={"evaluations": 10}), tmp_path / "run")
    journal = tmp_path / "run" / "journal.sqlite"
    with closing(sqlite3.connect(journal)) as connection, connection:
        (text,) = connection.execute("SELECT value FROM meta WHERE name = 'recipe'").fetchone()
        recipe = json.loads(text)
        del recipe["search"]["novelty"], recipe["search"]["equivalents"]
        older = json.dumps(recipe, sort_keys=True)
        change = "UPDATE meta SET value = ?, crc = ? WHERE name = 'recipe'"
        connection.execute(change, (older, crc_of("recipe", older)))
    assert run(ht.load(path, stop={"evaluations": 14}), tmp_path / "run").evaluated == 14
    search = {**yaml.safe_load(path.read_text())["search"], "novelty": 0.1}
    with pytest.raises(UserError, match=r"search.novelty is 0.1 but was absent; restore"):
        run(ht.load(campaign(search=search), stop={"evaluations": 20}), tmp_path / "run")


def test_what_relaxes_into_a_known_family_is_counted_and_shown(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    ran = htinvert("run", campaign())
    assert "what the operators brought" in ran.stdout
    said = htinvert("status", tmp_path / "runs/tiny").stdout
    with RunStore.open(tmp_path / "runs/tiny") as store:
        evaluations = list(store.evaluations())
        refused = store.counts().refused_by
    objectives = ht.load(tmp_path / "tiny.yaml").objectives
    yields = operator_yields(evaluations, refused, objectives)
    duplicates = sum(entry.duplicates for entry in yields)
    assert duplicates > 0
    assert f"relaxed into a known family: {duplicates} (" in said
    assert "core-seconds" in said
    assert all(entry.operator in said for entry in yields)


def test_a_search_that_can_propose_nothing_new_says_why_it_ends(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.campaign.proposals.FRUITLESS", 20)
    monkeypatch.setattr(Mixture, "ask", lambda self, indices: [])
    end = run(ht.load(campaign()), tmp_path / "run")
    assert "the last 20 proposals were nothing new (20 infeasible)" in end.reason


def test_each_try_of_a_screen_counts_as_a_proposal_of_nothing_new(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five indices of four tries each are as fruitless as twenty proposals without a screen."""
    asked: list[int] = []
    monkeypatch.setattr("htinvert.campaign.proposals.FRUITLESS", 20)
    monkeypatch.setattr(Screened, "ask", lambda self, indices: asked.extend(indices) or [])
    screen = {"energy": {"use": "lammps", "potential": "CdTe.sw"}, "tries": 4}
    search = {"generators": [{"use": "genetic"}], "screen": screen}
    end = run(ht.load(campaign(search=search)), tmp_path / "run")
    assert "the last 20 proposals were nothing new (20 screened)" in end.reason
    assert len(asked) == 5


def test_a_search_that_proposes_nothing_heeds_a_signal(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the fifth proposal that comes to nothing the terminal is closed."""
    asked = 0

    def ask(self: Mixture, indices: Sequence[int]) -> list[Candidate]:
        nonlocal asked
        asked += len(indices)
        if asked == 5:
            os.kill(os.getpid(), signal.SIGHUP)
        return []

    monkeypatch.setattr(Mixture, "ask", ask)
    end = run(ht.load(campaign()), tmp_path / "run")
    assert end.reason.startswith("interrupted")
    assert asked == 5


def test_patience_and_minutes_end_a_campaign(campaign: Writer, tmp_path: Path) -> None:
    patient = run(ht.load(campaign(stop={"patience": 12})), tmp_path / "a")
    assert patient.reason == "no improvement in 12 evaluations"
    timed = run(ht.load(campaign(stop={"minutes": 0.02})), tmp_path / "b")
    assert timed.reason == "0.02 minutes are over"


def test_repetitions_are_refused_before_they_cost_anything(
    campaign: Writer, tmp_path: Path
) -> None:
    search = {
        "generators": [{"use": "htinvert.generators.random:Random"}, {"use": "repeater:Same"}]
    }
    (tmp_path / "repeater.py").write_text(
        "import numpy as np\n"
        "from htinvert.core import Candidate\n"
        "from htinvert.generators.operators import random_structure\n"
        "class Same:\n"
        "    def __init__(self, space, objectives, seed): self.space = space\n"
        "    def ask(self, indices):\n"
        "        atoms = random_structure(self.space, rng=np.random.default_rng(0))\n"
        "        return [Candidate(i, atoms, 'same') for i in indices]\n"
        "    def tell(self, evaluations): pass\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        run(ht.load(campaign(search=search)), tmp_path / "run")
    finally:
        sys.path.remove(str(tmp_path))
    with RunStore.open(tmp_path / "run") as store:
        assert store.counts().refused["duplicate"] > 5
    assert sum(operator == "same" for _, operator, _ in records(tmp_path / "run")) <= 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_an_interrupted_campaign_folds_what_it_has(
    campaign: Writer, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    driver = start(campaign(workers=1, stop={"minutes": 5}), tmp_path)
    wait_for(tmp_path / "runs/tiny", 5)
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)  # as a terminal does
    else:
        driver.send_signal(number)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert "Traceback" not in out
    assert "interrupted; the same command goes on from here" in out
    folded = zarr.open_group(tmp_path / "runs/tiny/results.zarr", mode="r")
    committed = records(tmp_path / "runs/tiny")
    assert folded["candidates/index"].shape == (len(committed),)
    np.testing.assert_array_equal(folded["candidates/index"][:], [i for i, _, _ in committed])


def test_an_interruption_before_the_first_result_is_no_failure(
    campaign: Writer, start: Start, tmp_path: Path
) -> None:
    """A driver's job that ends with an error does not go back into the queue."""
    (tmp_path / "slow.py").write_text(
        "import time\n"
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n"
        "@dataclass(frozen=True)\n"
        "class Slow:\n"
        "    def __call__(self, atoms):\n"
        "        Path('begun').touch()\n"
        "        time.sleep(600)\n"
    )
    driver = start(campaign(energy={"use": "slow:Slow"}, experiments=None, workers=1), tmp_path)
    end = time.monotonic() + 90
    while not list(tmp_path.rglob("begun")):
        assert time.monotonic() < end and driver.poll() is None
        time.sleep(0.1)
    driver.send_signal(signal.SIGTERM)
    out, _ = driver.communicate(timeout=90)
    assert "interrupted; the same command goes on from here" in out
    assert "nothing to rank yet" in out
    assert driver.returncode == 0, out


def test_ten_kills_lose_and_double_nothing(campaign: Writer, start: Start, tmp_path: Path) -> None:
    """Kill the driver at random moments, resume, and compare what was committed at each death."""
    path, folder = campaign(workers=2, stop={"minutes": 10}), tmp_path / "runs/tiny"
    alone = path.with_name("alone.yaml")  # most times, for workers take longest to start
    alone.write_text(path.read_text().replace("workers: 2", "workers: 0"))
    dice = random.Random(7)  # noqa: S311
    committed: dict[int, float] = {}
    for kill in range(KILLS):
        driver = start(alone if kill % 4 else path, tmp_path)
        if kill == 0 or dice.random() < 0.8:
            wait_for(folder, len(committed) + 1)
        time.sleep(dice.uniform(0.0, 1.0))
        driver.kill()  # the driver alone: its workers have to go by themselves
        driver.communicate()
        if not (folder / "journal.sqlite").exists():
            continue
        now = {index: energy for index, _, energy in records(folder)}
        assert committed.items() <= now.items()  # every earlier result is there, unchanged
        committed = now
    last = start(path, tmp_path)
    wait_for(folder, len(committed) + 1)
    last.send_signal(signal.SIGTERM)
    last.communicate(timeout=60)
    final = records(folder)
    assert committed.items() <= {index: energy for index, _, energy in final}.items()
    assert len({index for index, _, _ in final}) == len(final)
    group = zarr.open_group(folder / "results.zarr", mode="r")
    keys = [bytes(row) for row in group["candidates/key"][:]]
    assert len(set(keys)) == len(keys) == len(final)
    assert verify(folder, full=True).problems == []


def test_a_candidate_that_kills_its_worker_is_a_failure_with_a_reason(
    campaign: Writer, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "poison.py").write_text(
        "import os\n"
        "from dataclasses import dataclass\n"
        "from pathlib import Path\n"
        "from htinvert.energy.lammps import Lammps\n"
        "@dataclass(frozen=True)\n"
        "class Poison:\n"
        "    def __call__(self, atoms):\n"
        "        if atoms.get_chemical_symbols().count('Te') > 11: os._exit(1)\n"
        "        return Lammps(Path('CdTe.sw'))(atoms)\n"
    )
    path = campaign(
        energy={"use": "poison:Poison"}, workers=2, stop={"evaluations": 5}, search=None
    )
    driver = start(path, tmp_path)
    out, _ = driver.communicate(timeout=170)
    assert driver.returncode == 0, out
    with RunStore.open(tmp_path / "runs/tiny") as store:
        errors = [e.error for e in store.evaluations() if e.error]
        assert store.counts().ok + len(errors) == 5
    assert errors
    assert all("the worker was lost" in error for error in errors)


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start `htinvert run` in its own process group, so that its workers die with it."""
    zygote = Zygote()

    def begin(campaign: Path, folder: Path) -> Forked:
        return zygote.start("run", str(campaign), folder=folder, env=environment(folder))

    yield begin
    zygote.close()


def wait_for(folder: Path, count: int, *, seconds: float = 90) -> None:
    """Wait until a run has committed so many results."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if len(records(folder)) >= count:
                return
        except Exception:  # noqa: S110  (the run does not exist yet)
            pass
        time.sleep(0.1)
    pytest.fail(f"no {count} results after {seconds} s")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_workers_that_are_ended_from_outside_come_back(
    campaign: Writer, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """A driver that waited for its two ended workers once hung for an hour, deaf to SIGTERM."""
    driver = start(campaign(workers=2, stop={"evaluations": 10**6, "minutes": 5}), tmp_path)
    wait_for(tmp_path / "runs/tiny", 10)
    for worker in worker_processes(driver.pid):
        os.kill(worker, number)
    before = len(records(tmp_path / "runs/tiny"))
    wait_for(tmp_path / "runs/tiny", before + 15, seconds=150)
    driver.send_signal(signal.SIGTERM)
    out, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert "Traceback" not in out
    assert "interrupted; the same command goes on from here" in out


def worker_processes(driver: int) -> list[int]:
    """Ids of the worker processes below a driver: those that Dask has spawned."""
    threads = Path(f"/proc/{driver}/task").glob("*/children")
    children = [child for thread in threads for child in thread.read_text().split()]
    spawned = [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    assert spawned
    return [int(child) for child in spawned]
