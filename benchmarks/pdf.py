"""Seconds of G(r) to 20 Å for 100, 1 000 and 10 000 atoms, and of moving one atom of 1 000.

``python benchmarks/pdf.py``: CPU of this process, best of several; row by row is plain numpy.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from ase import Atoms
from ase.build import bulk

from htinvert.core import Axis
from htinvert.forward.pdf import pairs
from htinvert.forward.pdf.model import Pdf
from htinvert.forward.pdf.pairs import _counted


def ball(count: int) -> Atoms:
    """The ``count`` atoms of fcc platinum nearest to a point, as a free cluster."""
    block = bulk("Pt", "fcc", a=3.92, cubic=True) * (18, 18, 18)
    middle = block.cell.array.sum(axis=0) / 2 + 0.3
    nearest = np.argsort(np.linalg.norm(block.positions - middle, axis=1))[:count]
    return Atoms(f"Pt{count}", positions=block.positions[nearest])


def cpu(work: Callable[[], object], times: int) -> float:
    """Best CPU time of a call [ms]."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return 1e3 * min(found)


def rows(atoms: Atoms) -> np.ndarray:
    """The same histogram row by row in numpy, shared between two bins."""
    counted = np.zeros(2002)
    for i in range(len(atoms) - 1):
        d = np.linalg.norm(atoms.positions[i + 1 :] - atoms.positions[i], axis=1)
        place = d[d < 20.0] / 0.01
        k = place.astype(int)
        counted += np.bincount(k, 1 - place + k, 2002) + np.bincount(k + 1, place - k, 2002)
    return counted


def moved(atoms: Atoms) -> float:
    """Best CPU time of moving one atom [µs]."""
    counted = pairs.histogram(atoms, 60.0)
    kinds, table = pairs.kinds_of(atoms)[1], pairs.rows(1)
    to = atoms.positions[5] + 0.1
    return 1e3 * cpu(lambda: pairs.shift(counted, atoms.positions, kinds, 5, to, table), 30)


def main() -> None:
    """Print a table."""
    model = Pdf(axes=(Axis("r", "Å", 0.05, 1.5),), shape=(371,), qmax=20.0)
    for count, times in ((100, 30), (1000, 10), (10000, 2)):
        atoms = ball(count)
        model(atoms)

        def whole(atoms: Atoms = atoms) -> None:
            _counted.clear()
            model(atoms)

        line = f"{count} atoms: G(r) {cpu(whole, times):.2f} ms, "
        line += f"again with other nuisances {cpu(lambda a=atoms: model(a), times):.2f} ms, "
        line += f"pairs to 20 Å {cpu(lambda a=atoms: pairs.histogram(a, 20.0), times):.2f} ms"
        if count == 1000:
            line += f", row by row {cpu(lambda a=atoms: rows(a), 3):.1f} ms"
            line += f", one atom moved {moved(atoms):.0f} µs"
        print(line)


if __name__ == "__main__":
    main()
