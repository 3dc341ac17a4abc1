"""A run goes on only from a journal that knows all of it, and repair keeps all that can be read."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation, UserError
from htinvert.store import Damaged, RunStore, snap, structure_key
from htinvert.store.agreement import advice
from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.reading import read
from htinvert.store.salvage import verify
from htinvert.store.verify import LOST, REPAIRABLE

RECIPE = {"energy": {"use": "lammps"}}
ROWS = 120
Damage = Callable[[Path], object]


def evaluation(
    number: int, *, index: int | None = None, parents: tuple[int, ...] = ()
) -> Evaluation:
    atoms = snap(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.0 + number / 16]]))
    candidate = Candidate(number if index is None else index, atoms, "rattle", parents)
    objectives = {"energy": -1.0 * number}
    return Evaluation(
        candidate, relaxation=Relaxation(atoms, -1.0 * number, True, 3), objectives=objectives
    )


def key(found: Evaluation) -> bytes:
    return structure_key(found.candidate.atoms, "test")


def add(run: RunStore, *made: Evaluation) -> None:
    run.propose((one.candidate, key(one)) for one in made)
    run.commit(made)


def create(path: Path, recipe: dict[str, object] = RECIPE) -> RunStore:
    return RunStore.create_or_open(path, recipe=recipe, provenance={"host": "here"})


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("closed") / "run"
    with create(path) as run:
        add(run, *map(evaluation, range(ROWS)))
    return path


@pytest.fixture
def path(closed: Path, tmp_path: Path) -> Path:
    shutil.copytree(closed, tmp_path / "run")
    return tmp_path / "run"


def energies(path: Path) -> list[float]:
    with RunStore.open(path) as run:
        return sorted(-one.objectives["energy"] for one in run.evaluations())


def lose(journal: Path) -> None:
    journal.unlink()


def empty(journal: Path) -> None:
    journal.write_bytes(b"")


def begin_database(journal: Path) -> None:
    journal.unlink()
    connection = sqlite3.connect(journal)
    connection.execute("VACUUM")
    connection.close()


@pytest.mark.parametrize("damage", [lose, empty, begin_database])
def test_no_run_is_begun_where_the_journal_of_one_is_lost(path: Path, damage: Damage) -> None:
    damage(path / "journal.sqlite")
    for _ in range(2):
        with pytest.raises(Damaged, match=rf"{ROWS} results; htinvert verify --repair {path}"):
            create(path)
        with pytest.raises(Damaged, match="lost or empty"):
            RunStore.open(path)
    for full in (False, True):
        assert any("journal.sqlite" in problem for problem in verify(path, full=full).problems)
    found = verify(path, repair=True)
    assert (found.code, found.lost) == (REPAIRABLE, 0)
    assert verify(path, full=True).problems == []
    assert energies(path) == list(range(ROWS))
    with create(path) as run:  # under its own recipe
        add(run, evaluation(ROWS))
    assert energies(path) == list(range(ROWS + 1))
    assert len(list(read(path))) == ROWS + 1


def begin_anew(path: Path, *made: Evaluation, recipe: dict[str, object] = RECIPE) -> None:
    """What was possible once: another run's journal in the folder of a first one."""
    other = path.with_name("other")
    run = create(other, recipe)
    run.propose((one.candidate, key(one)) for one in made)
    run.commit(made[:-1])  # the last one is pending
    run._shut()
    shutil.copy(other / "journal.sqlite", path / "journal.sqlite")
    shutil.rmtree(other)


def test_the_results_of_a_run_that_was_begun_anew_are_added_to_those_before(path: Path) -> None:
    again = [evaluation(n) for n in (0, 7)]
    new = [
        evaluation(1000, index=1),
        evaluation(1001, index=500, parents=(1, 7)),
        evaluation(3, index=12),
        evaluation(1002, index=13, parents=(500,)),
    ]
    begin_anew(path, *again, *new)
    with pytest.raises(Damaged, match="another run"):
        create(path)
    assert verify(path).problems
    found = verify(path, full=True)
    assert found.lost == 0 and found.problems
    found = verify(path, repair=True)
    assert found.lost == 0 and any("two runs with the same recipe" in note for note in found.notes)
    assert verify(path, full=True).problems == []
    assert energies(path) == [*range(ROWS), 1000, 1001]
    with create(path) as run:
        by_energy = {-one.objectives["energy"]: one.candidate for one in run.evaluations()}
        assert by_energy[1001].parents == (by_energy[1000].index, 7)
        (waiting,) = run.pending()
        assert waiting.parents == (by_energy[1001].index,)
        assert len({c.index for c in (*by_energy.values(), waiting)}) == ROWS + 3


