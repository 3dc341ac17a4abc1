"""Relaxation times of made-up series of 5 to 1000 tau: what is found, and how often it holds.

python benchmarks/fluctuations.py [draws] [length ...]     some twenty minutes

Speckles (complex Gaussian field of 24 x 24 px, made here by their spectrum in time) with tau 6
frames and beta 0.7, 20 counts a pixel. An exposure is summed by Simpson's rule over nine instants;
a plain mean of four made tau too long by 0.4 %, a third of the standard error at 1000 tau.
`one pixel` is the map's, pooled over 3 x 3 px. The last row is the time and memory of 256 x 256
pixels and 4096 frames on disk.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from htinvert.statistics.fluctuations import fluctuations
from htinvert.statistics.series import read_series

TAU, BETA, SIDE, INSTANTS = 6.0, 0.7, 24, 8
SIMPSON = np.array([1, 4, 2, 4, 2, 4, 2, 4, 1], dtype=np.float32) / 24
LENGTHS = (5, 10, 20, 40, 100, 400, 1000)


def speckles(frames: int, rng: np.random.Generator) -> np.ndarray:
    """A series (t, y, x): correlated in time by a spectrum, in space by a Gaussian of 1 px."""
    size = 1 << int(np.ceil(np.log2(2 * frames * INSTANTS)))
    lag = np.minimum(np.arange(size), size - np.arange(size)) / INSTANTS
    power = np.fft.rfft(np.exp(-((lag / TAU) ** BETA))).real.clip(0).astype(np.float32)
    parts = []
    for _ in range(2):  # real and imaginary part
        white = np.fft.rfft(rng.standard_normal((SIDE * SIDE, size), dtype=np.float32))
        along = np.fft.irfft(np.sqrt(power) * white)[:, : frames * INSTANTS + 1]
        parts.append(along.T.reshape(-1, SIDE, SIDE))
    f = np.fft.fftfreq(SIDE)
    blur = np.exp(-2 * np.pi**2 * (f[:, None] ** 2 + f**2))
    blur /= np.sqrt((blur**2).mean())
    field = np.fft.ifft2(np.fft.fft2(parts[0] + 1j * parts[1]) * blur)
    instants = np.abs(field) ** 2 / 2
    last = frames * INSTANTS - INSTANTS
    intensity = sum(
        share * instants[k : last + k + 1 : INSTANTS] for k, share in enumerate(SIMPSON)
    )
    return rng.poisson(20 * intensity).astype(np.uint16)


def row(length: int, draws: int) -> str:
    """What `draws` series of `length` tau say."""
    rng = np.random.default_rng(length)
    said = []
    for _ in range(draws):
        found = fluctuations(speckles(round(length * TAU), rng), average=3)
        pixels = found.map
        near = np.abs(np.log(pixels.tau / TAU)) < 2 * pixels.relative_error
        said.append((
            found.tau.value, found.tau.low < TAU < found.tau.high,
            found.beta.value, found.beta.low < BETA < found.beta.high,
            *found.uncorrected, np.nanmedian(pixels.tau), near.mean(), pixels.trusted.mean(),
        ))  # fmt: skip
    v = np.array(said, dtype=float)
    mean, held = v.mean(axis=0), 100 * v.mean(axis=0)
    return (
        f"| {length} | {mean[0]:.2f} ({v[:, 0].std():.2f}) | {100 * (mean[0] / TAU - 1):+.1f} % | "
        f"{held[1]:.0f} % | {mean[2]:.3f} | {held[3]:.0f} % | {mean[4]:.2f} ({mean[5]:.2f}) | "
        f"{mean[6]:.2f} | {held[7]:.0f} % | {held[8]:.0f} % |"
    )


def cost() -> str:
    """Processor seconds and memory of a large series."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.npy"
        shape = (4096, 256, 256)
        file = np.lib.format.open_memmap(path, "w+", np.uint16, shape)
        field = rng.standard_normal((2, *shape[1:]), dtype=np.float32)
        for frame in file:
            frame[:] = rng.poisson(10 * (field**2).sum(axis=0))
            step = rng.standard_normal(field.shape, dtype=np.float32)
            field = np.float32(0.9) * field + np.float32(0.19**0.5) * step
        del file, frame
        start = time.process_time()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = fluctuations(read_series(path))
        spent = time.process_time() - start
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (f"256 x 256 px x 4096 frames: {spent:.1f} CPU-s, {most / 1e6:.2f} GB (before "
            f"{before / 1e6:.2f}); tau {found.tau.value:.3f} ± {found.tau.error:.3f}, true "
            f"{-1 / np.log(0.9):.3f}")  # fmt: skip


def main() -> None:
    """Print a row per length, then the cost."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    print("| length [tau] | tau | bias | 95 % holds | beta | holds | uncorrected (beta) "
          "| one pixel | 2 errors hold | trusted |")  # fmt: skip
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for length in map(int, sys.argv[2:]) if sys.argv[2:] else LENGTHS:
        print(row(length, draws), flush=True)
    if not sys.argv[2:]:
        print(cost())


if __name__ == "__main__":
    main()
