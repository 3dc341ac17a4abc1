"""Write a library of simple metal clusters: octahedra, cut and not, decahedra, icosahedra, spheres.

``python benchmarks/pdf_library.py Au FOLDER`` writes those of 60 to 250 atoms as xyz; then
``htinvert fit FOLDER DATA`` says which of them a measured G(r) shows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Decahedron, Icosahedron, Octahedron
from ase.io import write

FEWEST, MOST = 60, 250


def clusters(symbol: str) -> Iterator[tuple[str, Atoms]]:
    """Name and atoms of every cluster of the library."""
    for p, q, r in product(range(1, 6), range(1, 6), range(3)):
        yield f"decahedron-{p}-{q}-{r}", Decahedron(symbol, p, q, r)
    for length in range(4, 11):
        for cutoff in range((length + 1) // 2):
            yield f"octahedron-{length}-{cutoff}", Octahedron(symbol, length, cutoff)
    for shells in range(4, 6):
        yield f"icosahedron-{shells}", Icosahedron(symbol, shells)
    lattice = 4.08 if symbol == "Au" else None
    fcc = bulk(symbol, "fcc", a=lattice, cubic=True)
    nearest = fcc.cell.lengths()[0] / np.sqrt(2)
    hcp = bulk(symbol, "hcp", a=nearest, c=nearest * np.sqrt(8 / 3), orthorhombic=True)
    for crystal, cell in (("fcc", fcc), ("hcp", hcp)):
        for (name, center), radius in product(
            (("atom", (0, 0, 0)), ("hole", (0.5, 0, 0)), ("face", (0.25, 0.25, 0))),
            np.arange(6.5, 10.1, 0.25),
        ):
            block = cell * (12, 12, 12)
            block.positions -= cell.cell.array.sum(axis=0) * 6 + np.array(center) @ cell.cell.array
            inside = np.linalg.norm(block.positions, axis=1) < radius
            yield f"{crystal}-{name}-{radius:.1f}", block[inside]


def main() -> None:
    """Write one file per cluster; those of one count of atoms and family once."""
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    seen = set()
    for name, atoms in clusters(sys.argv[1]):
        atoms = Atoms(atoms.symbols, atoms.positions)
        spread = round(float(np.sqrt((atoms.positions**2).sum())), 2)
        key = (len(atoms), name.partition("-")[0], spread)
        if FEWEST <= len(atoms) <= MOST and key not in seen:
            seen.add(key)
            write(folder / f"{name}-{len(atoms)}.xyz", atoms)
    print(f"{len(seen)} clusters in {folder}")


if __name__ == "__main__":
    main()