def test_two_runs_of_different_recipes_become_two_folders(path: Path) -> None:
    begin_anew(path, evaluation(1000), evaluation(1001), recipe={"energy": {"use": "emt"}})
    assert verify(path, repair=True).lost == 0
    assert energies(path) == [1000]
    assert energies(path.with_name("run.other")) == list(range(ROWS))
    create(path, {"energy": {"use": "emt"}})._shut()
    create(path.with_name("run.other"))._shut()


def test_a_journal_that_is_an_older_copy_is_refused_and_made_whole_again(path: Path) -> None:
    older = (path / "journal.sqlite").read_bytes()
    with create(path) as run:
        add(run, evaluation(ROWS))
    (path / "journal.sqlite").write_bytes(older)
    with pytest.raises(
        Damaged, match=rf"tells of {ROWS + 1} results and journal.sqlite knows {ROWS}"
    ):
        create(path)
    assert verify(path).problems
    assert verify(path, repair=True).lost == 0
    assert energies(path) == list(range(ROWS + 1))


def test_rows_that_only_an_older_journal_lacks_are_said_to_be_lost(path: Path) -> None:
    older = (path / "journal.sqlite").read_bytes()
    run = create(path)
    add(run, evaluation(ROWS))
    run._shut()  # killed: the row is in the journal alone
    (path / "journal.sqlite").write_bytes(older)
    with pytest.raises(Damaged, match="older than commits.log"):
        create(path)
    found = verify(path, repair=True)
    assert found.code == LOST and any("if there were any, are lost" in n for n in found.notes)
    assert energies(path) == list(range(ROWS))


def test_a_young_run_whose_journal_is_lost_goes_on_after_repair_under_its_recipe(
    tmp_path: Path,
) -> None:
    run = create(tmp_path / "run")
    add(run, evaluation(0))
    run._shut()
    (tmp_path / "run" / "journal.sqlite").unlink()
    with pytest.raises(Damaged, match="verify --repair"):
        create(tmp_path / "run")
    assert verify(tmp_path / "run", repair=True).code == LOST
    with pytest.raises(UserError, match="another recipe"):
        create(tmp_path / "run", {"energy": {"use": "emt"}})
    create(tmp_path / "run").close()


@pytest.mark.parametrize("lost", ["commits.log", "lock", "epoch", "columns.json", "results.zarr"])
def test_what_else_is_lost_of_a_run_costs_nothing_where_the_journal_has_all(
    path: Path, lost: str
) -> None:
    if (path / lost).is_dir():
        shutil.rmtree(path / lost)
    else:
        (path / lost).unlink()
    with create(path) as run:
        add(run, evaluation(ROWS))
    assert energies(path) == list(range(ROWS + 1))
    assert verify(path, full=True).problems == []
    assert len(list(read(path))) == ROWS + 1
    epochs = [event["epoch"] for event in Marks(path).events if "epoch" in event]
    assert epochs == sorted(set(epochs))


def test_an_archive_is_not_made_anew_from_a_journal_that_is_damaged_itself(path: Path) -> None:
    change = "UPDATE results SET result = '{}' WHERE seq = 8"
    run = create(path)
    run._journal.connection.execute(change)
    add(run, evaluation(ROWS))
    with pytest.raises(Damaged, match="result 7 is damaged"):
        run.close()  # it would write the copy of all rows anew
    chunk = path / "results.zarr" / "candidates/seconds/c/0"
    kept = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(Damaged, match="result 7 is damaged"):
        create(path)
    chunk.write_bytes(kept)
    found = verify(path, repair=True)
    assert (found.code, found.lost) == (REPAIRABLE, 0)
    assert energies(path) == list(range(ROWS + 1))


