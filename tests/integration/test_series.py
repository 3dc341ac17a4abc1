"""The command series: what it writes, and what it says of a mistake."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htinvert.cli import main

from .conftest import Writer


def typed(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["htinvert", *map(str, words)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture
def stack(campaign: Writer, tmp_path: Path) -> Path:
    """Three frames that differ by their counts, and a campaign on the first."""
    campaign(stop={"evaluations": 8})
    image = np.load(tmp_path / "image.npy")
    frames = np.random.default_rng(1).poisson(np.broadcast_to(image, (3, *image.shape)))
    np.save(tmp_path / "frames.npy", frames)
    return tmp_path / "frames.npy"


def test_a_series_leaves_tables_structures_a_strip_and_a_movie(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ("series", tmp_path / "tiny.yaml", stack, "-o", out, "--evaluations", 4)
    assert typed(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "3 frames, 8 evaluations of the first" in said
    with (out / "frames.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    told = json.loads((out / "series.json").read_text(encoding="utf-8"))
    assert len(told["frames"]) == 3 and not [e for e in told["events"] if e["sure"] >= 0.9]
    with Image.open(out / "series.png") as strip:
        assert strip.size[0] > 300
    with Image.open(out / "series.gif") as movie:
        assert movie.n_frames == 3
    assert (out / "frames" / "0002" / "config.yaml").is_file()  # each frame is a run like any

    other = ("series", tmp_path / "tiny.yaml", stack, "-o", out, "--only", "1:3")
    assert typed(monkeypatch, *other) == 2
    assert "holds the series of another campaign or of other frames; name a new" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--only", "now"), "--only now is not of the form FIRST:END, such as 0:20"),
        (("--only", "2:"), "gives 1 frames and a series needs two; give a stack of images"),
        (("--experiment", "eels"), "has no experiment eels; it has haadf"),
    ],
)
def test_a_mistake_is_one_sentence(
    options: tuple[str, ...],
    says: str,
    stack: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("series", tmp_path / "tiny.yaml", stack, "-o", tmp_path / "out", *options)
    assert typed(monkeypatch, *words) == 2
    assert says in capsys.readouterr().err


def test_frames_of_unequal_size_are_named(
    stack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "several"
    folder.mkdir()
    frames = np.load(stack)
    np.save(folder / "a.npy", frames[0])
    np.save(folder / "b.npy", frames[1][:, :-1])
    words = ("series", tmp_path / "tiny.yaml", folder, "-o", tmp_path / "out")
    assert typed(monkeypatch, *words) == 2
    assert "b.npy is 60 x 39 px, but a.npy 60 x 40; give frames of one size" in (
        capsys.readouterr().err
    )
