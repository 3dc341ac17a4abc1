"""Images of a simulated scan of patterns, against abTEM's detectors and a direct simulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

import htinvert as ht
from htinvert.forward.stem_multislice import StemMultislice

abtem = pytest.importorskip("abtem", reason="pip install htinvert[multislice]")

A, ENERGY, SEMIANGLE = 3.905, 100e3, 20.0
COUNT = 10  # places along each side of a cell
STEP = A / COUNT
PIXELS = 96  # along each side of the four cells that waves are simulated in


def cell(element: str = "SrTiO3") -> Atoms:
    """The widest gap is that across the cell's edge, so that all let the beam in there."""
    places = [[0.1, 0, 0.25], [0.6, 0.5, 0.7], [0.6, 0.5, 0.25], [0.6, 0, 0.7], [0.1, 0.5, 0.7]]
    return Atoms(element, scaled_positions=places, cell=[A, A, A], pbc=True)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray], float]:
    """A scan of one cell of SrTiO3 as .npy, what abTEM's detectors count of it, its step [mrad]."""
    box = cell() * (4, 4, 1)
    potential = abtem.Potential(
        box,
        gpts=(PIXELS, PIXELS),
        slice_thickness=A / 2,
        projection="infinite",
        parametrization="kirkland",
    ).build(lazy=False)
    probe = abtem.Probe(energy=ENERGY, semiangle_cutoff=SEMIANGLE)
    probe.grid.match(potential)
    scan = abtem.GridScan((0, 0), (A, A), gpts=(COUNT, COUNT), endpoint=False)
    detectors = [
        abtem.PixelatedDetector(max_angle="cutoff"),
        abtem.AnnularDetector(inner=0, outer=SEMIANGLE),
        abtem.AnnularDetector(inner=25, outer=60),
    ]
    with abtem.config.set({"local_diagnostics.progress_bar": False}):
        waves = probe.scan(potential, scan=scan, detectors=detectors, lazy=False)
    patterns, bright, annular = waves
    data = np.asarray(patterns.array).transpose(1, 0, 3, 2)  # (y, x, ky, kx)
    path = tmp_path_factory.mktemp("scan") / "scan.npy"
    np.save(path, data)
    com = np.asarray(patterns.center_of_mass(units="mrad").array).T
    idpc = np.asarray(patterns.center_of_mass(units="1/Å").integrate_gradient().array).T
    step = float(patterns.angular_sampling[0])
    found = {"bright": np.asarray(bright.array).T, "annular": np.asarray(annular.array).T}
    return path, found | {"com_x": com.real, "com_y": com.imag, "idpc": 2 * np.pi * idpc}, step


def reduced(scanned: tuple[Path, dict[str, np.ndarray], float], step: dict) -> np.ndarray:
    path, _, pixel = scanned
    keys = {"sampling": pixel, "unit": "mrad", "prepare": [{"center": "frame"}]}
    return ht.read(path, sampling=STEP, patterns=keys, prepare=[step]).data


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("bright", {"virtual": {"outer": SEMIANGLE}}),
        ("annular", {"virtual": {"inner": 25, "outer": 60}}),
        ("com_x", {"com": "x"}),
        ("com_y", {"com": "y"}),
        ("idpc", {"idpc": {"beam_energy": ENERGY, "edges": "periodic"}}),
    ],
)
def test_images_of_a_scan_are_those_of_abtems_detectors(scanned: Any, name: str, step: Any) -> None:
    """abTEM integrates a center of mass in 1/Å without the 2 pi of a phase."""
    expected = scanned[1][name]
    if name == "idpc":  # its mean is not known
        expected = expected - expected.mean()
    assert reduced(scanned, step) == pytest.approx(expected, abs=1e-4 * float(np.ptp(expected)))


@pytest.mark.parametrize(
    ("detector", "outer", "step"),
    [("com_x", 70.0, {"com": {"direction": "x", "outer": 70}}),
     ("com_y", 70.0, {"com": {"direction": "y", "outer": 70}}),
     ("idpc", 70.0, {"idpc": {"beam_energy": ENERGY, "outer": 70, "edges": "periodic"}}),
     ("annular", SEMIANGLE, {"virtual": {"outer": SEMIANGLE}})],
)  # fmt: skip
def test_a_direct_simulation_gives_the_images_of_the_scan(
    scanned: Any, detector: str, outer: float, step: Any
) -> None:
    """On the same pixels, with atoms spread over them alike; signs and units are the same."""
    corner = (COUNT - 1) / 2 * STEP
    model = StemMultislice(
        beam="-z", up="-y", sampling=STEP, shape=(COUNT, COUNT), center=(-corner, corner),
        beam_energy=ENERGY, semiangle=SEMIANGLE, source_size=0.0, thickness=A, phonons=1,
        rms_displacement=1e-4, detector=detector, inner=0.0, outer=outer, slice_thickness=2.0,
        potential_sampling=4.0001 * A / PIXELS, padding=5.9, potential="abtem",
    )  # fmt: skip
    simulated, found = model(cell()).data, reduced(scanned, step)
    assert simulated == pytest.approx(found, abs=1e-3 * float(np.ptp(found)))
