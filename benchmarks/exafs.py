"""Cost of EXAFS: FEFF for 26 absorbers, sums over kept paths, larch's sum beside ours; errors.

``python benchmarks/exafs.py``: CPU seconds, children included; R-factors between simulations of a
cluster of 26 copper atoms that is out of order, 1.5 to 4.5 Å, k from 3 to 14.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Octahedron
from ase.io import write

from htinvert.forward.exafs import feff, kept, model
from htinvert.forward.exafs.neighborhood import neighborhoods
from htinvert.forward.exafs.paths import chi

GRID = (0.05, 0.05, 400)


def cluster() -> Atoms:
    """26 copper atoms, each 0.06 Å off its place along every axis."""
    whole = Octahedron("Cu", 4, 1)
    nearest = np.argsort(np.linalg.norm(whole.positions - whole.positions.mean(axis=0), axis=1))
    atoms = Atoms("Cu26", positions=whole.positions[nearest[:26]])
    atoms.rattle(0.06, seed=3)
    return atoms


def spent() -> float:
    """CPU of this process and of its children that have ended [s]."""
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + child.ru_utime + child.ru_stime


def cpu(work: Callable[[], object], times: int = 1) -> float:
    """Best CPU of a call [s]."""
    found = []
    for _ in range(times):
        begun = spent()
        work()
        found.append(spent() - begun)
    return min(found)


def sums() -> tuple[float, float]:
    """CPU [s] of larch's and of our sum over copper's paths to 5.2 Å, 400 points."""
    from larch.xafs import feffpath, ff2chi

    (hood,) = neighborhoods(bulk("Cu", "fcc", a=3.61), 29, 7.5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = feff._input(hood, feff.Settings(reach=5.2), feff.elements_of(hood), "1 1 1 0")
        (folder / "feff.inp").write_text(text.replace("CRITERIA 0 0", "CRITERIA 4 2.5", 1))
        feff.run(folder, 60.0)
        files = sorted(folder.glob("feff0*.dat"))
        theirs, ours = [feffpath(str(file)) for file in files], feff.read_paths(files)
    for path in theirs:
        path.sigma2 = 0.003
    k = GRID[0] + GRID[1] * np.arange(GRID[2])
    sigma2 = np.full(len(ours), 0.003)
    return cpu(lambda: ff2chi(theirs, k=k), 30), cpu(lambda: chi(ours, GRID, sigma2=sigma2), 300)


def r_factor(found: np.ndarray, expected: np.ndarray) -> float:
    """After the scale of least squares."""
    scale = (found @ expected) / (found @ found)
    return float(((scale * found - expected) ** 2).sum() / (expected**2).sum())


def main() -> None:
    """Print a table."""
    atoms, limits = cluster(), {"kmin": 3.0, "kmax": 14.0, "rmin": 1.5, "rmax": 4.5}
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_CACHE_HOME"] = name
        perfect = Path(name) / "perfect.xyz"
        write(perfect, Atoms("Cu38", positions=Octahedron("Cu", 4, 1).positions))
        own = model.Exafs(**limits, sigma2=0.005)
        shared = model.Exafs(**limits, sigma2=0.005, reference=perfect)
        single = model.Exafs(**limits, sigma2=0.005, reference=perfect, scattering="single")
        alone = model.Exafs(**limits, sigma2=0.005, legs=2)
        theirs, ours = sums()
        print(f"sum over 14 paths: ff2chi {1e3 * theirs:.2f} ms, ours {1e6 * ours:.0f} us")
        print(f"26 absorbers, each its own potentials: {cpu(lambda: own(atoms)):.2f} s")
        shared(bulk("Cu", "fcc", a=3.61))  # makes the phase shifts
        print(f"the same with shared phase shifts: {cpu(lambda: shared(atoms)):.2f} s")
        e0 = iter(np.linspace(-5, 5, 50))

        def refitted() -> None:
            model.Exafs(**limits, sigma2=0.004, e0=float(next(e0)))(atoms)

        print(f"other e0 and sigma2: {1e3 * cpu(refitted, 50):.1f} ms")

        def anew() -> None:
            model._merged.clear()
            own(atoms)

        print(f"structure anew, neighborhoods known: {1e3 * cpu(anew, 5):.0f} ms")
        kept._known.clear()
        print(f"from the folder, as after a resume: {1e3 * cpu(anew):.0f} ms")
        single(atoms)
        seeds = iter(range(20))

        def another() -> None:
            other = atoms.copy()
            other.rattle(0.05, seed=next(seeds))
            single(other)

        print(f"single scattering by tables, a new structure: {1e3 * cpu(another, 20):.1f} ms")
        signals = [one(atoms).data.astype(float) for one in (own, shared, alone, single)]
        full, phases, legs, tables = signals
        print(f"R-factor by shared phase shifts: {r_factor(phases, full):.4f}")
        print(f"R-factor by single scattering alone: {r_factor(legs, full):.4f}")
        print(f"R-factor by its tables besides: {r_factor(tables, legs):.4f}")


if __name__ == "__main__":
    main()
