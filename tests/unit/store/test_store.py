"""A run on disk keeps every field, refuses what it must and notices damage."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from ase import Atoms
from ase.constraints import FixAtoms, FixedPlane

from htinvert.core import (
    Axis,
    Candidate,
    Evaluation,
    Infeasible,
    Relaxation,
    Score,
    Signal,
    UserError,
)
from htinvert.geometry.roles import RigidBody, frozen_mask, motion
from htinvert.store import Damaged, RunStore, archive, snap, structure_key
from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.reading import Archive, read
from htinvert.store.salvage import verify
from htinvert.store.verify import REPAIRABLE

RECIPE = {"energy": {"use": "lammps", "fmax": 0.05}, "channels": [{"name": "haadf"}]}


def structure(seed: int = 0, n: int = 7) -> Atoms:
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        numbers=rng.choice([48, 52], n),
        positions=rng.uniform(-3, 9, (n, 3)),
        cell=[[6.1, 0.2, -0.1], [1.3, 7.0, 0.0], [0.4, -0.7, 9.5]],
        pbc=(True, False, True),
        tags=rng.integers(0, 2, n),
    )
    atoms.set_constraint([FixAtoms(indices=[0, n - 1])])
    if n > 4:
        atoms.constraints.append(RigidBody([1, 2], "xz"))
    return snap(atoms)


def evaluation(index: int, *, error: str | None = None, signal: bool = False) -> Evaluation:
    proposed = structure(index, 3 + index % 5)
    relaxed = proposed.copy()
    relaxed.positions += 1e-3 * np.pi
    relaxed.set_cell(proposed.cell.array * 1.01)
    candidate = Candidate(index, proposed, f"operator{index % 3}", tuple(range(index % 3)))
    if error is not None:
        return Evaluation(candidate, error=error, seconds=0.25)
    image = Signal(
        np.random.default_rng(index).normal(size=(5, 6)).astype(np.float32),
        (Axis("y", "Å", 0.1), Axis("x", "Å", 0.12, -3.0)),
    )
    return Evaluation(
        candidate,
        relaxation=Relaxation(
            relaxed,
            -1.1 * index - 0.1,
            index % 2 == 0,
            index,
            None if index == 2 else 0.125 * index,
        ),
        scores={"haadf.fom": Score(0.1 * index, {"d_sim": 1 / 3, "d/trans": 0.0})},
        objectives={"energy": -0.7 * index, "haadf.fom": 0.1 * index},
        parameters={"haadf": {"source_size": 0.8 + index, "blur": 1e-300}},
        signals={"haadf": image} if signal else {},
        seconds=1.5,
    )


def key_of(candidate: Candidate) -> bytes:
    return structure_key(candidate.atoms, f"test {candidate.index}")


def add(run: RunStore, *evaluations: Evaluation) -> None:
    run.propose((e.candidate, key_of(e.candidate)) for e in evaluations)
    run.commit(evaluations)


def create(path: Path, **recipe: object) -> RunStore:
    return RunStore.create_or_open(path, recipe={**RECIPE, **recipe}, provenance={"host": "here"})


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunStore]:
    """A young run, which is left unfolded where its test does not close it."""
    run = create(tmp_path / "run")
    yield run
    run._shut()


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("closed") / "run"
    with create(path) as run:
        add(run, *SAMPLE)
    return path


@pytest.fixture
def folded(closed: Path, tmp_path: Path) -> Path:
    """A copy of the sample's closed run, to be damaged."""
    return Path(shutil.copytree(closed, tmp_path / "run"))


def same_atoms(a: Atoms, b: Atoms) -> bool:
    return (
        np.array_equal(a.numbers, b.numbers)
        and np.array_equal(a.positions, b.positions)
        and np.array_equal(a.cell.array, b.cell.array)
        and np.array_equal(a.pbc, b.pbc)
        and np.array_equal(a.get_tags(), b.get_tags())
        and np.array_equal(frozen_mask(a), frozen_mask(b))
        and np.array_equal(motion(a), motion(b))
    )


