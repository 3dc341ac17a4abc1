"""How fast a run takes results in, folds them and gives them back, against one fsync.

Structures of 64 atoms, proposed and relaxed, two scores; median of three runs.
"""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from ase import Atoms

import htinvert.store
from htinvert.core import Candidate, Evaluation, Relaxation, Score
from htinvert.store import Run, snap, structure_key

ROWS, SECONDS = 5000, defaultdict[str, list[float]](list)


def evaluation(index: int, rng: np.random.Generator) -> tuple[Evaluation, bytes]:
    """An evaluation that compresses as badly as they come, and its key."""
    positions = rng.uniform(0, 20, (64, 3))
    atoms = snap(Atoms(numbers=[48, 52] * 32, positions=positions, cell=[20] * 3, pbc=True))
    relaxed = atoms.copy()
    relaxed.positions += rng.normal(0, 0.05, (64, 3))
    energy = float(rng.normal())
    scores = {f"haadf.{name}": Score(energy**2, {"d_sim": energy}) for name in ("fom", "ssim")}
    found = Evaluation(
        Candidate(index, atoms, "cut_and_splice", (index // 2, index // 3)),
        relaxation=Relaxation(relaxed, energy, True, 50),
        scores=scores,
        objectives={"energy": energy, **{name: score.cost for name, score in scores.items()}},
        parameters={"haadf": {"source_size": 0.8, "sampling": 0.1}},
        seconds=1.0,
    )
    return found, structure_key(atoms, "benchmark")


def rate(what: str, count: int, work: Callable[[], object]) -> None:
    """Time ``count`` pieces of work."""
    start = time.perf_counter()
    work()
    SECONDS[what].append((time.perf_counter() - start) / count)


def take_in(run: Run, batch: list[tuple[Evaluation, bytes]], size: int) -> None:
    """Propose and commit."""
    for start in range(0, len(batch), size):
        part = batch[start : start + size]
        run.propose((evaluation.candidate, key) for evaluation, key in part)
        run.commit(evaluation for evaluation, _ in part)


def sync(folder: Path) -> None:
    """Sync 4 kB 50 times."""
    with (folder / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            os.fsync(file)


def measure(folder: Path, made: list[tuple[Evaluation, bytes]]) -> str:
    """One run of everything; the sizes it came to."""
    rate("fsync", 50, lambda: sync(folder))
    rate("snap", ROWS, lambda: [snap(found.atoms) for found, _ in made])
    rate("key", ROWS, lambda: [structure_key(found.atoms, "") for found, _ in made])
    path = folder / "run"
    htinvert.store.BLOCK = 10**9  # no fold yet
    with Run.create_or_open(path, recipe={}, provenance={}) as run:
        rate("propose + commit, one by one", 200, lambda: take_in(run, made[:200], 1))
        rate("propose + commit, groups of 16", 800, lambda: take_in(run, made[200:1000], 16))
        rate("propose + commit, groups of 256", ROWS - 1000, lambda: take_in(run, made[1000:], 256))
        htinvert.store.BLOCK = 4096
        rate("fold (write, read back, compare, sync)", ROWS, run.fold)
        rate("known", 1000, lambda: [run.known(key) for _, key in made[:1000]])
        rate("counts", 10, lambda: [run.counts() for _ in range(10)])
        rate("evaluations", ROWS, lambda: list(run.evaluations()))
        rate("table", ROWS, run.table)
        rate("verify", ROWS, run.verify)
    rate("open and close", 1, Run.create_or_open(path, recipe={}, provenance={}).close)
    archive = [file for file in (path / "results.zarr").rglob("*") if file.is_file()]
    sizes = [sum(f.stat().st_size for f in some) for some in (archive, [path / "journal.sqlite"])]
    per_row = [round(size / ROWS) for size in sizes]
    return f"Zarr: {len(archive)} files, {per_row[0]} B/row; journal: {per_row[1]} B/row"


if __name__ == "__main__":
    made = [evaluation(index, np.random.default_rng(index)) for index in range(ROWS)]
    for _ in range(3):
        with tempfile.TemporaryDirectory(dir=".") as temporary:  # not on a memory file system
            sizes = measure(Path(temporary), made)
    fsync = median(SECONDS["fsync"])
    print(f"{'of ' + str(os.cpu_count()) + ' cores, one':40s} {'µs each':>10s} {'fsyncs':>8s}")
    for what, seconds in SECONDS.items():
        print(f"{what:40s} {1e6 * median(seconds):10.1f} {median(seconds) / fsync:8.2f}")
    print(sizes)
