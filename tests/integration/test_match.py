"""From a description to a library to a match to a campaign, through the command line."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from htinvert.forward.stem_convolution import StemConvolution
from htinvert.matching.index import described_members, on_dask
from htinvert.matching.library import LibraryView, entries
from htinvert.structures.file import from_file

Command = Callable[..., "subprocess.CompletedProcess[str]"]

NICKEL = {"use": "prototype", "formula": "Ni", "crystal": "fcc", "a": 3.52, "cubic": True}
GRAIN = {"phase": NICKEL, "zone_axis": [0, 0, 1], "up": [1, 0, 0], "tilt": 0.0}
BOUNDARIES = {
    "use": "bicrystal",
    "top": GRAIN,
    "bottom": GRAIN,
    "width": [8, 40],
    "depth": [3, 4],
    "max_turn": 1.0,
    "height": 30.0,
    "vary": {"top.tilt, bottom.tilt": [[18.4, -18.4], [13.3, -13.3], [11.3, -11.3], [1, 50]]},
}


@pytest.fixture
def library(htinvert: Command, tmp_path: Path) -> Path:
    (tmp_path / "nickel.yaml").write_text(json.dumps(BOUNDARIES), encoding="utf-8")
    done = htinvert("build", tmp_path / "nickel.yaml", "--library", "-o", tmp_path / "library")
    assert done.returncode == 0, done.stderr
    return tmp_path / "library"


def test_a_library_is_built_matched_and_scored(
    htinvert: Command, library: Path, tmp_path: Path
) -> None:
    files = sorted(library.glob("*.xyz"))
    with (library / "library.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert [row["name"] for row in rows if row["name"]] == [path.name for path in files]
    assert len(files) >= 3

    seen = StemConvolution(sampling=0.2, shape=(300, 300), rotation=200.0, source_size=1.2)
    image = seen(from_file(files[1])).data
    counts = np.random.default_rng(0).poisson(100 * image / image.max())
    np.save(tmp_path / "image.npy", counts.astype(np.float32))
    words = ("match", tmp_path / "image.npy", library, "--sampling", "0.21", "--top", "2")
    first = htinvert(*words, "-o", tmp_path / "matched")
    assert first.returncode == 0, first.stderr
    with (tmp_path / "matched" / "match.csv").open(encoding="utf-8") as file:
        assert next(csv.DictReader(file))["member"] == files[1].name
    assert (tmp_path / "matched" / "match.png").stat().st_size > 10_000
    again = htinvert(*words, "-o", tmp_path / "matched")
    assert f"{len(files)} of them known" in " ".join(again.stdout.split())

    campaign = {
        "name": "scored",
        "structure": {"use": "file", "path": str(files[0])},
        "energy": {"use": "ase", "name": "emt", "fmax": 100.0},
        "experiments": {
            "haadf": {
                "image": str(tmp_path / "image.npy"),
                "sampling": 0.2,
                "forward": {"use": "stem_convolution", "shape": [120, 120], "rotation": 200.0},
                "metrics": {"registration": None, "hog": None, "sift": {"reach": 1.0}},
            }
        },
        "objectives": {"haadf.hog": 1.0, "haadf.sift": 1.0, "haadf.registration": 0.0},
        "search": {
            "generators": [{"use": "library", "path": str(library)}],
        },
        "workers": 0,
    }  # fmt: skip
    (tmp_path / "scored.yaml").write_text(json.dumps(campaign), encoding="utf-8")
    ran = htinvert("run", tmp_path / "scored.yaml", "-o", tmp_path / "run")
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "all that there was to propose is evaluated" in ran.stdout
    exported = htinvert("export", tmp_path / "run", tmp_path / "table.csv")
    assert exported.returncode == 0, exported.stderr
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {"haadf.hog", "haadf.sift"} <= set(table[0])

    members, view = entries(library), LibraryView()
    (there,) = list(on_dask(view, 1)(iter([members])))  # a worker describes as this process does
    here = described_members(members, view)
    np.testing.assert_array_equal(there.maps, here.maps)
    np.testing.assert_array_equal(there.invariants, here.invariants)


@pytest.mark.parametrize(
    ("image", "library", "message"),
    [
        ("flat", "library", "is the same everywhere"),
        ("noise", "nothing", "there is no library"),
        ("noise", "empty", "is empty: no structure"),
    ],
)
def test_a_mistake_is_one_sentence(
    htinvert: Command, tmp_path: Path, image: str, library: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    data = np.random.default_rng(0).normal(size=(200, 200)) if image == "noise" else np.ones((9, 9))
    np.save(tmp_path / f"{image}.npy", data)
    done = htinvert("match", tmp_path / f"{image}.npy", tmp_path / library, "--sampling", "0.2")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
