"""Which absorption edges are usually measured, for who asks what would decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase import Atoms
from ase.data import atomic_numbers
from ase.io import write

from htinvert.declaration.measurement import Measurement

LIGHTEST = 22  # titanium: of lighter elements the edge is soft
HEAVIEST_K = 56  # beyond it the L3 edge is taken
KMIN, KMAX, RMIN, RMAX = 3.0, 12.0, 1.5, 5.0  # 1/Å and Å
NOISE = 0.1


def usual(model: Any, atoms: Atoms, folder: Path) -> list[Measurement]:
    """EXAFS at an edge of each element from titanium on, by the potentials of ``atoms``."""
    reference = folder / "reference.extxyz"
    write(reference, atoms)
    found = []
    for symbol in sorted(set(atoms.get_chemical_symbols()), key=atomic_numbers.__getitem__):
        number = atomic_numbers[symbol]
        if number < LIGHTEST:
            continue
        edge = "K" if number <= HEAVIEST_K else "L3"
        forward = model(
            absorber=symbol, edge=edge, kmin=KMIN, kmax=KMAX, rmin=RMIN, rmax=RMAX,
            scattering="single", reference=reference,
        )  # fmt: skip
        found.append(
            Measurement(
                f"EXAFS at the {symbol} {edge} edge",
                forward,
                "rw",
                "h",
                NOISE,
                said=f"noise {NOISE:.0%} of k² chi after 1 h, k to {KMAX:g} 1/Å, a convention",
                free={"e0": (-20.0, 20.0), "zoom": (0.95, 1.05), "sigma2": (0.0005, 0.03)},
                method="least-squares",
            )
        )
    return found