def test_a_row_that_has_lost_its_key_is_missed_and_not_stepped_over(path: Path) -> None:
    run = create(path)
    run._journal.connection.execute("DELETE FROM keys WHERE seq = 8")
    with pytest.raises(Damaged, match="result 7 is damaged"):
        list(run._journal.page(0))
    run._shut()
    assert verify(path, repair=True).lost == 0
    assert energies(path) == list(range(ROWS))


def test_a_damaged_count_costs_no_result(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    add(run, *map(evaluation, range(9)))
    run._journal.connection.execute("UPDATE meta SET value = '3' WHERE name = 'committed'")
    run._shut()
    assert verify(tmp_path / "run", repair=True).lost == 0
    assert energies(tmp_path / "run") == list(range(9))


def test_a_repair_that_was_stopped_between_two_renamings_is_finished(path: Path) -> None:
    shutil.copytree(path, path.with_name("run.repaired"))
    path.rename(path.with_name("run.damaged"))
    with pytest.raises(Damaged, match="was being repaired"):
        create(path)
    with pytest.raises(Damaged, match="was being repaired"):
        verify(path)
    assert verify(path, repair=True).problems == []
    assert energies(path) == list(range(ROWS))


def test_what_a_repair_before_had_written_is_not_removed(path: Path) -> None:
    shutil.copytree(path, path.with_name("run.repaired"))
    (path / "journal.sqlite").unlink()
    verify(path, repair=True)
    assert energies(path.with_name("run.repaired.unfinished")) == list(range(ROWS))


def test_a_killed_first_creation_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for made in ("lock", "epoch", "journal.sqlite"):
        folder.mkdir(exist_ok=True)
        (folder / "epoch").mkdir() if made == "epoch" else (folder / made).touch()
        shutil.copytree(folder, tmp_path / made)
        create(tmp_path / made).close()
    Journal(folder / "journal.sqlite", writable=True, recipe=RECIPE).connection.close()
    create(folder).close()
    assert verify(folder, full=True).problems == []


@pytest.mark.parametrize("text", [None, b"", b"[]", b"{", b"\xff\xfe{}"])
def test_a_lost_provenance_is_written_again(path: Path, text: bytes | None) -> None:
    target = path / "provenance.json"
    target.unlink() if text is None else target.write_bytes(text)
    assert verify(path, full=True).code == REPAIRABLE
    create(path).close()
    assert json.loads(target.read_text()) == {"host": "here"}
    assert verify(path, full=True).problems == []


def test_repair_takes_the_provenance_from_the_log_and_the_next_start_gives_a_lost_one(
    path: Path,
) -> None:
    with (path / "log.jsonl").open("ab") as log:
        log.write(b'\xff\n{"event": "resumed", "prove')
    (path / "provenance.json").write_bytes(b"")
    assert verify(path, repair=True).code == REPAIRABLE
    assert json.loads((path / "provenance.json").read_text()) == {"host": "here"}
    assert verify(path, full=True).problems == []
    os.truncate(path / "log.jsonl", 0)
    (path / "provenance.json").unlink()
    verify(path, repair=True)
    create(path).close()
    assert json.loads((path / "provenance.json").read_text()) == {"host": "here"}


def test_rows_stay_in_the_journal_where_their_sealed_copy_has_decayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)
    path = tmp_path / "run"
    with create(path) as run:
        add(run, *map(evaluation, range(8)))
    chunk = path / "results.zarr" / "candidates/energy/c/0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    with create(path) as run:
        add(run, *map(evaluation, range(8, 17)))
        run.fold()
        add(run, evaluation(17))
        assert run._journal.meta("dropped") == "0"
    found = verify(path, repair=True)
    assert (found.code, found.lost) == (REPAIRABLE, 0)
    assert energies(path) == list(range(18))


def test_a_command_to_be_copied_quotes_its_folder() -> None:
    assert advice(Path("my run")).startswith("htinvert verify --repair 'my run' ")
