"""The command that compares surfaces, on a scan that is made of one of them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import fcc110, fcc111
from ase.io import write

from htinvert.density.files import FileDensity
from htinvert.density.stored import read_zarr
from htinvert.forward.stm import Stm

FOLDER = Path(__file__).parent / "stm"


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """A folder with a drifted, noisy scan of the stoichiometric surface, and what is to compare."""
    folder = tmp_path_factory.mktemp("case")
    surface = read_zarr(FOLDER / "cu2o_111_stoichiometric.zip").atoms
    write(folder / "stoichiometric.xyz", surface)
    write(folder / "cu_vacancy.xyz", read_zarr(FOLDER / "cu2o_111_cu_vacancy.zip").atoms)
    truth = Stm(
        density=FileDensity(FOLDER), sampling=0.3, shape=(170, 420), rotation=113.0, stretch_x=0.08,
        shear_x=-0.06, blur=1.0,
    )  # fmt: skip
    image = truth(surface).data
    noise = 0.2 * image.std() * np.random.default_rng(4).standard_normal(image.shape)
    np.save(folder / "scan.npy", image + noise.astype(np.float32))
    block = {
        "image": "scan.npy",
        "sampling": 0.3,
        "crop": [30, 130, 100, 200],
        "forward": {
            "use": "stm",
            "density": {"use": "file", "path": str(FOLDER)},
            "rotation": 110,
            "blur": 1.5,
        },
        "metrics": {"registration": {"ssim": "uint8-35"}},
    }
    (folder / "scan.yaml").write_text(yaml.safe_dump(block), encoding="utf-8")
    return folder


def htinvert(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "htinvert.cli", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip


def test_the_planted_surface_wins_in_pairs_beside_null_and_floor(case):
    done = htinvert(
        case, "compare", "scan.yaml", "cu_vacancy.xyz", "stoichiometric.xyz", "--size", "79",
        "--windows", "10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with (case / "compared" / "differences.csv").open() as file:
        found = {row["name"]: row for row in csv.DictReader(file)}
    assert found["stoichiometric"]["verdict"] == "the reference"
    assert found["cu_vacancy"]["verdict"] == "worse"
    assert float(found["cu_vacancy"]["mean"]) > 3 * float(found["cu_vacancy"]["error"])
    assert {row["role"] for row in found.values()} == {"candidate", "null", "floor"}
    assert "window 79 x 79 px at row" in done.stdout
    assert (case / "compared" / "fits.png").exists()
    with (case / "compared" / "windows.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"density": {"use": "file", "path": "none"}}, "none is missing"),
        ({"density": {"use": "fiel", "path": "none"}}, "did you mean file?"),
        ({"bias_low": 0.0, "bias_high": 3.0}, "outside the computed bands, 0 to 1 eV"),
    ],
)
def test_a_mistake_is_one_sentence(case, change, words):
    block = yaml.safe_load((case / "scan.yaml").read_text(encoding="utf-8"))
    block["forward"] |= change
    (case / "wrong.yaml").write_text(yaml.safe_dump(block), encoding="utf-8")
    done = htinvert(case, "compare", "wrong.yaml", "stoichiometric.xyz", "cu_vacancy.xyz")
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_one_structure_is_no_comparison(case):
    done = htinvert(case, "compare", "scan.yaml", "stoichiometric.xyz")
    assert done.returncode == 2
    assert "takes two structures" in done.stderr


@pytest.fixture(scope="module")
def workflow(script):
    return script("workflows/cu2o_stm.py")


def test_the_workflow_keeps_what_it_relaxed_and_prices_surfaces(workflow, tmp_path):
    """EMT's copper: its close-packed face costs least (Jacobsen et al., Surf. Sci. 366, 394)."""
    energy = {"use": "ase", "name": "emt", "fmax": 0.05}
    bulk = fcc111("Cu", (1, 1, 3), a=3.61, periodic=True)
    faces = {"111": fcc111("Cu", (1, 1, 7), a=3.61), "110": fcc110("Cu", (1, 1, 9), a=3.61)}
    for slab in faces.values():
        slab.center(vacuum=8.0, axis=2)
        slab.pbc = True
    make = lambda name, atoms: workflow.relaxed(name, atoms, energy, tmp_path, tmp_path)  # noqa: E731
    potentials = workflow.chemical_potentials([make("bulk", bulk)])
    costs = {n: workflow.surface_energy(make(n, slab), potentials) for n, slab in faces.items()}
    assert 0.03 < costs["111"] < costs["110"] < 0.15  # eV/Å²
    written = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(written) == 3
    make("111", faces["111"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == written
