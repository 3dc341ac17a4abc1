"""Texts in a run's folder may be lost or damaged; who reads them says so or does without."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ase import Atoms

from htinvert.campaign import resume
from htinvert.campaign.funnel import objectives_of, source_of
from htinvert.core import UserError
from htinvert.report.page.facts import _times
from htinvert.store.provenance import read_log, read_provenance

DAMAGED = [b"", b"{", b"[1]", b"\xff\xfe{}", b"objectives: [1]", b"objectives: {energy: 1.p}"]
PLAN: Any = SimpleNamespace(
    recipe=SimpleNamespace(channels=()), space=SimpleNamespace(template=Atoms("H"))
)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_configuration_is_said_to_be_one(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(UserError, match="is not what was written; start the run's own command"):
        objectives_of(tmp_path)


def test_a_lost_configuration_is_no_missing_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run"):
        objectives_of(tmp_path)
    (tmp_path / "journal.sqlite").touch()
    with pytest.raises(UserError, match=r"config\.yaml is lost; start the run's own command"):
        objectives_of(tmp_path)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_provenance_is_taken_from_the_log(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "provenance.json").write_bytes(text)
    assert read_provenance(tmp_path) == {}
    assert source_of(tmp_path) is None
    assert resume.calibration(PLAN, tmp_path) == {}  # fitted anew
    told = b'{"time": "1", "provenance": {"calibration": {"c": {"width": 2.0}, "d": {}}}}\n'
    (tmp_path / "log.jsonl").write_bytes(
        b'{"time": "0"}\n\xff\n[2]\n' + told + b'{"time": "2", "pr'
    )
    assert resume.calibration(PLAN, tmp_path) == {"c": {"width": 2.0}}


@pytest.mark.parametrize("text", [*DAMAGED, None])
def test_a_damaged_log_has_no_times(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "log.jsonl").write_bytes(text)
    assert list(read_log(tmp_path)) == []
    assert _times(tmp_path) == ("", "")
