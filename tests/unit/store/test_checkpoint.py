"""A checkpoint is read back whole or not at all; the one before lives until the next is there."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.constraints import FixAtoms

from htinvert.geometry.roles import motion
from htinvert.store import Fenced, RunStore
from htinvert.store.checkpoint import ROWS, STATE, Checkpoint


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder, lambda: None)


def test_state_and_records_come_back_bit_for_bit(tmp_path: Path) -> None:
    atoms = Atoms("CdTe", positions=[[0.1, 1 / 3, np.pi], [2, 3, -4]], cell=[5.1, 6, 7], pbc=True)
    atoms.set_tags([1, 0])
    atoms.set_constraint(FixAtoms([1]))
    kept = checkpoint(tmp_path)
    kept.save({"best": float("-inf"), "members": [[3, atoms, 1 / 3]]}, b"first ")
    kept.save({"best": 0.1 + 0.2, "members": [[3, atoms, 1 / 3]]}, b"second")
    state, rows = checkpoint(tmp_path).load()
    assert rows == b"first second"
    assert state["best"] == 0.1 + 0.2
    index, found, value = state["members"][0]
    assert (index, value) == (3, 1 / 3)
    assert found == atoms and found.get_tags().tolist() == [1, 0]
    np.testing.assert_array_equal(motion(found), motion(atoms))


def test_records_of_a_save_that_was_cut_short_do_not_count(tmp_path: Path) -> None:
    checkpoint(tmp_path).save({"told": 1}, b"one")
    with (tmp_path / ROWS).open("ab") as file:
        file.write(b"tw")
    again = checkpoint(tmp_path)
    assert again.load() == ({"told": 1}, b"one")
    again.save({"told": 2}, b"two")
    assert checkpoint(tmp_path).load() == ({"told": 2}, b"onetwo")


@pytest.mark.parametrize("name", [ROWS, STATE])
@pytest.mark.parametrize("how", ["flip", "cut", "lose"])
def test_a_damaged_checkpoint_is_none(tmp_path: Path, name: str, how: str) -> None:
    checkpoint(tmp_path).save({"told": 1}, b"one")
    path = tmp_path / name
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw if how == "flip" else raw[:-1])
    if how == "lose":
        path.unlink()
    assert checkpoint(tmp_path).load() == ({}, b"")


def test_a_failing_disk_leaves_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoint(tmp_path)
    kept.save({"told": 1}, b"one")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("htinvert.store.checkpoint.write_durably", full)
    with pytest.raises(OSError, match="No space"):
        kept.save({"told": 2}, b"two")
    assert not kept.is_due(10**6)  # it waits before the next
    assert checkpoint(tmp_path).load() == ({"told": 1}, b"one")


def test_a_driver_that_was_taken_over_leaves_no_checkpoint(tmp_path: Path) -> None:
    run = RunStore.create_or_open(tmp_path / "run", recipe={}, provenance={})
    (tmp_path / "run" / "epoch" / "2").touch()  # what a second driver does first
    with pytest.raises(Fenced):
        run.checkpoint.save({"told": 1}, b"one")
    run._shut()
    assert checkpoint(tmp_path / "run").load() == ({}, b"")