def assert_same(a: Evaluation, b: Evaluation) -> None:
    assert (a.candidate.index, a.candidate.operator) == (b.candidate.index, b.candidate.operator)
    assert a.candidate.parents == b.candidate.parents
    assert same_atoms(a.candidate.atoms, b.candidate.atoms)
    assert (a.relaxation is None) == (b.relaxation is None)
    if a.relaxation and b.relaxation:
        assert same_atoms(a.relaxation.atoms, b.relaxation.atoms)
        numbers = [(r.energy, r.converged, r.steps, r.force) for r in (a.relaxation, b.relaxation)]
        assert numbers[0] == numbers[1]
    assert (a.scores, a.objectives, a.parameters) == (b.scores, b.objectives, b.parameters)
    assert (a.error, a.seconds) == (b.error, b.seconds)
    assert a.signals.keys() == b.signals.keys()
    for name, signal in a.signals.items():
        step = np.ptp(signal.data) / 4095  # 12 bits
        assert np.abs(signal.data - b.signals[name].data).max() <= 0.501 * step
        assert b.signals[name].data.dtype == np.float32
        assert signal.axes == b.signals[name].axes


SAMPLE = [
    evaluation(0, signal=True),
    evaluation(4, error="relaxation: atom 3 flew away (Å, µ, 漢)"),
    evaluation(2),
    evaluation(5, signal=True),
]


def test_every_field_survives_in_the_journal(run: RunStore) -> None:
    add(run, *SAMPLE)
    for before, after in zip(SAMPLE, run.evaluations(signals=True), strict=True):
        assert_same(before, after)


def test_every_field_survives_in_zarr_alone(run: RunStore) -> None:
    add(run, *SAMPLE[:2])
    run.fold()
    add(run, *SAMPLE[2:])
    run.close()
    rows = list(read(run.path, signals=True))
    for before, row in zip(SAMPLE, rows, strict=True):
        assert_same(before, row.evaluation)
        assert row.key == key_of(before.candidate)


def test_signals_are_read_on_request_only(run: RunStore) -> None:
    add(run, *SAMPLE)
    assert not any(e.signals for e in run.evaluations())
    assert_same(run.evaluation(5), SAMPLE[3])
    with pytest.raises(UserError, match="no result of candidate 77"):
        run.evaluation(77)


def test_a_failure_after_relaxation_keeps_the_relaxed_structure(run: RunStore) -> None:
    good = evaluation(3)
    failed = Evaluation(good.candidate, relaxation=good.relaxation, error="image: no contrast")
    add(run, failed)
    run.close()
    assert_same(failed, next(read(run.path)).evaluation)


def test_the_archive_explains_itself_to_outsiders(run: RunStore) -> None:
    add(run, *SAMPLE)
    run.close()
    group = zarr.open_group(run.path / "results.zarr", mode="r")
    arrays = {path: node for path, node in group.members(max_depth=None) if hasattr(node, "shape")}
    assert all({"name", "unit", "description"} <= set(array.attrs) for array in arrays.values())
    assert list(arrays["candidates/status"][:]) == [1, 2, 1, 1]
    assert arrays["candidates/energy"].attrs["unit"] == "eV"
    assert np.isnan(arrays["objectives/haadf.fom"][:]).tolist() == [False, True, False, False]
    start, count = arrays["candidates/atom_start"][2], arrays["candidates/natoms"][2]
    positions = arrays["atoms/position"][start : start + count]
    assert np.array_equal(positions, SAMPLE[2].atoms.positions)
    assert arrays["signals/haadf/row"][:].tolist() == [0, 3]


def test_a_column_that_appears_late_is_nan_before(run: RunStore) -> None:
    add(run, evaluation(1))
    run.fold()
    late = Evaluation(evaluation(2).candidate, objectives={"stm.ssim": 0.5})
    add(run, late)
    run.close()
    group = zarr.open_group(run.path / "results.zarr", mode="r")
    assert np.array_equal(group["objectives/stm.ssim"][:], [np.nan, 0.5], equal_nan=True)
    assert np.array_equal(group["objectives/energy"][:], [-0.7, np.nan], equal_nan=True)


def test_signals_of_another_shape_get_their_own_array(run: RunStore) -> None:
    one, two = evaluation(1, signal=True), evaluation(2)
    other = Signal.image(np.ones((3, 3), np.float32), 0.2)
    two = Evaluation(two.candidate, signals={"haadf": other})
    add(run, one, two)
    run.close()
    rows = list(read(run.path, signals=True))
    assert_same(rows[0].evaluation, one)
    assert_same(rows[1].evaluation, two)


def test_a_committed_candidate_is_never_doubled_nor_replaced(run: RunStore) -> None:
    add(run, evaluation(1))
    run.commit([evaluation(1, error="late and wrong"), evaluation(1)])
    assert [e.ok for e in run.evaluations()] == [True]


