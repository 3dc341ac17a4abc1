"""``htinvert build``: files, a picture and an explanation, or one clear sentence."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from htinvert.geometry.roles import roles
from htinvert.structures.write import read_structure

Writer = Callable[..., Path]
Command = Callable[..., subprocess.CompletedProcess[str]]

COPPER = {"use": "prototype", "formula": "Cu", "crystal": "fcc", "a": 3.61, "cubic": True}
TILT = 36.8698976  # degrees: Sigma 5 about [001], 2 arctan(1/3)
SIGMA5 = {
    "use": "bicrystal",
    "top": {"phase": COPPER, "zone_axis": [0, 0, 1], "up": [0, 1, 0], "tilt": TILT / 2},
    "bottom": {"phase": COPPER, "zone_axis": [0, 0, 1], "up": [0, 1, 0], "tilt": -TILT / 2},
    "width": [5, 15],
    "depth": [3, 4],
    "height": 15,
}


@pytest.fixture
def block(tmp_path: Path) -> Writer:
    def make(**changes: object) -> Path:
        path = tmp_path / "sigma5.yaml"
        path.write_text(json.dumps(SIGMA5 | changes))  # JSON is YAML
        return path

    return make


def test_a_bicrystal_is_explained_written_and_drawn(
    block: Writer, htinvert: Command, tmp_path: Path
) -> None:
    done = htinvert("build", block(), "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "row 0 is built" in done.stdout
    first = next(line for line in done.stdout.splitlines() if line.split()[:1] == ["0"])
    assert first.split()[7] == "5"  # Sigma
    files = {ending: tmp_path / "out" / f"sigma5.{ending}" for ending in ("cif", "vasp", "xyz")}
    counts = {len(read(path)) for path in files.values()}
    assert len(counts) == 1
    volumes = [read(path).get_volume() for path in files.values()]
    np.testing.assert_allclose(volumes, volumes[0], rtol=1e-6)
    assert (tmp_path / "out" / "sigma5.png").stat().st_size > 10_000


def test_another_row_of_the_table_can_be_built(
    block: Writer, htinvert: Command, tmp_path: Path
) -> None:
    done = htinvert("build", block(), "--choice", 1, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "row 1 is built" in done.stdout


def test_structures_are_made_of_structures(htinvert: Command, tmp_path: Path) -> None:
    slab = {"use": "slab", "phase": COPPER, "miller": [1, 1, 1], "layers": 4, "repeat": [2, 2]}
    block = {"use": "variant", "of": slab, "change": "adatoms", "element": "O", "choice": 2}
    (tmp_path / "oxygen.yaml").write_text(json.dumps(block))
    done = htinvert("build", "oxygen.yaml", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "row 2 is built: O_hollow_1" in done.stdout
    grain = {"phase": COPPER, "zone_axis": [0, 0, 1], "up": [0, 1, 0], "tilt": 45}
    ranges = {"width": [2, 6], "depth": [3, 4], "height": [2, 6]}
    (tmp_path / "turned.yaml").write_text(json.dumps({"use": "oriented", "grain": grain} | ranges))
    done = htinvert("build", "turned.yaml", "-o", "out")
    assert done.returncode == 0, done.stderr
    found = read_structure(tmp_path / "out" / "turned.vasp")
    assert found.cell.lengths() == pytest.approx([3.61, 2.5527, 2.5527], abs=1e-3)


def test_a_campaigns_structure_is_written_with_its_roles(
    campaign: Writer, htinvert: Command, tmp_path: Path
) -> None:
    whole = campaign(structure={"use": "file", "path": "crystal.vasp"})
    done = htinvert("build", whole, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "free" in done.stdout
    assert "frozen" in done.stdout
    for ending in ("cif", "vasp", "xyz"):
        found = roles(read_structure(tmp_path / "out" / f"tiny.{ending}"))
        assert {"free", "host", "frozen"} >= set(found) >= {"frozen"}


def bottom(**changes: object) -> dict[str, object]:
    return {"bottom": SIGMA5["bottom"] | changes}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"width": [30, 30.1]}, "no common cell of Cu Fm-3m and Cu Fm-3m is 30 to 30.1"),
        (bottom(zone_axis=[0, 0, 0]), "zone_axis"),
        (bottom(up=[0, 0, 1]), "up"),
        (bottom(up=[0, 1, 1]), "the nearest valid directions are"),
        (bottom(flip=True), "flip"),
        (bottom(phase=COPPER | {"crystal": "fc"}), "fc"),
        (bottom(phase=COPPER | {"use": "prototyp"}), "did you mean prototype?"),
        (bottom(phase={"use": "file", "path": "gone.cif"}), "gone.cif"),
        ({"choice": 99_999}, "choice is 99999"),
    ],
)
def test_a_mistake_is_one_sentence(
    changes: dict[str, object], sentence: str, block: Writer, htinvert: Command, tmp_path: Path
) -> None:
    done = htinvert("build", block(**changes), "-o", tmp_path / "out")
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
