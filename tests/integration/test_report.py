"""The report: what a colleague who has only the file finds in it, and how a browser takes it."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import read
from skimage.io import imread

from htinvert.config.campaign import load

Writer = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]

MEGABYTES = 10
ENLARGE = """document.querySelector('[data-panel=simulated]')
    .dispatchEvent(new MouseEvent('click', {bubbles: true}))"""
LONG = """document.querySelectorAll('.ranking [data-head]')
    .forEach(cell => { cell.dataset.head += "_of_a_long_name".repeat(4) })"""
HIDDEN = """(table => table.scrollWidth - table.clientWidth)(document.querySelector('.ranking'))"""


EXPERIMENTS = {
    "haadf": {
        "image": "image.npy",
        "sampling": 0.3,
        "forward": {"use": "stem_convolution", "shape": [50, 36]},
        "metrics": {"registration": None},
        "free": {"source_size": [0.5, 2.0]},
        "credit": "made by a test",
    }
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the one run of this module is kept."""
    return tmp_path_factory.mktemp("kept") / "tiny"


@pytest.fixture
def run(campaign: Writer, htinvert: Command, tmp_path: Path, kept: Path) -> Path:
    """A copy of a finished run of the tiny campaign, whose image has a credit."""
    path = campaign(experiments=EXPERIMENTS)
    if not kept.is_dir():
        done = htinvert("run", path)
        assert done.returncode == 0, done.stderr
        shutil.copytree(tmp_path / "runs" / "tiny", kept)
    shutil.copytree(kept, tmp_path / "runs" / "tiny", dirs_exist_ok=True)
    return tmp_path / "runs" / "tiny"


