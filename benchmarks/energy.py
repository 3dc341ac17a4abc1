"""Time LAMMPS' own minimizer against ASE's on one potential, isolation, and a worker's memory.

python benchmarks/energy.py     CPU milliseconds of one thread, median of 5 rounds; memory in MB
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.lammpslib import LAMMPSlib

from htinvert.energy.descent import relax
from htinvert.energy.isolation import Isolated, end_children
from htinvert.energy.lammps import Lammps
from htinvert.energy.potential_files import potential_path

ROUNDS = 5
MODEL = Lammps(Path("CdTe.sw"), fmax=0.01)


def cell(seed: int) -> Atoms:
    """CdTe, 200 atoms, displaced by 0.08 Å."""
    atoms = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((5, 5, 1))
    atoms.rattle(0.08, seed=seed)
    return atoms


def reference() -> Calculator:
    """The same potential in the same LAMMPS, driven by ASE."""
    commands = ["pair_style sw", f"pair_coeff * * {potential_path(MODEL.potential)} Cd Te"]
    return LAMMPSlib(lmpcmds=commands, atom_types={"Cd": 1, "Te": 2}, keep_alive=True)


def seconds(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    """Time taken and result of ``work``."""
    start = clock()
    result = work()
    return clock() - start, result


def compare_minimizers() -> None:
    """Print the ratio of a relaxation by ASE's LBFGS and by LAMMPS, rebuild included."""
    MODEL(cell(0))
    rows = []
    for seed in range(ROUNDS):
        atoms, calculator = cell(seed), reference()
        slow, theirs = seconds(
            lambda a=atoms, c=calculator: relax(
                a, c, engine="lammpslib", fmax=0.01, steps=500, optimizer="lbfgs"
            ),
            time.process_time,
        )
        fast, ours = seconds(lambda a=atoms: MODEL(a), time.process_time)
        assert ours.converged and theirs.converged
        assert abs(ours.energy - theirs.energy) < 0.01, "both end in one minimum"
        rows.append((1e3 * slow, 1e3 * fast, slow / fast))
    slow, fast, ratio = np.median(rows, axis=0)
    print(f"relax 200 atoms, CdTe.sw: ASE LBFGS {slow:.1f} ms, native {fast:.1f} ms: {ratio:.1f}x")


def isolation_overhead() -> None:
    """Print what a child process adds to a relaxation, wall-clock, least of 400 alternating."""
    atoms, model = cell(0), Lammps(MODEL.potential, steps=0)
    isolated = Isolated(model)
    isolated(atoms)
    here, there = np.array(
        [
            [seconds(lambda e=e: e(atoms), time.perf_counter)[0] for e in (model, isolated)]
            for _ in range(400)
        ]
    ).min(axis=0)
    end_children()
    print(
        f"single point: here {1e3 * here:.2f} ms, isolated {1e3 * there:.2f} ms: "
        f"{1e3 * (there - here):.2f} ms more"
    )


def memory_of_a_worker() -> None:
    """Print the memory after 200 and after 2 000 relaxations of structures of changing size."""
    pages, sizes = [], [cell(seed)[: 160 + 8 * seed] for seed in range(5)]
    for count in range(1, 2001):
        MODEL(sizes[count % 5])
        if count in (200, 2000):
            pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
    early, late = (4096 * count / 1e6 for count in pages)
    print(f"memory: {early:.0f} MB after 200, {late:.0f} MB after 2000: {late / early - 1:+.1%}")


if __name__ == "__main__":
    compare_minimizers()
    isolation_overhead()
    memory_of_a_worker()
