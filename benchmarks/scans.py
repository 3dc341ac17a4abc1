"""A scan of patterns of 8 GB is reduced in a small part of that memory.

Made here: a sparse .npy and EMPAD's .raw of 8 GB of which every 8th row has patterns, so that
little of it lies on the disk. Each reduction runs in a process of its own, whose largest memory is
printed.

    python benchmarks/scans.py
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np

import htinvert as ht

SIZE = 8_000_000_000  # bytes


def pattern(shape: tuple[int, int]) -> np.ndarray:
    """A disk of a fifth of the frame's width."""
    y, x = np.indices(shape)
    apart = np.hypot(y - shape[0] // 2, x - shape[1] // 2)
    return 100 * np.clip(shape[1] / 5 + 0.5 - apart, 0.0, 1.0)


def npy(path: Path) -> None:
    """256 x 238 places of 256 x 256 px of 16 bits, every 8th row with patterns."""
    places = (256, SIZE // (256 * 256 * 256 * 2))
    data = np.lib.format.open_memmap(path, "w+", np.uint16, (*places, 256, 256))
    for row in range(0, places[0], 8):
        data[row] = pattern((256, 256)).astype(np.uint16)


def raw(path: Path) -> None:
    """346 x 346 places of 130 x 128 px as floats."""
    side = int((SIZE / (4 * 130 * 128)) ** 0.5)
    data = np.memmap(path, np.float32, "w+", shape=(side, side, 130, 128))
    for row in range(0, side, 8):
        data[row, :, :128] = pattern((128, 128))


CASES = {
    "virtual": ("image", [{"virtual": {"inner": 0, "outer": 24}}]),
    "average": ("pattern", [{"average": None}]),
}


def reduce(path: Path, case: str, answer: multiprocessing.Queue) -> None:
    """Seconds of processor and largest memory [MB], before and after."""
    kind, steps = CASES[case]
    before = largest()
    start = time.process_time()
    keys = {"patterns": {"disk": 21.4}, "sampling": 0.3} if kind == "image" else {"disk": 21.4}
    ht.read(path, kind=kind, prepare=steps, **keys)
    answer.put((time.process_time() - start, before, largest()))


def largest() -> float:
    """Most memory of this process so far [MB]; that of getrusage is its parent's, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    """Print one line per file and reduction."""
    print(f"{'file':10} {'reduced to':10} {'GB':>5} {'CPU s':>6} {'MB before':>10} {'MB most':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for ending, write in ((".npy", npy), (".raw", raw)):
            path = Path(folder) / f"scan{ending}"
            write(path)
            for case in CASES:
                context = multiprocessing.get_context("spawn")
                answer = context.Queue()
                process = context.Process(target=reduce, args=(path, case, answer))
                process.start()
                spent, before, most = answer.get()
                process.join()
                size = path.stat().st_size / 1e9
                print(f"{ending:10} {case:10} {size:5.1f} {spent:6.1f} {before:10.0f} {most:8.0f}")
            path.unlink()


if __name__ == "__main__":
    main()