def words(page: Path) -> str:
    """The text of a page, without its scripts and tags."""
    text = re.sub(r"<(script|style).*?</\1>", " ", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", text)))


def test_a_colleague_finds_everything_in_the_file(run: Path, htinvert: Command) -> None:
    done = htinvert("report", run)
    assert done.returncode == 0, done.stderr
    page = run / "report.html"
    assert page.stat().st_size < MEGABYTES * 2**20
    with (run / "report-files" / "families.csv").open() as file:
        families = list(csv.DictReader(file))
    text = words(page)
    best, runner_up = families[0], families[1]
    assert f"Candidate #{best['candidate']}" in text and f"#{runner_up['candidate']}" in text
    assert f"{float(best['haadf.registration']):.4f}" in text
    assert "SSIM: float7, intensity: own" in text and "made by a test" in text
    assert "potential CdTe.sw" in text and "source_size" in text
    assert "The pixel size was not calibrated" in text
    assert "htinvert run tiny.yaml" in text and "seed: 1" in text
    assert "LAMMPS, Comput. Phys. Commun. 271" in text
    assert "at random places" in text  # the null model
    sentence = done.stdout.replace("\n", " ")
    assert "confidence" in sentence and f"#{best['candidate']}" in sentence


def test_beside_the_page_lie_figures_structures_and_tables(run: Path, htinvert: Command) -> None:
    done = htinvert("report", run, "--movie")
    assert done.returncode == 0, done.stderr
    beside = run / "report-files"
    for name in ("best-haadf", "pareto"):
        assert imread(beside / f"{name}.png").shape[1] > 500
        assert (beside / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    best: Any = read(beside / "best.extxyz", index=0)
    cif: Any = read(beside / "best-01.cif")
    assert best.info["rank"] == 1
    assert cif.get_chemical_formula() == best.get_chemical_formula()
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(beside / "families.parquet")
    assert list(table["rank"]) == list(range(1, len(table) + 1))
    assert table["total"].is_monotonic_increasing
    campaign = load(beside / "campaign.yaml")
    assert (beside / campaign.experiments["haadf"].data).is_file()
    assert (beside / "improvement.mp4").stat().st_size > 1000
    page = (run / "report.html").read_text(encoding="utf-8")
    for link in re.findall(r'href="(report-files/[^"]+)"', page):
        assert (run / link).is_file()


def test_without_its_image_a_run_is_reported_and_says_what_to_do(
    run: Path, htinvert: Command, tmp_path: Path
) -> None:
    (tmp_path / "image.npy").rename(tmp_path / "elsewhere.npy")
    done = htinvert("report", run)
    assert done.returncode == 0, done.stderr
    assert "cannot be said without the images" in done.stdout.replace("\n", " ")
    assert "--data FOLDER" in words(run / "report.html")
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "elsewhere.npy").rename(folder / "image.npy")
    done = htinvert("report", run, "--data", folder)
    assert "confidence" in done.stdout.replace("\n", " ")


def test_a_run_without_experiments_is_as_sure_as_its_energies(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    done = htinvert("run", campaign(experiments=None, stop={"evaluations": 12}))
    assert done.returncode == 0, done.stderr
    done = htinvert("report", tmp_path / "runs" / "tiny")
    assert done.returncode == 0, done.stderr
    assert "confidence" in done.stdout.replace("\n", " ")
    text = words(tmp_path / "runs" / "tiny" / "report.html")
    assert "There is no image to show" in text and "One objective ranks alone" in text


@pytest.mark.parametrize("record", [True, False])
def test_another_image_than_the_runs_is_noticed(
    record: bool, run: Path, htinvert: Command, tmp_path: Path
) -> None:
    """Of a run that has lost its record of files, too."""
    pixels = np.load(tmp_path / "image.npy")
    np.save(tmp_path / "image.npy", pixels**2)
    if not record:
        facts = json.loads((run / "provenance.json").read_bytes())
        del facts["inputs"]
        (run / "provenance.json").write_text(json.dumps(facts))
    done = htinvert("report", run)
    assert done.returncode == 0, done.stderr
    assert "cannot be said" in done.stdout and "confidence" not in done.stdout
    assert "experiments.haadf.data" in words(run / "report.html")
    assert "is not what the run was made with" in words(run / "report.html")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--output", "page.pdf"], "let it end in .html"),
        (["--data", "nowhere"], "give --data the folder"),
        (["--energy-error", "-1"], "must be finite and not negative"),
    ],
)
def test_a_mistake_gets_one_sentence(
    run: Path, htinvert: Command, arguments: list[str], sentence: str
) -> None:
    done = htinvert("report", run, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_is_no_run_gets_one_sentence(htinvert: Command, tmp_path: Path) -> None:
    done = htinvert("report", tmp_path)
    assert done.returncode == 2
    assert "is not a run" in done.stderr


def test_it_opens_offline_at_any_width_light_and_dark(
    run: Path, htinvert: Command, window: Any, tmp_path: Path
) -> None:
    """No request, no error, nothing wider than the screen, nothing serious by axe, and it works."""
    assert htinvert("report", run).returncode == 0
    shots = Path(os.environ.get("HTINVERT_SCREENSHOTS", tmp_path))
    for width in (390, 1280):
        for dark in (False, True):
            window.open(run / "report.html", width=width, dark=dark)
            assert window.evaluate("document.documentElement.scrollWidth") <= width
            assert window.evaluate(HIDDEN) == 0, "the ranking is read without scrolling sideways"
            window.shoot(shots / f"report-{width}-{'dark' if dark else 'light'}.png")
            assert window.serious() == []
        window.evaluate(ENLARGE)
        window.shoot(shots / f"enlarged-{width}-dark.png")
        assert window.evaluate("document.documentElement.scrollWidth") <= width
        assert window.serious() == []
    window.open(run / "report.html", width=390)
    window.evaluate(LONG)
    assert window.evaluate(HIDDEN) == 0, "nor where the name of an objective is long"
    window.open(run / "report.html", width=1280)
    window.evaluate(ENLARGE)
    wipe_by_keyboard(window)
    choose_by_keyboard_and_button(window)
    assert {url.partition(":")[0] for url in window.requests} <= {"file", "data", "blob"}
    assert window.complaints == []


def choose_by_keyboard_and_button(window: Any) -> None:
    """Arrow keys walk through the Pareto plot; a button brings the first family back."""
    fused = "document.querySelector('[data-panel=fused]').getAttribute('href')"
    title = "document.querySelector('.shown-title').textContent"
    first = window.evaluate(fused)
    window.evaluate("document.querySelector('[data-choice][tabindex=\"0\"]').focus()")
    for kind in ("rawKeyDown", "keyUp"):
        window.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    assert window.evaluate(title).startswith("rank 2,")
    assert window.evaluate(fused) != first
    window.evaluate("document.querySelector('button[data-choose=\"0\"]').click()")
    assert window.evaluate(title).startswith("rank 1,") and window.evaluate(fused) == first


def press(window: Any, key: str, **more: Any) -> None:
    for kind in ("keyDown", "keyUp"):
        window.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)


def wipe_by_keyboard(window: Any) -> None:
    """Enter on a button enlarges, arrow keys move the edge over the experiment, Escape closes."""
    opened = "document.getElementById('large').open"
    share = "document.querySelector('#wiped rect').getAttribute('width') / 50"
    window.evaluate("document.getElementById('large').close()")
    window.evaluate("document.querySelector('.panels .enlarge').focus()")
    press(window, "Enter", text="\r", windowsVirtualKeyCode=13)
    assert window.evaluate(opened) is True
    below, above = (
        window.evaluate(f"document.querySelectorAll('dialog image')[{i}].getAttribute('href')")
        for i in (0, 1)
    )
    assert below != above
    before = window.evaluate(share)
    press(window, "ArrowRight", windowsVirtualKeyCode=39)
    assert window.evaluate(share) > before == 0
    press(window, "Escape", windowsVirtualKeyCode=27)
    assert window.evaluate(opened) is False
