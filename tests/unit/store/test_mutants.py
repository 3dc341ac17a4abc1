"""The list of mutants is alive: what each would change is there, once."""

import importlib.util
import sys
from pathlib import Path

import pytest

from htinvert.store.marks import Marks

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
