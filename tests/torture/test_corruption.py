"""Any damage to any file is found by `verify --full`, never read as a value, and repaired."""

import random
import shutil
from pathlib import Path

import pytest

import htinvert.store.run
from htinvert.core import UserError
from htinvert.store import RunStore
from htinvert.store.salvage import verify

from .pseudo import BLOCK, drive, pseudo_evaluation, same

DAMAGES, SAMPLE, REPAIRS, REPAIRED_SAMPLE = 1000, 20, 200, 3
TOTAL = 4 * BLOCK + 5
KINDS = ("flip", "cut", "delete", "zero")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped cleanly, with sealed blocks that have left the journal."""
    path = tmp_path_factory.mktemp("sound") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(htinvert.store.run, "BLOCK", BLOCK)
        for total in (TOTAL - 12, TOTAL - 6, TOTAL):
            drive(path, lambda text: None, total=total, block=BLOCK)
    with RunStore.open(path) as run:
        assert int(run._journal.meta("dropped")) >= BLOCK
    assert verify(path, full=True).problems == []
    return path


def damage(path: Path, kind: str, dice: random.Random) -> None:
    """Do one thing to one file that leaves it other than it was."""
    raw = bytearray(path.read_bytes())
    if kind == "delete":
        path.unlink()
        return
    if kind == "cut":
        raw = raw[: dice.randrange(len(raw))]
    elif kind == "flip":
        raw[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
    else:
        page = dice.randrange(len(raw)) // 4096 * 4096
        raw[page : page + 4096] = bytes(len(raw[page : page + 4096]))
    path.write_bytes(raw)


def files_of(run: Path) -> list[Path]:
    """Every file that is not empty, each kind of it as often as every other."""
    return sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)


def chosen(run: Path, dice: random.Random) -> Path:
    """A file, the few big ones as often as the many small ones."""
    files = files_of(run)
    beside = [path for path in files if "results.zarr" not in path.parts]
    return dice.choice(beside if dice.random() < 0.5 else files)


def test_every_damage_is_found_and_none_is_read(full: bool, sound: Path, tmp_path: Path) -> None:
    dice = random.Random(4)
    copy = tmp_path / "run"
    shutil.copytree(sound, copy)
    for _ in range(DAMAGES if full else SAMPLE):
        victim = chosen(copy, dice)
        kind = dice.choice(KINDS)
        before = victim.read_bytes()
        damage(victim, kind, dice)
        if victim.exists() and victim.read_bytes() == before:
            continue
        assert verify(copy, full=True).problems, (kind, victim)
        try:
            with RunStore.open(copy) as run:
                for evaluation in run.evaluations(signals=True):
                    expected = pseudo_evaluation(evaluation.candidate.index)[0]
                    assert same(evaluation, expected), (kind, victim)
        except UserError:
            pass  # it says so
        victim.write_bytes(before)
        for leftover in (*copy.parent.glob("run/journal.sqlite-journal"),):
            leftover.unlink()
    assert verify(copy, full=True).problems == []


def test_what_can_be_repaired_is_and_the_rest_is_counted(
    full: bool, sound: Path, tmp_path: Path
) -> None:
    dice = random.Random(44)
    lost_runs = 0
    for number in range(REPAIRS if full else REPAIRED_SAMPLE):
        copy = tmp_path / f"{number}" / "run"
        shutil.copytree(sound, copy)
        victim, kind = chosen(copy, dice), dice.choice(KINDS)
        before = victim.read_bytes()
        damage(victim, kind, dice)
        if victim.exists() and victim.read_bytes() == before:
            continue
        found = verify(copy, repair=True)
        assert found.code == (2 if found.lost else 1), (kind, victim)
        lost_runs += found.lost > 0
        with RunStore.open(copy) as run:
            kept = list(run.evaluations(signals=True))
            pending = len(run.pending())
        assert len(kept) == TOTAL - found.lost, (kind, victim, found)
        for evaluation in kept:
            assert same(evaluation, pseudo_evaluation(evaluation.candidate.index)[0])
        # What is lost can be evaluated again, and the run goes on.
        drive(copy, lambda text: None, total=TOTAL, block=BLOCK)
        with RunStore.open(copy) as run:
            counts = run.counts()
        assert counts.pending == 0 and counts.ok + counts.failed >= len(kept) + pending
        texts = ("provenance.json", "log.jsonl", "config.yaml")
        left = verify(copy, full=True).problems
        assert left == [] or victim.name in texts, (kind, victim, left)
        shutil.rmtree(tmp_path / f"{number}")
    print(f"{lost_runs} of the damages cost results")
