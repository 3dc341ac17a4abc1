"""Time image simulation against the FFT pair of its pixels, side by side in one run.

python benchmarks/forward.py     CPU milliseconds of one thread, best of 20
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from ase import Atoms
from scipy import fft

from htinvert.forward.stem_convolution import StemConvolution


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
    pixels = grain(large).data
    cases: dict[str, Callable[[], object]] = {
        "image 100 x 93, 30 atoms": lambda: cell(small),
        "  rotated by 1 degree": lambda: replace(cell, rotation=1.0)(small),
        "image 301 x 159, 682 atoms": lambda: grain(large),
        "  rotated likewise": lambda: replace(grain, rotation=1.0)(large),
        "  source 0.5 Å": lambda: replace(grain, source_size=0.5)(large),
        "  FFT pair of its pixels (roofline)": lambda: fft.irfft2(fft.rfft2(pixels), s=(301, 159)),
    }
    for name, work in cases.items():
        print(f"{name:40s} {milliseconds(work):9.2f} ms")


if __name__ == "__main__":
    main()
