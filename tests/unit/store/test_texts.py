"""Texts in a run's folder may be lost or damaged; who reads them says so or does without."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ase import Atoms

from htinvert.campaign import resume
from htinvert.campaign.funnel import objectives_of, source_of
from htinvert.campaign.inputs import inputs
from htinvert.config.yaml_file import seen_from
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


def test_the_run_before_is_found_from_behind_a_link(tmp_path: Path) -> None:
    """Its way is that from where the link leads to."""
    runs = tmp_path / "disk" / "deep" / "runs"
    for name in ("first", "second"):
        (runs / name).mkdir(parents=True)
        (runs / name / "config.yaml").touch()
    (tmp_path / "here").symlink_to(runs / "second")
    (runs / "second" / "provenance.json").write_text('{"stages": ["../first"]}')
    found = source_of(tmp_path / "here")
    assert found is not None and found.samefile(runs / "first")
    assert source_of(runs / "second") == runs / "first"


@pytest.mark.parametrize("text", ["x" * 5000, "\0", "~nobody/x", ".."])
def test_a_text_that_is_no_path_is_no_file(text: str, tmp_path: Path) -> None:
    config = {"structure": {"path": text}, "energy": {"model": text}}
    assert set(inputs(config, tmp_path)) <= {"structure.path"}  # where .. is a folder
    assert seen_from(tmp_path / "a", config, tmp_path)["energy"] == config["energy"]


@pytest.mark.parametrize("text", [*DAMAGED, None])
def test_a_damaged_log_has_no_times(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "log.jsonl").write_bytes(text)
    assert list(read_log(tmp_path)) == []
    assert _times(tmp_path) == ("", "")
