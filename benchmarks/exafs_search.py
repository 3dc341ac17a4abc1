"""A planted cluster of 19 atoms found by energy plus EXAFS, seeds 1 to 10; energy or fit alone.

``python benchmarks/exafs_search.py``: the octahedron in its Lennard-Jones minimum, of copper, whose
energy prefers a double icosahedron. Its chi(k) is made by all of FEFF's paths with potentials of
each neighborhood, 10 % of noise in k^2 chi, S0^2 0.9 and e0 3 eV; candidates are compared by single
scattering with phase shifts of bulk copper.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Octahedron
from ase.io import write

import htinvert as ht
from htinvert.energy.lennard_jones import LennardJones
from htinvert.forward.exafs.model import Exafs

SIGMA, WEIGHT, EVALUATIONS = 2.27, 40.0, 160
NEAR = 0.01  # of an energy that is the planted one's
CAMPAIGN = """
name: exafs-{seed}
seed: {seed}
structure: {{use: box, size: 20.0}}
composition: {{Cu: [19, 19]}}
energy: {{use: lennard_jones, epsilon: 1.0, sigma: {sigma}}}
experiments:
  exafs:
    data: cu.chi
    forward: {{use: exafs, kmax: 14, rmin: 1.5, rmax: 4.5, reference: Cu.cif, scattering: single}}
    metrics: {{rw: }}
    free: {{e0: [-10, 10], zoom: [0.97, 1.03], sigma2: [0.001, 0.02]}}
    refit: true
    method: least-squares
objectives: {{energy: 1.0, exafs.rw: {weight}}}
search:
  generators:
    - {{use: genetic, share: 0.5}}
    - {{use: basin_hopping, share: 0.5}}
stop: {{evaluations: {evaluations}}}
workers: 0
"""


def plant(folder: Path, seed: int) -> float:
    """Write the data and the reference; returns the energy of the truth."""
    octahedron = Octahedron("Cu", 3)
    truth = LennardJones(epsilon=1.0, sigma=SIGMA)(Atoms("Cu19", positions=octahedron.positions))
    limits = {"kmin": 1.0, "kmax": 15.0, "compare": "k", "weight": 0, "rmax": 5.0}
    signal = Exafs(**limits, sigma2=0.004, e0=3.0, s02=0.9)(truth.atoms)
    k, chi = signal.coordinates(), signal.data.astype(float)
    noise = (
        0.1 * np.sqrt(np.mean((k**2 * chi) ** 2)) * np.random.default_rng(seed).normal(size=k.size)
    )
    np.savetxt(folder / "cu.chi", np.transpose([k, chi + noise / k**2]), header="k chi")
    write(folder / "Cu.cif", bulk("Cu", "fcc", a=3.61, cubic=True))
    return float(truth.energy)


def search(seed: int) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = plant(folder, seed)
        text = CAMPAIGN.format(seed=seed, sigma=SIGMA, weight=WEIGHT, evaluations=EVALUATIONS)
        (folder / "exafs.yaml").write_text(text)
        begun = time.process_time()
        table = ht.run(ht.load(folder / "exafs.yaml"), folder / "run").table()
        seconds = time.process_time() - begun
    table = table[table["ok"]]
    energy = table["energy"].to_numpy(float)
    rw = table["objectives.exafs.rw"].to_numpy(float)
    words = [f"{seed:2d}"]
    for cost in (energy + WEIGHT * rw, energy, rw):
        best = int(np.argmin(cost))
        found = "truth" if abs(energy[best] - truth) < NEAR else "other"
        words.append(f"{found} {energy[best]:8.3f} {rw[best]:.4f}")
    return " | ".join([*words, f"{seconds:.0f} s"])


def main() -> None:
    """Print a table."""
    print("seed | energy plus fit | energy alone | fit alone | CPU   (verdict, energy, Rw)")
    for seed in range(1, 11):
        print(search(seed), flush=True)


if __name__ == "__main__":
    main()
