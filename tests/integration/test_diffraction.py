"""Patterns at the command line: a library is built and asked, a measured crystal's thickness."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "sto-pacbed"
LIBRARY = """
use: perovskite_stack
cells: 2
vary: {intermixing: {from: 0, to: 0.4, by: 0.4}}
patterns: {semiangle: 8, rows: 1, thickness: [40, 64], every: 12, tilt: [0.5, 0.5], outer: 16}
"""


def said(cli: Any, *words: object, code: int = 0) -> str:
    done = cli(*map(str, words))
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_a_library_is_built_and_asked(tmp_path: Path, htinvert: Any) -> None:
    (tmp_path / "stack.yaml").write_text(LIBRARY)
    told = said(htinvert, "build", tmp_path / "stack.yaml", "--library", "-o", tmp_path / "library")
    assert "intermixing: 2 levels" in told and "of one core" in told
    np.save(tmp_path / "flat.npy", np.random.default_rng(0).poisson(50.0, (1, 20, 20)))
    asked = ("fit", tmp_path / "library", tmp_path / "flat.npy", "-o", tmp_path / "answer")
    assert "--sampling in mrad per px" in said(htinvert, *asked, code=2)
    assert "none of these" in said(htinvert, *asked, "--sampling", 1.6)
    numbers = json.loads((tmp_path / "answer" / "answer.json").read_text())
    assert numbers["none_of_these"] and (tmp_path / "answer" / "answer.png").exists()
    (tmp_path / "known" / "library").mkdir(parents=True)
    (tmp_path / "flat.npy").rename(tmp_path / "known" / "library" / "flat.npy")
    every = ("fit", tmp_path, tmp_path / "known", "-o", tmp_path / "every", "--sampling", 1.6)
    assert "right: 0 of 1" in said(htinvert, *every)
    numbers = json.loads((tmp_path / "every/library/flat/families.json").read_text())
    assert numbers["probabilities"] == {"library": 1.0} and numbers["none_of_these"]
    assert (tmp_path / "every" / "confusion.png").exists()
    (tmp_path / "known" / "library").rename(tmp_path / "known" / "other")
    assert "data of other but the libraries are library" in said(htinvert, *every, code=2)


def test_a_description_that_varies_no_number_is_told(tmp_path: Path, htinvert: Any) -> None:
    wrong = LIBRARY.replace("{from: 0, to: 0.4, by: 0.4}", "[0.1, 0.5, 0.2]")
    (tmp_path / "stack.yaml").write_text(wrong)
    assert "rising numbers in even steps" in said(
        htinvert, "build", tmp_path / "stack.yaml", "--library", "-o", tmp_path / "library", code=2
    )


def test_a_measured_patterns_thickness_is_found(tmp_path: Path, htinvert: Any) -> None:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data/sto-pacbed, third-party patterns that are not copied")
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    crystal = Atoms("SrTiO3", scaled_positions=places, cell=[3.905] * 3, pbc=True)
    write(tmp_path / "SrTiO3.cif", crystal)
    pattern = DATA / "04-on_zone_55-57nm.jpg"
    asked = ("fit", tmp_path / "SrTiO3.cif", pattern, "--model", "cbed", "-o", tmp_path / "fit")
    assert "needs the semiangle" in said(htinvert, *asked, code=2)
    said(
        htinvert,
        *asked,
        "--set",
        "semiangle=13.6",
        "--set",
        "step=1.1",
        "--free",
        "thickness=540:582",
    )
    numbers = json.loads((tmp_path / "fit" / "parameters.json").read_text())
    low, high = numbers["interval_90"]
    assert low < 570 and high > 550, "its authors' 55 to 57 nm"
    assert numbers["thickness"] == pytest.approx(560, abs=15)
