"""Which layer of a copper slab a gold atom sits in, by its L3 EXAFS, seeds 1 to 10.

``python benchmarks/exafs_site.py``: gold in the first, second or third layer of Cu(111), relaxed by
EMT. The data show the second layer, by all of FEFF's paths with potentials of their own, and noise
of 20 % in k^2 chi; the three are compared with phase shifts of gold inside of copper.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS

from htinvert.core import Channel, Signal
from htinvert.evaluation.fit import fit
from htinvert.evaluation.optimize import LEAST_SQUARES
from htinvert.forward.exafs.model import Exafs
from htinvert.metrics.rw import Rw

LAYERS = ("first", "second", "third")
LIMITS = {"absorber": "Au", "edge": "L3", "kmax": 12.0, "rmin": 1.5}
FREE = {"e0": (-10.0, 10.0), "zoom": (0.98, 1.02), "sigma2": (0.001, 0.02)}


def slab(layer: int) -> tuple[Atoms, float]:
    """A relaxed slab with gold in a layer, from the top, and its energy [eV]."""
    atoms = fcc111("Cu", (3, 3, 5), a=3.61, vacuum=8.0, periodic=True)
    heights = np.unique(np.round(atoms.positions[:, 2], 2))[::-1]
    there = np.flatnonzero(np.abs(atoms.positions[:, 2] - heights[layer]) < 0.1)
    atoms.symbols[there[0]] = "Au"
    atoms.calc = EMT()
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)
    return Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), float(
        atoms.get_potential_energy()
    )


def measured(truth: Atoms, seed: int) -> Signal:
    """chi(k) of the truth with noise."""
    own = Exafs(**LIMITS | {"kmin": 1.0, "kmax": 13.5}, weight=0, compare="k", e0=3.0, sigma2=0.005)
    signal = own(truth)
    k, chi = signal.coordinates(), signal.data.astype(float)
    rng, size = np.random.default_rng(seed), np.sqrt(np.mean((k**2 * chi) ** 2))
    return Signal.curve(k, chi + 0.2 * size * rng.normal(size=k.size) / k**2, name="k", unit="1/Å")


def main() -> None:
    """Print a table."""
    with tempfile.TemporaryDirectory() as name:
        reference = Path(name) / "reference.cif"
        inside = bulk("Cu", "fcc", a=3.61, cubic=True).repeat(3)
        inside.symbols[0] = "Au"
        write(reference, inside)
        slabs = [slab(layer) for layer in range(3)]
        lowest = min(energy for _, energy in slabs)
        print("energy [eV]: " + ", ".join(
            f"{name} {energy - lowest:.3f}" for name, (_, energy) in zip(LAYERS, slabs, strict=True)
        ))  # fmt: skip
        right = 0
        for seed in range(1, 11):
            model = Exafs(**LIMITS, reference=reference)
            forward, observed = model.reduced(measured(slabs[1][0], seed))
            channel = Channel("gold", observed, forward, {"rw": Rw()}, FREE, LEAST_SQUARES)
            costs = [
                fit(channel, atoms, start={}, max_evaluations=60).scores["rw"].cost
                for atoms, _ in slabs
            ]
            right += int(np.argmin(costs) == 1)
            print(seed, " ".join(f"{cost:.4f}" for cost in costs), flush=True)
        print(f"fit names the second layer in {right} of 10")


if __name__ == "__main__":
    main()
