"""The convolution image of a thin crystal against multislice with frozen phonons (abTEM)."""

import warnings

import numpy as np
import pytest
from ase import Atoms

from htinvert.forward.stem_convolution import StemConvolution

abtem = pytest.importorskip(
    "abtem", reason="abtem is not installed: pip install htinvert[multislice]"
)

A = 6.482  # Å, CdTe
WIDTH, HEIGHT = A / np.sqrt(2), A
DETECTOR = (60.0, 95.0)  # mrad; what 0.09 Å sampling of the wave can hold
PROBES = (12, 16)  # over one cell, (x, y)
SOURCE_SIZE = 1.0  # Å


@pytest.fixture(scope="module")
def column_pair():
    """CdTe along [110], which is z: one projected cell, one repeat thick."""
    positions = [
        [0, 0, 0],
        [0, A / 4, WIDTH / 2],
        [WIDTH / 2, A / 2, WIDTH / 2],
        [WIDTH / 2, 3 * A / 4, 0],
    ]
    return Atoms("CdTeCdTe", positions=positions, cell=[WIDTH, HEIGHT, WIDTH], pbc=True)


@pytest.fixture(scope="module")
def multislice(column_pair):
    """Scan of one cell of a 14 Å thick crystal with three phonon configurations, indexed (x, y)."""
    import dask

    crystal = column_pair.repeat((3, 2, 3))
    with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
        warnings.simplefilter("ignore")
        phonons = abtem.FrozenPhonons(crystal, num_configs=3, sigmas=0.09, seed=1)
        potential = abtem.Potential(
            phonons, sampling=0.09, slice_thickness=2.3, projection="infinite"
        )
        probe = abtem.Probe(energy=200e3, semiangle_cutoff=30)
        probe.grid.match(potential)
        scan = abtem.GridScan((0, 0), (WIDTH, HEIGHT), gpts=PROBES, endpoint=False)
        detector = abtem.AnnularDetector(*DETECTOR)
        measured = probe.scan(potential, scan=scan, detectors=detector, max_batch=32)
        return np.asarray(measured.compute(progress_bar=False).array, dtype=float)


def blurred(image):
    """Periodic image convolved with a Gaussian source of ``SOURCE_SIZE``."""
    kx = np.fft.fftfreq(PROBES[0], WIDTH / PROBES[0])[:, None]
    ky = np.fft.fftfreq(PROBES[1], HEIGHT / PROBES[1])
    source = np.exp(-((np.pi * SOURCE_SIZE / 2) ** 2) / np.log(2) * (kx**2 + ky**2))
    return np.fft.ifft2(np.fft.fft2(image) * source).real


def test_thin_crystal_looks_as_in_multislice(column_pair, multislice):
    (nx, ny), (inner, outer) = PROBES, DETECTOR
    sampling = (HEIGHT / ny, WIDTH / nx)
    center = ((ny - 1) / 2 * sampling[0], (nx - 1) / 2 * sampling[1])
    model = StemConvolution(
        sampling=sampling, shape=(ny, nx), beam="z", up="y", center=center,
        inner=inner, outer=outer, source_size=SOURCE_SIZE,
    )  # fmt: skip
    ours = model(column_pair).data[::-1].T
    assert np.corrcoef(ours.ravel(), blurred(multislice).ravel())[0, 1] >= 0.95
