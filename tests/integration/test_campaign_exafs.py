"""A campaign on EXAFS, core losses and an image from `check` to `report`; FEFF runs once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from htinvert.forward.eels.cross_section import Illumination, differential
from htinvert.forward.eels.edges import edge_named
from htinvert.forward.exafs.model import Exafs

pytest.importorskip("larch", reason="pip install htinvert[xas]")

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SIDE = 2.55  # Å

CAMPAIGN = """
name: rhombus
seed: 1
structure: {use: file, path: cu.xyz}
composition: {Cu: [2, 2], Ni: [2, 2]}
energy: {use: ase, name: emt}
experiments:
  exafs:
    data: cu.chi
    forward: {use: exafs, absorber: Cu, kmax: 12, rmax: 4.0, legs: 2, sigma2: 0.004}
    metrics: {rw: }
  loss:
    data: loss.txt
    axis: energy loss [eV]
    forward: {use: eels, elements: [Cu, Ni], beam_energy: 200000, semiangle: 10, collection: 30}
    metrics: {rw: }
  haadf:
    image: image.npy
    sampling: 0.2
    forward: {use: stem_convolution, beam: -z, up: -y}
    metrics: {correlation: }
objectives: {energy: likelihood, exafs: likelihood, loss: likelihood, haadf: likelihood}
search: {generators: [{use: random}]}
stop: {evaluations: 2}
workers: 0
"""
ILLUMINATION = Illumination(2e5, 10.0, 30.0)


@pytest.fixture
def square(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Atoms:
    """Two copper and two nickel atoms, and what was measured of them, in files.

    Their chi(k) has all paths, their losses are hydrogenic, their image is made of Gaussians.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    corners = SIDE * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    atoms = Atoms("Cu2Ni2", positions=corners + 4.0, cell=[SIDE + 8.0] * 3)
    model = Exafs(absorber="Cu", kmin=2.0, kmax=13.0, weight=0, rmax=4.0, compare="k", sigma2=0.004)
    signal = model(atoms)
    rows = np.transpose([signal.coordinates(), signal.data])
    np.savetxt(tmp_path / "cu.chi", rows, header="k chi")
    rng, energy = np.random.default_rng(1), np.arange(700.0, 1200.0, 1.0)
    counts = 2e6 * (energy / 700.0) ** -2.8
    for edge in map(edge_named, ("Cu L", "Ni L")):
        counts += 3e4 * differential(
            edge, energy, ILLUMINATION, onset=edge.onset, model="hydrogenic"
        )
    np.savetxt(tmp_path / "loss.txt", np.transpose([energy, rng.poisson(counts)]))
    y, x = 0.2 * np.mgrid[:60, :60]
    image = sum(np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 0.8) for at in atoms.positions)
    np.save(tmp_path / "image.npy", rng.poisson(100 * image + 10))
    write(tmp_path / "cu.xyz", atoms)
    return atoms


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("cache/htinvert/feff/*/*.npz")}


def test_two_spectra_and_an_image_go_on_without_asking_feff_again(
    tmp_path: Path, square: Atoms, htinvert: Command
) -> None:
    (tmp_path / "cu.yaml").write_text(CAMPAIGN)
    seen = htinvert("check", "cu.yaml")
    assert seen.returncode == 0, seen.stderr
    for name in ("exafs", "loss", "haadf"):
        assert (tmp_path / f"rhombus-check-{name}.png").stat().st_size > 10_000
    done = htinvert("run", "cu.yaml", "-o", "run")
    assert done.returncode == 0, done.stderr
    before = files(tmp_path)
    assert before
    done = htinvert("run", "cu.yaml", "-o", "run", "--evaluations", "3")
    assert done.returncode == 0, done.stderr
    after = files(tmp_path)
    assert {path: after[path] for path in before} == before
    ranked = htinvert("rank", "run")
    assert ranked.returncode == 0, ranked.stderr
    assert all(name in ranked.stdout for name in ("exafs", "loss", "haadf", "[nats]"))
    told = htinvert("report", "run")
    assert told.returncode == 0, told.stderr


def test_init_writes_a_campaign_that_check_accepts(
    tmp_path: Path, square: Atoms, htinvert: Command, shared_data: Path
) -> None:
    square.symbols = "Cu4"
    write(tmp_path / "cu.xyz", square)
    data = shared_data / "cu-exafs" / "cu_10k.xmu"
    options = ("--structure", "cu.xyz", "--curve", str(data), "--energy", "lennard_jones", "--yes")
    done = htinvert("init", "cu", *options)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cu.yaml").read_text()
    assert "use: exafs, absorber: Cu, kmin: 3, kmax: 19" in text
    assert re.search(r"sigma2\.Cu1: \[", text)
    assert "rmax: 4, reference: cu.xyz}" in text
    seen = htinvert("check", "cu.yaml")
    assert seen.returncode == 0, seen.stderr
