"""Whatever one file of a run loses, no order of starting and repairing it again costs a result.

Each kind of file is lost, emptied or has one bit flipped, in a run that is young, killed midway or
closed; then the same command goes on first, or a repair, and so on. What could be read of journal
and archive after the damage can be read at the end, and what could not is never said to be there.
"""

import random
import shutil
from itertools import product
from pathlib import Path

import pytest

import htinvert.store.run
from htinvert.core import UserError
from htinvert.store import RunStore, archive
from htinvert.store.marks import Marks
from htinvert.store.salvage import verify
from htinvert.store.source import Remains
from htinvert.store.verify import LOST, Findings, inspect

from .pseudo import BLOCK, RECIPE, drive, pseudo_evaluation, same

SAMPLE = 5
MORE = 7  # results that the same command adds each time
STAGES = {"young": 5, "middle": 4 * BLOCK + 5, "closed": 4 * BLOCK + 5}
KINDS = ("lost", "emptied", "flipped")
ORDERS = (
    ("resume", "check", "repair", "resume"),
    ("resume", "resume", "repair", "check"),
    ("check", "resume", "repair", "repair"),
    ("repair", "resume", "check", "repair"),
)


class Killed(Exception):
    """Ends a driver without closing its run."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run at each stage."""
    home = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(htinvert.store.run, "BLOCK", BLOCK)
        for stage, total in STAGES.items():
            path = home / stage / "run"
            if stage != "young":
                for part in (total - 12, total - 6):
                    drive(path, ignore, total=part, block=BLOCK)
            if stage == "closed":
                drive(path, ignore, total=total, block=BLOCK)
            else:
                begin_and_kill(path, total)
            (path / "config.yaml").write_text("name: pseudo\n")
    return {stage: home / stage / "run" for stage in STAGES}


def ignore(text: str) -> None:
    """Hear nothing."""


def begin_and_kill(path: Path, total: int) -> None:
    """Go on to ``total`` proposals, and leave all but the last one as results in the journal."""
    run = RunStore.create_or_open(path, recipe=RECIPE, provenance={})
    made = [pseudo_evaluation(index) for index in range(run.next_index, total)]
    run.propose((evaluation.candidate, key) for evaluation, key in made)
    run.commit(evaluation for evaluation, _ in made[:-1])
    run.checkpoint.save({}, b"")
    run._shut()


def files_of(run: Path, dice: random.Random) -> list[str]:
    """One file or folder of each kind, by its path; of arrays a description and a chunk."""
    found: dict[str, list[str]] = {}
    for path in sorted(run.rglob("*")):
        parts = path.relative_to(run).parts
        if path.is_file():
            last = "zarr.json" if path.name == "zarr.json" else "chunk"
            inner = parts[0] in ("results.zarr", "epoch")
            kind = (*parts[:2], len(parts) > 3, last) if inner else parts
            found.setdefault(str(kind), []).append(str(Path(*parts)))
    folders = [name for name in ("epoch", "results.zarr") if (run / name).exists()]
    return sorted(dice.choice(names) for names in found.values()) + folders


def damage(path: Path, kind: str, dice: random.Random) -> bool:
    """Do it; whether anything has changed."""
    if path.is_dir():
        if kind == "lost":
            shutil.rmtree(path)
        return kind == "lost"
    raw = bytearray(path.read_bytes())
    if kind == "lost":
        path.unlink()
    elif kind == "emptied":
        path.write_bytes(b"")
    elif raw:
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        path.write_bytes(raw)
    return kind == "lost" or bool(raw)


def readable(path: Path) -> set[int]:
    """Candidates whose results can be read from journal and archive, each as it must be.

    Descriptions of arrays count as readable where the folder has a copy of them.
    """
    bad = inspect(path, full=True)
    state = Marks(path).state()
    if archive.restorable(path, state, bad.bad):
        path = shutil.copytree(path, path.with_name("restored"), dirs_exist_ok=True)
        archive.restore_descriptions(path, state, bad.bad)
        bad = inspect(path, full=True)
    source = Remains(path, bad)
    found = [row.evaluation for row in source.rows(lambda done, total: None)]
    source.close()
    shutil.rmtree(path.with_name("restored"), ignore_errors=True)
    assert all(same(one, pseudo_evaluation(one.candidate.index)[0]) for one in found)
    return {one.candidate.index for one in found}


def take(step: str, path: Path) -> Findings | None:
    """One step of an order; what verify has found, None where that was not asked."""
    if step != "resume":
        return verify(path, full=True, repair=step == "repair")
    try:
        with RunStore.open(path) as run:
            total = run.next_index + MORE
        drive(path, ignore, total=total, block=BLOCK)
    except UserError:
        pass  # it says so
    return None


def test_no_order_of_starts_and_repairs_costs_what_can_be_read(
    full: bool, runs: dict[str, Path], tmp_path: Path
) -> None:
    dice = random.Random(20261121)
    whole = {stage: readable(run) for stage, run in runs.items()}
    cases = [
        case
        for stage, run in runs.items()
        for case in product([stage], files_of(run, dice), KINDS, ORDERS)
    ]
    met = hit = 0
    for stage, name, kind, order in cases if full else dice.sample(cases, SAMPLE):
        path = tmp_path / f"{met}" / "run"
        shutil.copytree(runs[stage], path)
        if damage(path / name, kind, dice):
            met += 1
            hit += try_order(path, whole[stage], order, f"{stage} {name} {kind} {order}")
        shutil.rmtree(path.parent)
    print(f"{met} damages, {hit} of which cost results by themselves")


def try_order(path: Path, whole: set[int], order: tuple[str, ...], case: str) -> bool:
    """Start and repair a damaged run; whether the damage alone has cost a result."""
    held = readable(path)
    said = False
    for step in order:
        missing = not whole <= held
        found = take(step, path)
        if found is not None and missing and not said:
            assert found.code == LOST, (case, step, found)
        said |= step == "repair"  # what it has called lost may be there no more
        kept = readable(path)
        assert held <= kept, (case, step, found)
        held = kept
    if verify(path, full=True).problems == []:
        with RunStore.open(path) as run:
            assert {e.candidate.index for e in run.evaluations(signals=True)} == held, case
    return not whole <= held
