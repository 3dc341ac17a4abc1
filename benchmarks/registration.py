"""Time one figure of merit, image included, against an FFT pair and scikit-image in the same run.

python benchmarks/registration.py     CPU milliseconds of one thread, median of 31 rounds
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import cycle

import numpy as np
from ase import Atoms
from numpy.testing import assert_allclose
from scipy import fft
from skimage.feature import match_template
from skimage.metrics import structural_similarity

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics.correlation import normalized_cross_correlation
from htinvert.metrics.registration import Registration
from htinvert.metrics.ssim import ssim

SIZES = {  # experiment and simulation [px], cell [Å]
    "470 x 470, 301 x 159": ((470, 470), (301, 159), (9.0, 20.0, 70.0)),
    "1024 x 1024, 300 x 300": ((1024, 1024), (300, 300), (9.0, 50.0, 70.0)),
}
FREE = ("rotation", "shear_x", "stretch_x", "stretch_y", "source_size", "shift_x", "shift_y")
SPREAD = np.array([1.0, 0.01, 0.01, 0.01, 0.3, 1.0, 1.0])
ROUNDS = 31


def milliseconds(cases: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median CPU time [ms] of each case; each in turn, after a call that fills the caches."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, work in cases.items():
            work()
            start = time.process_time()
            work()
            taken[name].append(time.process_time() - start)
    return {name: 1e3 * float(np.median(times)) for name, times in taken.items()}


def comparison(
    large: tuple[int, int], small: tuple[int, int], cell: tuple[float, float, float]
) -> dict[str, Callable[[], object]]:
    """The cases for one size: 700 Te atoms anywhere in the cell, a tenth of noise."""
    rng = np.random.default_rng(0)
    atoms = Atoms("Te700", positions=rng.random((700, 3)) * cell, cell=cell, pbc=True)
    model = StemConvolution(sampling=0.16, shape=small)
    scene = replace(model, shape=large, source_size=1.2)(atoms).data
    observed = Signal.image(scene + rng.normal(scale=0.1 * scene.std(), size=large), 0.16)
    simulated = model(atoms).data
    patch = observed.data[: small[0], : small[1]]
    first, second = ((x - x.min()) / np.ptp(x) for x in map(np.float64, (simulated, patch)))
    coefficients = match_template(observed.data, simulated)
    assert_allclose(normalized_cross_correlation(simulated, observed.data), coefficients, atol=1e-5)
    similarity = structural_similarity(first, second, data_range=1.0)
    assert_allclose(ssim(simulated, patch), similarity, atol=1e-5)
    start = np.array([0, 0, 0, 0, 1.0, 0, 0])
    points = cycle(start + SPREAD * rng.uniform(-1, 1, (ROUNDS, len(FREE))))
    register = Registration()

    def fitted() -> object:
        point = dict(zip(FREE, map(float, next(points)), strict=True))
        return register(replace(model, **point)(atoms), observed)

    return {
        "figure of merit": lambda: register(model(atoms), observed),
        "figure of merit, all parameters new": fitted,
        "  its image": lambda: model(atoms),
        "  its registration": lambda: register(Signal.image(simulated, 0.16), observed),
        "rfft2 + irfft2 of the experiment": lambda: fft.irfft2(fft.rfft2(observed.data), s=large),
        "skimage match_template": lambda: match_template(observed.data, simulated),
        "skimage structural_similarity": lambda: structural_similarity(
            first, second, data_range=1.0
        ),
    }


def main() -> None:
    """Print one table per size: milliseconds, and the time of a figure of merit over it."""
    print(f"{os.cpu_count()} cores; times in CPU ms of one thread, ratio = figure of merit / line")
    for name, sizes in SIZES.items():
        print(f"\n{name} px, 700 atoms{'ms':>21s}{'ratio':>8s}")
        times = milliseconds(comparison(*sizes))
        for case, taken in times.items():
            ratio = times["figure of merit, all parameters new"] / taken
            print(f"{case:40s}{taken:10.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
