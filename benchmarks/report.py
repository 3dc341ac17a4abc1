"""How long does a report take, and how large does it get?

    python benchmarks/report.py [RUN] [--rows 10000 100000]

Copies the evaluations of a run (default: a fresh one of the demo) into runs of the given sizes,
their atoms shaken by 0.3 Å at most so that families differ, and reports on each.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter

import numpy as np

from htinvert.core import Evaluation
from htinvert.geometry.roles import region_mask
from htinvert.store import RunStore, snap, structure_key


def enlarge(source: Path, target: Path, rows: int) -> None:
    """Make a run of so many rows of another one's."""
    with RunStore.open(source) as store:
        known = [e for e in store.evaluations() if e.ok]
    rng = np.random.default_rng(1)
    with RunStore.create_or_open(target, recipe={"benchmark": rows}, provenance={}) as store:
        batch: list[Evaluation] = []
        for index, evaluation in enumerate(islice(cycle(known), rows)):
            batch.append(_copy(evaluation, index, rng))
            if len(batch) == 1000:
                _put(store, batch)
                batch = []
        if batch:
            _put(store, batch)
    for name in ("config.yaml", "provenance.json"):
        shutil.copy(source / name, target / name)


def _copy(evaluation: Evaluation, index: int, rng: np.random.Generator) -> Evaluation:
    assert evaluation.relaxation is not None
    atoms = evaluation.atoms.copy()
    inside = region_mask(atoms)
    atoms.positions[inside] += rng.uniform(-0.3, 0.3, (int(inside.sum()), 3))
    objectives = {k: v + rng.uniform(0.0, 0.02) for k, v in evaluation.objectives.items()}
    return replace(
        evaluation,
        candidate=replace(evaluation.candidate, index=index, atoms=snap(atoms), parents=()),
        relaxation=replace(evaluation.relaxation, atoms=atoms),
        objectives=objectives,
        scores={},
    )


def _put(store: RunStore, batch: list[Evaluation]) -> None:
    store.propose(
        [(e.candidate, structure_key(e.candidate.atoms, str(e.candidate.index))) for e in batch]
    )
    store.commit(batch)


def main() -> None:
    """Print seconds, memory and size per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 10_000, 100_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = options.run or Path(folder) / "demo"
        program = [sys.executable, "-m", "htinvert.cli"]
        if options.run is None:
            subprocess.run([*program, "demo", "-o", str(source)], check=True)
        for rows in options.rows:
            target = Path(folder) / f"rows-{rows}"
            enlarge(source, target, rows)
            start = perf_counter()
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*program, "report", str(target)], check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            size = (target / "report.html").stat().st_size / 2**20
            print(
                f"{rows:>8} rows: {perf_counter() - start:5.1f} s, {cpu:5.1f} s of CPU, at most "
                f"{after.ru_maxrss / 2**10:.0f} MB so far, page {size:.1f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
