"""Make the demo's experiment: a multislice image of the planted boundary, imperfectly recorded.

    python workflows/make_demo_experiment.py                  # about 10 minutes on one core
    python workflows/make_demo_experiment.py --smoke out.tif  # seconds, coarse and thin

The search explains images by incoherent convolution; this image is made by multislice with frozen
phonons (abTEM: Madsen & Susi, Open Res. Europe 1, 24 (2021); frozen phonons: Loane et al., Acta
Cryst. A 47, 267 (1991)), then blurred, distorted and counted, so that nothing fits by construction.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import abtem
import dask
import numpy as np
import tifffile
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.structures.file import from_file

DEMO = Path(__file__).parents[1] / "htinvert" / "data" / "demo"
LOWER, UPPER = 7.0, 41.0  # of the scan along z of the planted structure, Å
FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # full width at half maximum in standard deviations


@dataclass(frozen=True)
class Microscope:
    """What the microscope does; lengths in Å, angles in mrad."""

    beam_energy: float = 200e3  # eV
    semiangle: float = 25.0
    inner: float = 60.0
    outer: float = 100.0
    source_size: float = 0.9  # full width at half maximum
    sampling: float = 0.22  # of the recorded image, Å/px
    shape: tuple[int, int] = (144, 126)  # rows, columns
    peak_counts: float = 200.0
    row_jitter: float = 0.3  # standard deviation, px
    drift: float = 0.005  # shear and stretch of the slow axis
    rms_displacement: float = 0.12  # per axis; Debye model of CdTe, 160 K, at 300 K
    phonons: int = 6  # frozen-phonon configurations
    thickness: int = 13  # repeats of the cell along the beam
    step: float = (
        0.3  # of the simulated scan; the source then removes what lies beyond its Nyquist limit
    )
    potential: float = 0.08  # sampling of the potential; reaches 102 mrad


def scan(
    truth: Atoms, scope: Microscope, *, lower: float, upper: float, seed: int
) -> NDArray[np.float32]:
    """Scan one period across, ``lower`` to ``upper`` [Å] up, by multislice; shape (up, across).

    The result is the fraction of the beam that the detector collects. The field is done in pieces
    of a few Å, each in a cell that reaches 6 Å beyond the piece. A slice is one period thick: it
    holds one atom of every column.
    """
    period = truth.cell[1, 1]
    across, up = round(period / scope.step), round((upper - lower) / scope.step)
    edges = np.linspace(lower, upper, max(1, round((upper - lower) / 9.0)) + 1)
    rows = np.round(np.linspace(0, up, len(edges))).astype(int)
    step = (upper - lower) / up
    pieces = []
    for number, (first, last) in enumerate(pairwise(rows)):
        low, high = lower + first * step, lower + last * step
        slab = cut_slab(truth, low - 6.0, high + 6.0, scope.thickness)
        phonons = abtem.FrozenPhonons(
            slab, scope.phonons, sigmas=scope.rms_displacement, seed=seed + number
        )
        potential = abtem.Potential(
            phonons, sampling=scope.potential, slice_thickness=truth.cell[0, 0]
        )
        probe = abtem.Probe(energy=scope.beam_energy, semiangle_cutoff=scope.semiangle)
        grid = abtem.GridScan(
            start=(0.0, 6.0),
            end=(period, 6.0 + high - low),
            gpts=(across, last - first),
            endpoint=False,
        )
        detector = abtem.AnnularDetector(inner=scope.inner, outer=scope.outer)
        measured = probe.scan(potential, scan=grid, detectors=detector, max_batch=32)
        pieces.append(measured.compute(progress_bar=False).array.T)
        print(f"{high:.1f} of {upper:.1f} Å", flush=True)
    return np.concatenate(pieces)


def cut_slab(truth: Atoms, low: float, high: float, repeats: int) -> Atoms:
    """Cut a piece out along z and turn it: across = two periods of y, up = z, beam = x repeated."""
    height = truth.positions[:, 2]
    piece = truth[(height >= low) & (height < high)].repeat((repeats, 2, 1))
    lengths = piece.cell.lengths()
    positions = piece.positions[:, [1, 2, 0]] - [0.0, low, 0.0]
    return Atoms(piece.numbers, positions, cell=[lengths[1], high - low, lengths[0]], pbc=True)


def record(
    signal: NDArray[np.float32], truth: Atoms, scope: Microscope, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Blur by the source, scan with jitter and drift, count electrons; row 0 is the top."""
    up, across = scope.step, truth.cell[1, 1] / signal.shape[1]
    sigma = scope.source_size / FWHM
    blurred = gaussian_filter(signal, (sigma / up, sigma / across), mode=("nearest", "wrap"))
    row, column = np.mgrid[: scope.shape[0], : scope.shape[1]].astype(float)
    jitter = rng.normal(0.0, scope.row_jitter, size=(scope.shape[0], 1))
    x = (column + jitter + scope.drift * row) * scope.sampling + rng.uniform(0.0, truth.cell[1, 1])
    middle = 0.5 * (scope.shape[0] - 1)
    height = (middle - row) * (1.0 + scope.drift) * scope.sampling  # above the middle, Å
    place = [height / up + 0.5 * (signal.shape[0] - 1), x / across]
    image = map_coordinates(blurred, place, order=3, mode="grid-wrap")
    return rng.poisson(np.clip(image, 0.0, None) / image.max() * scope.peak_counts).astype(
        np.uint16
    )


def write(path: Path, counts: NDArray[np.uint16], sampling: float) -> None:
    """Write a 16-bit TIFF whose resolution is the pixel size, ``sampling`` [Å/px]."""
    density = 1e8 / sampling  # pixels per centimeter
    tifffile.imwrite(
        path,
        counts,
        compression="zlib",
        resolution=(density, density),
        resolutionunit="CENTIMETER",
        metadata=None,
    )


def main() -> None:
    """Simulate, record and write the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=DEMO / "experiment.tif")
    parser.add_argument("--smoke", action="store_true", help="coarse and thin, within seconds")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    scope = Microscope()
    if options.smoke:
        scope = replace(scope, phonons=1, thickness=2, step=0.9)
    truth = from_file(DEMO / "truth.vasp")
    with dask.config.set(scheduler="synchronous"):
        signal = scan(truth, scope, lower=LOWER, upper=UPPER, seed=options.seed)
    counts = record(signal, truth, scope, np.random.default_rng(options.seed))
    write(options.out, counts, scope.sampling)


if __name__ == "__main__":
    main()