def test_a_key_belongs_to_one_index(run: RunStore) -> None:
    first, other = evaluation(1).candidate, evaluation(2).candidate
    run.propose([(first, key_of(first))])
    run.propose([(first, key_of(first))])
    with pytest.raises(ValueError, match="key"):
        run.propose([(other, key_of(first))])
    assert run.known(key_of(first)) and not run.known(key_of(other))
    assert run.keys() == {key_of(first)}


def test_a_result_without_proposal_is_refused_with_its_whole_batch(run: RunStore) -> None:
    proposed = evaluation(1)
    run.propose([(proposed.candidate, key_of(proposed.candidate))])
    with pytest.raises(ValueError, match="2 was never proposed"):
        run.commit([proposed, evaluation(2)])
    assert run.counts().ok == 0


def test_what_was_proposed_is_pending_after_reopening(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    done, lost, failed = evaluation(1), evaluation(2), evaluation(3, error="no")
    run.propose((e.candidate, key_of(e.candidate)) for e in (done, lost, failed))
    run.commit([done, failed])
    assert run.attempt(2, "worker died") == 1
    run.refuse(9, "rattle", "min_distance")
    run.refuse(10, "rattle", "duplicate")
    run.refuse(11, "splice", "duplicate")
    run.close()
    with create(tmp_path / "run") as again:
        (pending,) = again.pending()
        assert same_atoms(pending.atoms, lost.candidate.atoms)
        counts = again.counts()
        assert (counts.ok, counts.failed, counts.pending) == (1, 1, 1)
        assert counts.refused == {"min_distance": 1, "duplicate": 2}
        assert counts.refused_by["splice", "duplicate"] == 1
        assert (again.next_index, again.attempts(2)) == (12, 1)
        again.commit([lost])
    rows = list(read(tmp_path / "run"))
    assert [row.attempts for row in rows] == [1, 1, 2]


def test_a_changed_recipe_is_refused_field_by_field(tmp_path: Path) -> None:
    create(tmp_path / "run", optics={"semiangle": 20.0, "gone": 1}).close()
    with pytest.raises(UserError) as refusal:
        create(tmp_path / "run", optics={"semiangle": 21.5}, seed=3)
    for part in ("optics.semiangle is 21.5 but was 20.0", "optics.gone is absent but was 1"):
        assert part in str(refusal.value)
    assert "seed is 3 but was absent" in str(refusal.value)
    assert "restore what differs, name a new folder" in str(refusal.value)
    create(tmp_path / "run", optics={"semiangle": 20.0, "gone": 1}).close()


def test_a_second_driver_is_told_who_holds_the_run(run: RunStore) -> None:
    code = (
        "import sys; from htinvert.core import UserError; from htinvert.store import RunStore\n"
        "try: RunStore.create_or_open(sys.argv[1], recipe={}, provenance={})\n"
        "except UserError as error: print(error)"
    )
    command = [sys.executable, "-c", code, str(run.path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"is held by pid {os.getpid()} on host" in said
    assert "wait for it or stop it" in said
    with pytest.raises(UserError, match="open for writing in this program"):
        create(run.path)


def test_a_failed_opening_lets_go_of_the_lock(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with pytest.raises(UserError):
        create(tmp_path / "run", other=1)
    create(tmp_path / "run").close()


def test_a_reader_sees_what_is_committed_while_the_driver_goes_on(run: RunStore) -> None:
    add(run, evaluation(1), evaluation(2))
    reader = RunStore.open(run.path)
    seen = reader.evaluations()
    next(seen)
    add(run, evaluation(3))  # the reader in mid-iteration must not lock the writer out
    assert [e.candidate.index for e in reader.evaluations()] == [1, 2, 3]
    assert reader.counts().ok == 3
    assert reader.recipe == RECIPE
    with pytest.raises(ValueError, match="open for reading"):
        reader.commit([evaluation(4)])
    reader.close()


def test_what_is_not_a_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        RunStore.open(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds thesis\.tex"):
        create(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    (tmp_path / "journal.sqlite").write_text("this is no database, " * 100)
    with pytest.raises(UserError, match=r"not a database.*verify --repair"):
        RunStore.open(tmp_path)


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with sqlite3.connect(tmp_path / "run" / "journal.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    connection.close()
    with pytest.raises(UserError, match=r"format 99 .* update htinvert"):
        RunStore.open(tmp_path / "run")


def test_an_opening_that_was_killed_half_way_is_completed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").touch()
    (tmp_path / "run" / "journal.sqlite").touch()
    with pytest.raises(UserError, match="not a run yet"):
        RunStore.open(tmp_path / "run")
    with create(tmp_path / "run") as run:
        add(run, evaluation(1))
    assert json.loads((tmp_path / "run" / "provenance.json").read_text()) == {"host": "here"}


def test_a_full_disk_loses_nothing_and_says_what_to_do(run: RunStore) -> None:
    add(run, evaluation(1))
    many = [evaluation(i) for i in range(2, 400)]
    pages = run._journal.connection.execute("PRAGMA page_count").fetchone()[0]
    run._journal.connection.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(UserError, match=r"disk is full\): free space"):
        add(run, *many)
    assert run.counts().ok == 1 and not run.pending()
    run._journal.connection.execute("PRAGMA max_page_count = 1000000")
    add(run, *many)
    assert run.counts().ok == 399


def test_exact_signals_come_back_bit_for_bit_from_journal_archive_and_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)
    made = []
    for index in range(6):
        whole = evaluation(index, signal=True)
        data = whole.signals["haadf"].data.astype("<f8" if index % 2 else "<f4") / 3
        data[0, 0] = np.nan
        signals = {"haadf": Signal(data, whole.signals["haadf"].axes)}
        exact = {"haadf": "0123"} if index % 3 else {}
        made.append(replace(whole, signals=signals, exact=exact))
    with create(tmp_path / "run") as run:
        for one in made:
            add(run, one)
            run._folding.wait()
        assert_exact(run, made)
    chunk = tmp_path / "run" / "results.zarr" / "candidates/seconds/c/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert verify(tmp_path / "run", full=True).problems
    verify(tmp_path / "run", repair=True)
    assert verify(tmp_path / "run", full=True).problems == []
    with RunStore.open(tmp_path / "run") as again:
        kept = {e.candidate.index for e in again.evaluations()}
        assert len(kept) >= 2  # the damaged block was sealed, what is lost is sent again
        assert_exact(again, [one for one in made if one.candidate.index in kept])


def assert_exact(run: RunStore, made: list[Evaluation]) -> None:
    for one, found in zip(made, run.evaluations(signals=True), strict=True):
        assert dict(found.exact) == dict(one.exact)
        if one.exact:
            ours, theirs = one.signals["haadf"], found.signals["haadf"]
            assert ours.data.dtype == theirs.data.dtype
            assert ours.data.tobytes() == theirs.data.tobytes()  # NaN included
            assert ours.axes == theirs.axes


def test_a_flipped_bit_in_a_chunk_is_detected_and_repaired(folded: Path) -> None:
    names = ("candidates/energy/c/0", "atoms/position/c/0/0", "signals/haadf/data/c/0/0/0")
    chunks = [folded / "results.zarr" / name for name in names]
    spoiled = []
    for chunk in chunks:
        whole = chunk.read_bytes()
        raw = bytearray(whole)
        raw[len(raw) // 3] ^= 4
        chunk.write_bytes(raw)
        with pytest.raises(Damaged):
            list(read(folded, signals=True))
        chunk.write_bytes(whole)
        spoiled.append(bytes(raw))
    for chunk, raw in zip(chunks, spoiled, strict=True):
        chunk.write_bytes(raw)
    found = verify(folded, repair=True)
    assert found.code == REPAIRABLE
    assert all(any(name in problem for problem in found.problems) for name in names)
    assert verify(folded, full=True).problems == []


def test_a_fold_that_is_not_read_back_as_written_is_no_copy(
    run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = archive.write_durably

    def spoil(path: Path, data: object) -> None:
        raw = bytearray(memoryview(data))
        if path.parts[-3:] == ("energy", "c", "0"):
            raw[len(raw) // 2] ^= 1
        whole(path, raw)

    add(run, *SAMPLE)
    monkeypatch.setattr(archive, "write_durably", spoil)
    with pytest.raises(Damaged, match="/energy could not be read back as written"):
        run.fold()
    assert Marks(run.path).state().folded == 0


def test_a_flipped_bit_in_a_text_of_a_closed_run_is_noted_by_a_full_look(folded: Path) -> None:
    log = folded / "provenance.json"
    log.write_bytes(log.read_bytes().replace(b"here", b"hero"))
    assert verify(folded).problems == []
    assert verify(folded, full=True).problems == ["provenance.json is not what was written"]


def test_a_lost_chunk_of_signal_rows_is_not_read_as_no_signals(folded: Path) -> None:
    (folded / "results.zarr" / "signals/haadf/row/c/0").unlink()
    with pytest.raises(Damaged, match="is lost"):
        list(read(folded, signals=True))


def test_a_damaged_file_of_signal_rows_costs_those_of_its_own_block_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)
    made = [evaluation(index, signal=index % 3 == 0) for index in range(14)]
    with create(tmp_path / "run") as run:
        for one in made:
            add(run, one)
            run._folding.wait()
    (tmp_path / "run" / "results.zarr" / "signals/haadf/row/c/1").write_bytes(b"")
    held = Archive(tmp_path / "run", Marks(tmp_path / "run").state())
    for first in (0, 8, 12):  # files 0, 2 and 3
        stop = min(first + 4, 14)
        for row, before in zip(held.rows(first, stop, signals=True), made[first:], strict=False):
            assert_same(before, row.evaluation)
    with pytest.raises(Damaged):
        held.rows(4, 8, signals=True)


def test_a_damaged_description_costs_no_result_for_there_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)
    with create(tmp_path / "run") as run:
        for index in range(14):
            add(run, evaluation(index))
            run._folding.wait()
        assert int(run._journal.meta("dropped")) > 0  # else the journal has all of it, too
    (tmp_path / "run" / "results.zarr" / "candidates/index/zarr.json").write_bytes(bytes(300))
    assert verify(tmp_path / "run", full=True).code == REPAIRABLE
    found = verify(tmp_path / "run", repair=True)
    assert (found.code, found.lost) == (REPAIRABLE, 0)
    assert verify(tmp_path / "run", full=True).problems == []
    with RunStore.open(tmp_path / "run") as again:
        assert len(list(again.evaluations())) == 14


@pytest.mark.parametrize("name", ["scores/haadf.fom/c/0", "candidates/key/c/0/0", "zarr.json"])
def test_a_lost_file_is_noticed_at_the_next_start(folded: Path, name: str) -> None:
    (folded / "results.zarr" / name).unlink()
    create(folded).close()
    assert verify(folded, full=True).problems == []


def test_a_damaged_journal_row_is_never_read_as_a_result(folded: Path) -> None:
    run = create(folded)
    run._journal.connection.execute("UPDATE results SET relaxed = zeroblob(length(relaxed))")
    with pytest.raises(UserError, match="result 0 is damaged"):
        list(run.evaluations())
    run._shut()
    found = verify(folded, repair=True)
    assert any("result 0 is damaged" in problem for problem in found.problems)
    assert found.code == REPAIRABLE  # the archive has a copy
    with RunStore.open(folded) as again:
        for before, after in zip(SAMPLE, again.evaluations(), strict=True):
            assert after.objectives == before.objectives


def test_whole_blocks_are_sealed_and_leave_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("htinvert.store.run.BLOCK", 4)
    with create(tmp_path / "run") as run:
        for index in range(14):
            add(run, evaluation(index, signal=index % 3 == 0))
            run._folding.wait()
        assert len(list(read(run.path))) == 12
        assert run._journal.meta("dropped") == "8"  # one block of lag
        found = list(run.evaluations(signals=True))
        for index, after in enumerate(found):
            assert_same(evaluation(index, signal=index % 3 == 0), after)
        monkeypatch.setattr("htinvert.store.rows.APART", 2)
        for only in ([13], [2, 0, 9, 12, 9], []):  # of the journal and of sealed blocks
            some = list(run.evaluations(only=only, signals=True))
            for index, after in zip(sorted(set(only)), some, strict=True):
                assert_same(evaluation(index, signal=index % 3 == 0), after)
        assert len(run.table()) == run.counts().ok == 14
        wanted = [13, 0, 9, 5, 9, 6]  # of the journal, and of three sealed blocks
        for proposed in (False, True):
            structures = run.structures(wanted, proposed=proposed)
            for number, atoms in zip(wanted, structures, strict=True):
                one = found[number]
                assert same_atoms(atoms, one.candidate.atoms if proposed else one.atoms)
        assert_same(run.evaluation(3), evaluation(3, signal=True))
        assert run.known(key_of(evaluation(0).candidate))
    assert verify(tmp_path / "run", full=True).problems == []


def test_the_table_has_one_row_per_evaluation(run: RunStore) -> None:
    add(run, *SAMPLE)
    table = run.table()
    assert table["index"].tolist() == [0, 4, 2, 5]
    assert table["ok"].tolist() == [True, False, True, True]
    assert np.array_equal(
        table["parameters.haadf.source_size"], [0.8, np.nan, 2.8, 5.8], equal_nan=True
    )


def test_the_log_survives_a_torn_line(run: RunStore) -> None:
    with (run.path / "log.jsonl").open("a") as log:
        log.write('{"time": "2026-')
    run.event(event="go", n=3)
    assert json.loads((run.path / "log.jsonl").read_text().splitlines()[-1])["n"] == 3


def test_snapping_twice_is_snapping_once_and_leaves_no_negative_zero() -> None:
    atoms = Atoms(
        "H2", positions=[[-1e-9, 0.1 + 3e-8, 5.0], [1, 2, 3]], cell=[3, 4, 5], tags=[1, 0]
    )
    snapped = snap(atoms)
    assert np.array_equal(snapped.positions, [[0, 0.1, 5], [1, 2, 3]])
    assert not np.signbit(snapped.positions).any() and not np.signbit(snapped.cell.array).any()
    assert same_atoms(snap(snapped), snapped)
    assert np.array_equal(snapped.get_tags(), [1, 0])


def test_the_key_sees_structure_and_context_but_not_noise_below_the_grid() -> None:
    atoms = structure()
    key = structure_key(atoms, "a")
    assert len(key) == 32
    noisy, moved, thawed = atoms.copy(), atoms.copy(), atoms.copy()
    noisy.positions += 4e-7
    moved.positions[0, 0] += 1e-6
    thawed.set_constraint()
    assert structure_key(noisy, b"a") == key
    loose = atoms.copy()
    loose.set_constraint(FixAtoms([0, 6]))
    others = {structure_key(moved, "a"), structure_key(thawed, "a"), structure_key(atoms, "b")}
    assert len(others | {key, structure_key(loose, "a")}) == 5


def test_a_grain_is_snapped_as_a_whole() -> None:
    """Else its inner distances would wander by a grid step from one generation to the next."""
    rng = np.random.default_rng(0)
    atoms = Atoms("Cu50", positions=rng.uniform(0, 9, (50, 3)), pbc=False)
    atoms.set_constraint(RigidBody(np.arange(10, 50)))
    first = snap(atoms)
    later = first.copy()
    for _ in range(20):
        later.set_positions(later.positions + rng.normal(size=3))
        later = snap(later)
    moved = (later.positions - first.positions)[10:]
    assert np.ptp(moved, axis=0).max() < 1e-12  # Å
    assert same_atoms(snap(later), later)


def test_the_first_rigid_grain_may_come_late(run: RunStore) -> None:
    loose, rigid = structure(1, 4), structure(2, 6)
    for index, atoms in enumerate([loose, rigid]):
        add(run, Evaluation(Candidate(index, atoms, "x"), error="none"))
        run.fold()
    found = [row.evaluation.atoms for row in read(run.path)]
    assert [motion(a).tolist() for a in found] == [motion(a).tolist() for a in (loose, rigid)]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.1e4])
def test_impossible_coordinates_have_no_key(value: float) -> None:
    atoms = Atoms("H", positions=[[0, value, 0]])
    for refuse in (snap, lambda atoms: structure_key(atoms, "")):
        with pytest.raises(Infeasible):
            refuse(atoms)


def test_a_constraint_that_would_be_lost_is_refused(run: RunStore) -> None:
    atoms = structure()
    atoms.set_constraint(FixedPlane([0], (0, 0, 1)))
    with pytest.raises(UserError, match="FixedPlane constraint but a run keeps only FixAtoms"):
        run.propose([(Candidate(1, atoms, "x"), b"k" * 32)])
    assert run.counts().pending == 0


def test_more_than_two_parents_are_refused(run: RunStore) -> None:
    with pytest.raises(UserError, match="names 3 parents"):
        run.propose([(Candidate(1, structure(), "x", (1, 2, 3)), b"k" * 32)])


def test_the_journal_is_durable_without_shared_memory(run: RunStore) -> None:
    journal = Journal(run.path / "journal.sqlite", writable=True)
    pragma = {
        name: journal.connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "truncate", "synchronous": 2}
    journal.connection.close()


def test_a_driver_may_read_its_log_while_a_fold_adds_to_it(tmp_path: Path) -> None:
    marks = Marks(tmp_path)

    def add_lines() -> None:
        for number in range(200):
            marks.append("folding", number=number)

    adding = threading.Thread(target=add_lines)
    adding.start()
    while adding.is_alive():
        marks.read()
    adding.join()
    assert marks.broken == ""
    assert [event["number"] for event in Marks(tmp_path).events] == list(range(200))
