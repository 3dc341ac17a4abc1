"""How fast a run takes results in, seals them and gives them back, against one fsync.

Structures of 64 atoms, proposed and relaxed, incompressible, two scores, in groups of 256.
`python benchmarks/store.py --rows 1000000` is the full size (some ten minutes, 3 GB of disk).
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from ase import Atoms

from htinvert.core import Candidate, Evaluation, Relaxation, Score
from htinvert.store import Run

GROUP, ATOMS = 256, 64
NUMBERS = [48, 52] * (ATOMS // 2)


def evaluation(index: int, rng: np.random.Generator) -> tuple[Evaluation, bytes]:
    """An evaluation that compresses as badly as they come, and a key."""
    positions = np.rint(rng.uniform(0, 20, (ATOMS, 3)) * 1e6) / 1e6
    atoms = Atoms(numbers=NUMBERS, positions=positions, cell=[20] * 3, pbc=True)
    relaxed = atoms.copy()
    relaxed.positions += rng.normal(0, 0.05, (ATOMS, 3))
    energy = float(rng.normal())
    scores = {f"haadf.{name}": Score(energy**2, {"d_sim": energy}) for name in ("fom", "ssim")}
    found = Evaluation(
        Candidate(index, atoms, "cut_and_splice", (index // 2, index // 3)),
        relaxation=Relaxation(relaxed, energy, True, 50, 0.01),
        scores=scores,
        objectives={"energy": energy, **{name: score.cost for name, score in scores.items()}},
        parameters={"haadf": {"source_size": 0.8, "sampling": 0.1}},
        seconds=1.0,
    )
    return found, rng.bytes(32)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that some work takes, and what came of it."""
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def one_sync(folder: Path) -> float:
    """Median time to sync 4 kB [s]."""
    seconds = []
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            seconds.append(timed(lambda: os.fsync(file))[0])
    return median(seconds)


def take_in(path: Path, rows: int) -> list[float]:
    """Propose and commit all rows in groups; seconds of each group."""
    rng, seconds = np.random.default_rng(0), []
    with Run.create_or_open(path, recipe={}, provenance={}) as run:
        for start in range(0, rows, GROUP):
            made = [evaluation(i, rng) for i in range(start, min(start + GROUP, rows))]
            begun = time.perf_counter()
            run.propose((found.candidate, key) for found, key in made)
            run.commit(found for found, _ in made)
            seconds.append(time.perf_counter() - begun)
        last, _ = timed(run.close)
    print(f"last fold and close: {last:.2f} s")
    return seconds


def best(run: Run) -> np.ndarray:
    """Rows of the thousand best by a weighted sum of three objectives."""
    names = ["objectives/energy", "objectives/haadf.fom", "objectives/haadf.ssim"]
    columns = run.columns([*names, "candidates/status"])
    total = sum(columns[name] for name in names)
    total = np.where(columns["candidates/status"] == 1, total, np.inf)
    return np.argpartition(total, min(1000, len(total) - 1))[:1000]


def resume(path: Path) -> tuple[int, int]:
    """What a driver needs before it can go on."""
    run = Run.create_or_open(path, recipe={}, provenance={})
    found = len(run.pending()), run.next_index
    run.known(bytes(32))
    run._shut()
    return found


def measure(folder: Path, rows: int) -> None:
    """One run of everything."""
    sync = one_sync(folder)
    path = folder / "run"
    groups = sorted(take_in(path, rows))
    each = sum(groups) / rows
    print(f"fsync {1e3 * sync:.2f} ms; {os.cpu_count()} cores")
    print(f"propose + commit: {1e6 * each:.0f} µs a candidate with sealing in the background,")
    print(f"  {GROUP * each / sync:.1f} fsyncs a group; slowest group {groups[-1]:.2f} s")
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    journal = (path / "journal.sqlite").stat().st_size
    print(
        f"{len(files)} files, {size / rows:.0f} B a candidate, {journal / rows:.0f} of them journal"
    )
    print(f"resume: {timed(lambda: resume(path))[0]:.2f} s")
    with Run.open(path) as run:
        print(f"rank by three objectives: {timed(lambda: best(run))[0]:.2f} s")
        print(f"table: {timed(run.table)[0]:.2f} s")
        seconds, _ = timed(lambda: [run.atoms(i) for i in range(0, rows, max(1, rows // 20))])
        print(f"20 structures: {seconds:.2f} s")
        seconds, _ = timed(lambda: sum(1 for _ in run.evaluations(max(0, rows - 50000))))
        print(f"evaluations: {1e6 * seconds / min(rows, 50000):.0f} µs each")


def terminate(folder: Path) -> None:
    """From a signal to durable, with a thousand results that have come in."""
    rng = np.random.default_rng(1)
    made = [evaluation(i, rng) for i in range(1000)]
    run = Run.create_or_open(folder / "stopped", recipe={}, provenance={})
    run.propose((found.candidate, key) for found, key in made)
    seconds, _ = timed(lambda: run.commit(found for found, _ in made))
    print(f"1000 results to durable: {seconds:.2f} s; folded: {timed(run.close)[0]:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(dir=".") as temporary:  # not on a memory file system
        measure(Path(temporary), rows)
        terminate(Path(temporary))
