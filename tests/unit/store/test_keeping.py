"""Owners, epochs, full disks and what readers may ask."""

import errno
import fcntl
import os
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation, Signal
from htinvert.store import Fenced, Held, OutOfSpace, RunStore, snap
from htinvert.store.identity import stage_keys
from htinvert.store.record import PackedSignal


def create(path: Path) -> RunStore:
    return RunStore.create_or_open(path, recipe={}, provenance={})


def add(run: RunStore, index: int, *, parents: tuple[int, ...] = ()) -> None:
    atoms = snap(Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 2.5 + index]]))
    image = Signal.image(np.arange(12.0).reshape(3, 4), 0.1)
    run.propose([(Candidate(index, atoms, "rattle", parents), bytes([index]) * 32)])
    found = Evaluation(
        Candidate(index, atoms, "rattle", parents),
        relaxation=Relaxation(atoms, -1.0 * index, True, 3, 0.01),
        objectives={"energy": -1.0 * index},
        parameters={"haadf": {"source_size": 0.8}},
        signals={"haadf": image} if index == 2 else {},
    )
    run.commit([found])


def test_a_driver_that_was_taken_over_writes_no_more(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    add(run, 1)
    (tmp_path / "run" / "epoch" / "2").touch()  # what a second driver does first
    with pytest.raises(Fenced, match="was taken over") as stop:
        add(run, 2)
    assert stop.value.code == 76
    run._shut()
    with RunStore.open(tmp_path / "run") as reader:
        assert reader.counts().ok == 1


def test_without_locks_a_silent_owner_is_taken_over_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    first = create(tmp_path / "run")
    add(first, 1)
    monkeypatch.setattr("htinvert.store.lock._held", set())
    with pytest.raises(Held, match=f"pid {os.getpid()} on host .* has no locks"):
        create(tmp_path / "run")
    an_hour_ago = time.time() - 3600  # as if it were dead
    os.utime(tmp_path / "run" / "lock", (an_hour_ago, an_hour_ago))
    second = create(tmp_path / "run")
    with pytest.raises(Fenced):
        add(first, 2)
    add(second, 2)
    assert second.counts().ok == 2
    first._shut()
    second.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_cannot_be_written_ends_with_75(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    run = create(tmp_path / "run")
    add(run, 1)

    def refuse(*arguments: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("htinvert.store.archive.write_durably", refuse)
        with pytest.raises(OutOfSpace, match=r"free space .* safe in journal\.sqlite") as stop:
            run.close()
    assert stop.value.code == 75
    create(tmp_path / "run").close()
    assert len(RunStore.open(tmp_path / "run").table()) == 1


def test_a_reader_gets_tables_atoms_images_parameters_and_lineage(tmp_path: Path) -> None:
    run = create(tmp_path / "run")
    add(run, 1)
    add(run, 2)
    add(run, 3, parents=(1, 2))
    add(run, 4, parents=(3,))
    with RunStore.open(tmp_path / "run") as reader:  # while the driver is at work
        table = reader.table()
        assert table["energy"].tolist() == [-1.0, -2.0, -3.0, -4.0]
        assert table.attrs["units"]["energy"] == "eV"
        assert table.attrs["descriptions"]["objectives.energy"] == "objective, lower is better"
        assert reader.atoms(2).get_distance(0, 1) == pytest.approx(4.5)
        assert reader.parameters(1) == {"haadf": {"source_size": 0.8}}
        image = reader.signal(2)
        assert image.data.shape == (3, 4) and image.sampling == (0.1, 0.1)
        ancestors = [(found.index, found.generation) for found in reader.lineage(4)]
        assert ancestors == [(4, 0), (3, 1), (1, 2), (2, 2)]
    run.close()


def test_twelve_bits_change_a_correlation_by_less_than_a_millionth() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:100, :100]
    image = Signal.image(np.sin(x / 3.0) * np.cos(y / 5.0) + rng.normal(0, 0.05, x.shape), 0.1)
    again = PackedSignal.of(image).signal()
    assert 1 - np.corrcoef(image.data.ravel(), again.data.ravel())[0, 1] < 1e-6


def test_pixels_that_are_no_numbers_stay_so() -> None:
    data = np.array([[1.0, np.nan], [np.inf, 3.0]])
    again = PackedSignal.of(Signal.image(data, 0.1)).signal().data
    assert np.isnan(again).tolist() == [[False, True], [True, False]]
    assert again[0, 0] == 1.0 and again[1, 1] == 3.0


def test_a_new_score_formula_leaves_energy_and_image_stages_as_they_were() -> None:
    haadf = {"forward": {"use": "x"}, "metrics": {"ssim": {}}}
    old = {
        "structure": {"use": "file"},
        "energy": {"use": "lammps"},
        "experiments": {"haadf": haadf},
    }
    new = {**old, "experiments": {"haadf": {**haadf, "metrics": {"correlation": {}}}}}
    before, after = stage_keys(old), stage_keys(new)
    same = {stage for stage in before if before[stage] == after[stage]}
    assert same == {"structure", "energy", "image.haadf"}
