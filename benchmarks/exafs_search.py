"""Planted clusters of 13 to 55 atoms found by energy plus EXAFS, ten seeds; energy or fit alone.

``python benchmarks/exafs_search.py [SEED ...]``: copper in EMT minima, another of ten clusters
for each seed, mostly not the lowest. Its chi(k) is made by all of FEFF's paths with potentials of
each neighborhood, motion by the correlated Debye model, 10 % of noise in k^2 chi, S0^2 0.9 and e0 3
eV; candidates are compared by tables with phase shifts of bulk copper and sigma2 of the first shell
and of all else. 0.01 of Rw counts as 1 eV.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from ase import Atoms
from ase.build import bulk
from ase.cluster import (
    Decahedron,
    FaceCenteredCubic,
    HexagonalClosedPacked,
    Icosahedron,
    Octahedron,
)
from ase.io import write

import htinvert as ht
from htinvert.forward.exafs.model import Exafs

WEIGHT, EVALUATIONS = 100.0, 30
PLANTED = (
    Octahedron("Cu", 3),
    Octahedron("Cu", 4, 1),
    Octahedron("Cu", 5, 2),
    Decahedron("Cu", 2, 4, 0),
    HexagonalClosedPacked("Cu", [(0, 0, 0, 1), (1, 0, -1, 0)], [2, 3], (2.55, 4.16)),
    Icosahedron("Cu", 2),
    Icosahedron("Cu", 3),
    FaceCenteredCubic("Cu", [(1, 0, 0), (1, 1, 0)], [2, 3]),
    Octahedron("Cu", 4),
    Decahedron("Cu", 3, 2, 0),
)
NEAR = 0.02  # eV, of one minimum relaxed twice
CAMPAIGN = """
name: exafs-{seed}
seed: {seed}
structure: {{use: box, size: 24.0}}
composition: {{Cu: [{count}, {count}]}}
energy: {{use: ase, name: emt, fmax: 0.01}}
experiments:
  exafs:
    data: cu.chi
    forward: {{use: exafs, kmax: 14, rmin: 1.5, rmax: 4.5, reference: Cu.cif, scattering: tables}}
    metrics: {{rw: }}
    free:
      {{e0: [-10, 10], zoom: [0.97, 1.03], sigma2.Cu1: [0.0005, 0.03], sigma2.*: [0.0005, 0.05]}}
    refit: true
    method: least-squares
objectives: {{energy: 1.0, exafs.rw: {weight}}}
stop: {{evaluations: {evaluations}}}
workers: 0
"""


def plant(folder: Path, seed: int) -> tuple[float, int]:
    """Write the data and the reference; returns the energy of the truth and its atoms' number."""
    cluster = PLANTED[(seed - 1) % len(PLANTED)]
    boxed = Atoms(cluster.symbols, cluster.positions, cell=[24.0] * 3)
    boxed.center()
    truth = ht.component("energy", use="ase", name="emt", fmax=0.01)(boxed)
    limits = {"kmin": 1.0, "kmax": 15.0, "compare": "k", "weight": 0, "rmax": 5.0}
    signal = Exafs(**limits, theta=315.0, temperature=80.0, e0=3.0, s02=0.9)(
        Atoms(truth.atoms.symbols, truth.atoms.positions)
    )
    k, chi = signal.coordinates(), signal.data.astype(float)
    noise = (
        0.1 * np.sqrt(np.mean((k**2 * chi) ** 2)) * np.random.default_rng(seed).normal(size=k.size)
    )
    np.savetxt(folder / "cu.chi", np.transpose([k, chi + noise / k**2]), header="k chi")
    write(folder / "Cu.cif", bulk("Cu", "fcc", a=3.61, cubic=True))
    return float(truth.energy), len(cluster)


def search(seed: int) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth, count = plant(folder, seed)
        text = CAMPAIGN.format(seed=seed, count=count, weight=WEIGHT, evaluations=EVALUATIONS)
        (folder / "run.yaml").write_text(text)
        begun = time.process_time()
        table = ht.run(ht.load(folder / "run.yaml"), folder / "run").table()
        words = [f"{seed:2d} {count}", *told(table[table["ok"]], truth)]
        return " | ".join([*words, f"{time.process_time() - begun:.0f} s"])


def told(table: pd.DataFrame, truth: float) -> list[str]:
    """What ends first: by the sum, and by each of its parts alone."""
    energy = table["energy"].to_numpy(float)
    rw = table["objectives.exafs.rw"].to_numpy(float)
    met = np.flatnonzero(np.abs(energy - truth) < NEAR)
    words = [f"met {met[0] + 1 if len(met) else 0:2d} {rw[met].min() if len(met) else np.nan:.4f}"]
    for cost in (energy + WEIGHT * rw, energy, rw):
        best = int(np.argmin(cost))
        found = "truth" if abs(energy[best] - truth) < NEAR else "other"
        words.append(f"{found} {energy[best] - truth:+6.3f} {rw[best]:.4f}")
    return words


def main() -> None:
    """Print a table."""
    print(
        "seed, atoms | met as, Rw | energy plus fit | energy alone | fit alone | CPU   "
        "(verdict, energy above the truth's, Rw)"
    )
    for seed in map(int, sys.argv[1:] or range(1, 11)):
        print(search(seed), flush=True)


if __name__ == "__main__":
    main()
