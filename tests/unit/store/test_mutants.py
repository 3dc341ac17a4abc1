"""The list of mutants is alive: what each would change is there, once."""

import importlib.util
import sqlite3
import sys
from pathlib import Path

import pytest

from htinvert.store.journal import Journal
from htinvert.store.marks import Marks
from htinvert.store.sqlite_errors import meaning, require_rolled_back
from htinvert.store.trouble import Damaged, OutOfSpace

ROOT = Path(__file__).parents[3]


def test_what_a_mutant_changes_occurs_once_in_its_file() -> None:
    path = ROOT / "tests/torture/mutants.py"
    spec = importlib.util.spec_from_file_location("mutants", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutants"] = module
    spec.loader.exec_module(module)
    wrong = [
        mutant.what
        for mutant in module.MUTANTS
        if (ROOT / "htinvert" / mutant.file).read_text().count(mutant.old) != 1
        or not all((ROOT / name.split("::")[0]).exists() for name in mutant.tests)
    ]
    assert wrong == []
    assert len(module.MUTANTS) == 30


def test_a_line_of_the_log_is_synced_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    log = tmp_path / "commits.log"
    monkeypatch.setattr("os.fsync", lambda _: synced.append(log.stat().st_size))
    marks = Marks(tmp_path)
    marks.append("discarded")
    first = marks.path.stat().st_size
    marks.append("discarded")
    assert first in synced and synced[-1] == marks.path.stat().st_size


def test_a_disk_that_keeps_back_what_is_to_be_undone_is_no_damage(tmp_path: Path) -> None:
    """SQLite then read half of a transaction, and the next write would have made it final."""
    path, left = tmp_path / "journal.sqlite", tmp_path / "journal.sqlite-journal"
    path.write_bytes(b"no file of SQLite's" * 100)
    with pytest.raises(sqlite3.DatabaseError) as error:
        sqlite3.connect(path).execute("SELECT 1 FROM a")
    for harmless in (None, b"", bytes(512)):  # not there, rolled back, never begun
        if harmless is not None:
            left.write_bytes(harmless)
        require_rolled_back(path)
        assert isinstance(meaning(path, error.value, within=False), Damaged)
    left.write_bytes(b"\xd9\xd5\x05\xf9")  # how one begins: sqlite.org/fileformat2.html, section 3
    with pytest.raises(OutOfSpace, match="is to be undone; look at the disk"):
        require_rolled_back(path)
    assert isinstance(meaning(path, error.value, within=False), OutOfSpace)
    assert isinstance(meaning(path, error.value, within=True), Damaged), "it is our own"


def test_pages_that_a_failing_disk_left_in_a_connection_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What seems damaged in a connection that met EIO is whole in the file: ask it once more."""
    journal = Journal(tmp_path / "journal.sqlite", writable=True, recipe={})
    first, asked = journal.connection, []

    def torn(query: str, values: tuple[object, ...]) -> list[object]:
        asked.append(query)
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorname = "SQLITE_CORRUPT"
        raise error

    monkeypatch.setattr(first, "rows", torn)
    assert journal.next_index() == 0
    assert asked and journal.connection is not first
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        first.execute("SELECT 1")
