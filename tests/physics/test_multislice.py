"""Multislice images against abTEM used directly, against the convolution model, and by physics."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from htinvert.forward.multislice import pixels_of
from htinvert.forward.slab import configurations, crop
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.forward.stem_multislice import StemMultislice, _scans
from htinvert.structures.file import from_file

abtem = pytest.importorskip(
    "abtem", reason="abtem is not installed: pip install htinvert[multislice]"
)

A = 6.482  # Å, CdTe
WIDTH, HEIGHT = A / np.sqrt(2), A
DEMO = Path(__file__).parents[2] / "htinvert" / "data" / "demo"


@pytest.fixture(scope="module")
def crystal():
    """CdTe along [110], which is z: one projected cell, one repeat thick."""
    positions = [
        [0, 0, 0],
        [0, A / 4, WIDTH / 2],
        [WIDTH / 2, A / 2, WIDTH / 2],
        [WIDTH / 2, 3 * A / 4, 0],
    ]
    return Atoms("CdTeCdTe", positions=positions, cell=[WIDTH, HEIGHT, WIDTH], pbc=True)


def model(**parameters):
    """A coarse, quick microscope that looks along z at one projected cell, (ny, nx) = (17, 13)."""
    standard = {
        "sampling": (HEIGHT / 17, WIDTH / 13),
        "shape": (17, 13),
        "beam": "z",
        "up": "y",
        "semiangle": 20.0,
        "inner": 40.0,
        "outer": 80.0,
        "thickness": 18.0,
        "phonons": 1,
        "source_size": 0.0,
    }
    return StemMultislice(**{**standard, **parameters})


def by_abtem(ours, atoms, detector):
    """The same configuration and slices, 3 x 2 cells, through abTEM's own scan, shape (13, 17)."""
    import dask

    slab = ours.plan(atoms).slab
    motion = ours.rms_displacement
    (moved,) = configurations(slab, rms_displacement=motion, seed=ours.seed, count=1)
    lengths = np.array([WIDTH, HEIGHT])
    numbers, positions = crop(moved, np.array([0.0, -2 * HEIGHT]), [3, 2] * lengths)
    box = Atoms(numbers, positions, cell=[*([3, 2] * lengths), slab.depth], pbc=True)
    with dask.config.set(scheduler="synchronous"):
        potential = abtem.Potential(
            box, gpts=pixels_of([3, 2] * lengths, ours.wave_sampling),
            slice_thickness=(slab.depth / 4,) * 4, projection="infinite",
            parametrization="kirkland",
        )  # fmt: skip
        probe = abtem.Probe(energy=200e3, semiangle_cutoff=20)
        probe.grid.match(potential)
        scan = abtem.GridScan((0, 0), lengths, gpts=(13, 17), endpoint=False)
        measured = probe.scan(potential, scan=scan, detectors=detector)
        return measured.compute(progress_bar=False)


@pytest.mark.parametrize("detector", ["annular", "com_x", "com_y"])
def test_the_image_is_what_abtem_computes_for_the_same_input(crystal, detector):
    """Boxes are whole periods and there is one probe per pixel, so that nothing differs."""
    last = np.array([16 / 17 * HEIGHT, 12 / 13 * WIDTH])
    ours = model(
        padding=6.4, slice_thickness=WIDTH / 2, scan_step=HEIGHT / 17, thickness=9.0, inner=0.0,
        center=(2 * HEIGHT - last[0] / 2, last[1] / 2), detector=detector, potential="abtem",
    )  # fmt: skip
    if detector == "annular":
        ours = replace(ours, inner=40.0)
        expected = by_abtem(ours, crystal, abtem.AnnularDetector(40, 80)).array.T
    else:
        patterns = by_abtem(ours, crystal, abtem.PixelatedDetector(80))
        kx, ky = np.meshgrid(*patterns.angular_coordinates, indexing="ij")
        patterns.array[..., np.hypot(kx, ky) > 80] = 0.0  # abTEM's patterns are rectangles
        center = patterns.center_of_mass(units="mrad").array
        expected = (center.real if detector == "com_x" else center.imag).T
    assert_allclose(ours(crystal).data, expected, atol=1e-5 * abs(expected).max())


def test_a_thin_crystal_looks_as_by_convolution(crystal):
    """At 18 Å and a source of 1 Å."""
    ours = model(semiangle=30.0, inner=60.0, outer=95.0, phonons=4, source_size=1.0, scan_step=0.3)
    expected = ours.convolution(crystal).data
    found = ours(crystal).data
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] >= 0.98


def test_the_signal_grows_with_thickness(crystal):
    """With frozen phonons; that of a static lattice does not (Loane et al. 1991)."""
    ours = model(inner=60.0, outer=90.0, phonons=2, scan_step=0.8, padding=4.0)
    means = [replace(ours, thickness=t)(crystal).data.mean() for t in (9.0, 27.0, 55.0, 92.0)]
    assert (np.diff(means) > 0).all()


def test_images_of_both_models_overlay_on_the_demo():
    """Same fields, same pixels: the best shift between the images is less than half a pixel."""
    atoms = from_file(DEMO / "truth.vasp")
    simple = StemConvolution(
        sampling=0.3, shape=(30, 26), center=(24.6, 4.0), semiangle=25.0, inner=60.0, outer=100.0,
        source_size=1.2, rotation=12.0, shear_x=0.03, stretch_y=0.02, shift_x=0.7,
    )  # fmt: skip
    shared = {name: getattr(simple, name) for name in vars(simple) if name != "aperture"}
    accurate = StemMultislice(
        **shared, thickness=20.0, phonons=2, rms_displacement=0.1, scan_step=0.4, padding=3.0
    )
    ours, theirs = (np.asarray(f(atoms).data, dtype=float) for f in (accurate, simple))
    correlations = {
        (dy, dx): np.corrcoef(
            ours[2:-2, 2:-2].ravel(),
            theirs[2 + dy : 28 + dy, 2 + dx : 24 + dx].ravel(),
        )[0, 1]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert max(correlations, key=correlations.get) == (0, 0)
    assert correlations[0, 0] > 0.95


def test_a_worker_with_one_thread_computes_the_same_image(crystal):
    """Inside a Dask task; abTEM, which uses Dask itself, must not ask the cluster for help."""
    from distributed import Client

    ours = model(semiangle=10.0, outer=60.0, thickness=5.0, padding=2.0)
    expected = ours(crystal).data
    _scans.clear()
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    with Client(processes=False, **options) as client:
        found = client.submit(ours, crystal, pure=False).result(timeout=60).data
    assert_allclose(found, expected, atol=1e-6 * expected.max())


LARGE = """
from htinvert.forward.stem_multislice import StemMultislice
from ase.build import bulk
crystal = bulk("CdTe", "zincblende", a=6.482, cubic=True).repeat((16, 6, 7))  # 5 376 atoms
model = StemMultislice(
    sampling=0.2, shape=(2, 2), source_size=0.0, thickness=1.0, phonons=1, memory=0.5,
    rms_displacement=0.1, inner=60.0, outer=90.0,
)
model(crystal)
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))  # kB
"""


def test_memory_stays_below_its_limit_with_5000_atoms():
    """Peak of a process of its own that images a small part of a large cell, 104 Å thick."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    peak = float(done.stdout.split()[1]) * 1024 / 1e9  # getrusage would count the parent's, too
    assert 0.2 < peak < 0.5
