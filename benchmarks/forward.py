"""Time image simulation and scoring against roofline and scikit-image, side by side in one run.

python benchmarks/forward.py     CPU milliseconds of one thread, best of 20
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ase import Atoms
from scipy import fft
from skimage.feature import match_template
from skimage.metrics import structural_similarity

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.correlation import normalized_cross_correlation
from htinvert.metrics.registration import Registration
from htinvert.metrics.ssim import ssim


def milliseconds(work: Callable[[], object], repeats: int = 20) -> float:
    """Least CPU time [ms] of ``work`` after one call to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1e3 * min(taken)


def random_crystal(count: int, cell: tuple[float, float, float]) -> Atoms:
    """``count`` Te atoms anywhere in an orthogonal cell [Å]."""
    positions = np.random.default_rng(0).random((count, 3)) * cell
    return Atoms(f"Te{count}", positions=positions, cell=cell, pbc=True)


def main() -> None:
    """Print one line per case."""
    small = random_crystal(30, (4.678, 8.103, 43.0))
    large = random_crystal(682, (9.0, 20.0, 70.0))
    cell = StemConvolution(sampling=0.26, shape=(100, 93))
    grain = StemConvolution(sampling=0.16, shape=(301, 159))
    simulated = grain(large)
    scene = replace(grain, shape=(470, 470), source_size=1.2)(large)
    noise = np.random.default_rng(1).normal(scale=0.1 * scene.data.std(), size=scene.data.shape)
    observed = Signal.image(scene.data + noise, 0.16)
    pixels = scene.data[:301, :159].astype(float)
    first, second = ((x - x.min()) / np.ptp(x) for x in (simulated.data.astype(float), pixels))
    cases: dict[str, Callable[[], object]] = {
        "image 100 x 93, 30 atoms": lambda: cell(small),
        "  rotated by 1 degree": lambda: replace(cell, rotation=1.0)(small),
        "image 301 x 159, 682 atoms": lambda: grain(large),
        "  rotated": lambda: replace(grain, rotation=1.0)(large),
        "  FFT pair of its pixels (roofline)": lambda: fft.irfft2(fft.rfft2(pixels), s=(301, 159)),
        "NCC 301 x 159 in 470 x 470": lambda: normalized_cross_correlation(
            simulated.data, observed.data
        ),
        "  scikit-image match_template": lambda: match_template(observed.data, simulated.data),
        "SSIM float7 301 x 159": lambda: ssim(first, second),
        "  scikit-image": lambda: structural_similarity(first, second, data_range=1.0),
        "figure of merit, image included": lambda: Registration()(grain(large), observed),
    }
    for name, work in cases.items():
        print(f"{name:40s} {milliseconds(work):9.2f} ms")


if __name__ == "__main__":
    main()
