"""Time the search for common cells of two phases, and building a bicrystal against ASE's repeat.

python benchmarks/bicrystal.py     CPU seconds of one thread, median of 5 rounds
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from ase.build import bulk
from ase.spacegroup import crystal

from htinvert.structures.bicrystal import bicrystal
from htinvert.structures.coincidence import coincidences
from htinvert.structures.oriented import Grain

CDTE = bulk("CdTe", "zincblende", a=6.629)
SILICON = bulk("Si", "diamond", a=5.431)
NICKEL = bulk("Ni", "fcc", a=3.5058)
MO3B2 = crystal(
    ["Mo", "Mo", "B"],
    [(0, 0, 0), (0.172, 0.672, 0.5), (0.388, 0.888, 0)],
    spacegroup=127,
    cellpar=[6.0652, 6.0652, 3.1438, 90, 90, 90],
)
TO_80 = {"width": (0.0, 80.0), "depth": (0.0, 80.0)}
ROUNDS = 5


def seconds(work: Callable[[], object]) -> tuple[float, object]:
    """Median CPU time [s] and the last result."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time()
        result = work()
        taken.append(time.process_time() - start)
    return float(np.median(taken)), result


def main() -> None:
    """Print one line per case."""
    boride = Grain(MO3B2, (0, 0, -1), (1, 0, 0)), Grain(NICKEL, (0, 0, -1), (3, 1, 0))
    tilted = Grain(CDTE, (1, 1, 0), (-1, 1, 0), 8.0), Grain(SILICON, (1, 1, 0), (0, 0, 1), 3.0)
    twin = (
        Grain(CDTE, (1, 1, 0), (0, 0, 1), 54.73561),
        Grain(CDTE, (1, 1, 0), (0, 0, 1), 125.26439, flip=True),
    )
    for name, pair in (("Mo3B2 and Ni", boride), ("CdTe and Si, tilted", tilted)):
        for way in ("turn", "shear"):
            taken, _ = seconds(lambda p=pair, w=way: coincidences(*p, **TO_80, out_of_plane=w))
            print(f"common cells to 80 Å, {name}, {way}: {taken:.3f} s")
    for name, pair, limits in (
        ("CdTe twin", twin, {"width": (80.0, 100.0), "depth": (60.0, 80.0), "height": 190.0}),
        ("Mo3B2 on Ni", boride, {"width": (60.0, 80.0), "depth": (60.0, 80.0), "height": 70.0}),
    ):
        taken, atoms = seconds(lambda p=pair, k=limits: bicrystal(*p, **k))
        count = len(atoms)  # type: ignore[arg-type]
        reference, _ = seconds(lambda n=count: CDTE.repeat((10, 10, n // 200)))
        print(
            f"bicrystal, {name}, {count} atoms: {taken:.3f} s, "
            f"{taken / reference:.0f} times ASE's repeat of as many"
        )


if __name__ == "__main__":
    main()
