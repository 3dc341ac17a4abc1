"""What the command line overrides is validated like the file, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from htinvert.cli import main

Writer = Callable[..., Path]


def typed(words: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr("sys.argv", ["htinvert", *words.split()])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--minutes -1", "stop.minutes: give a number above 0 (given: -1.0)"),
        ("--minutes nan", "stop.minutes is nan; give a finite number, or leave it out"),
        (
            "--workers 100000",
            "workers: give 50000 or less (given: 100000)",
        ),
        ("--workers 20000", "workers: 20000 processes are too many for the "),
        ("--workers -2", "workers: give 0 or more (given: -2)"),
        ("--evaluations 0", "stop.evaluations: give a number above 0 (given: 0)"),
        ("--seed -1", "seed: give 0 or more (given: -1)"),
        ("--cluster nowhere", "nowhere"),
    ],
)
def test_a_wrong_override_is_one_sentence(
    campaign: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    options: str,
    sentence: str,
) -> None:
    campaign()
    monkeypatch.chdir(tmp_path)
    assert typed(f"run tiny.yaml {options}", monkeypatch) == 2
    said = capsys.readouterr()
    assert said.err.startswith("htinvert: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_check_prints_a_reason_with_brackets_as_it_is(
    campaign: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Every second candidate fails for a reason that rich would take for markup."""
    (tmp_path / "brackets.py").write_text(
        "from htinvert.core import EvaluationFailed, Relaxation\n"
        "class Picky:\n"
        "    count = 0\n"
        "    def __call__(self, atoms):\n"
        "        Picky.count += 1\n"
        "        if Picky.count % 2 == 0:\n"
        "            raise EvaluationFailed('no force in [/some/path] [eV]')\n"
        "        return Relaxation(atoms, -1.0, True, 0)\n"
    )
    campaign(energy={"use": "brackets:Picky"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.argv", ["htinvert", "check", "tiny.yaml", "--trust"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    said = " ".join(capsys.readouterr().out.split())
    assert "no force in [/some/path] [eV]" in said
