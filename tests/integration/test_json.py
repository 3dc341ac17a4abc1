"""What a script reads: one JSON document on standard output, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from htinvert.core import Score
from htinvert.evaluation.fit import Fitted
from htinvert.report.as_json import fit_values, written
from htinvert.report.curve_rank import Explained

from .conftest import Command, Writer


def test_a_run_is_quiet_and_its_readers_speak_json(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    def read(*words: str) -> Any:
        done = htinvert(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    checked = read("check", str(campaign()))
    assert checked["campaign"] == "tiny"
    assert checked["seconds_per_candidate"] > 0
    assert set(checked["start"]) >= {"energy", "haadf.registration"}
    assert (tmp_path / checked["pictures"][0]).is_file()

    done = htinvert("run", "tiny.yaml", "--evaluations", "4", "--quiet")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")

    status = read("status", "runs/tiny")
    assert (status["evaluated"] + status["failed"], status["running"]) == (4, False)
    ranking = read("rank", "runs/tiny", "--top", "1")
    assert set(ranking["objectives"]) == {"energy", "haadf.registration"}
    (best,) = ranking["families"]
    assert best == status["best"]
    assert best["rank"] == 1
    assert read("verify", "runs/tiny")["code"] == 0


def test_fits_are_told_in_numbers() -> None:
    one: Any = Fitted(None, {"u": 0.01}, {"rw": Score(0.2, {})})  # type: ignore[arg-type]
    assert fit_values(one) == {"costs": {"rw": 0.2}, "parameters": {"u": 0.01}, "trials": 0}
    many = [Explained("a", 3, 0.1, True, {}), Explained("b", 3, 0.4, False, {})]
    told = [entry["told_from_first"] for entry in fit_values(many)["structures"]]
    assert told == [False, True]


def test_what_is_no_number_is_null() -> None:
    assert json.loads(written({"a": math.inf, "b": [1, math.nan], "c": Path("x")})) == {
        "a": None,
        "b": [1, None],
        "c": "x",
    }
