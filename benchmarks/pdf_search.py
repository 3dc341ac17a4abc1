"""38 Lennard-Jones atoms found by energy plus G(r), by genetic moves and basin hopping.

``python benchmarks/pdf_search.py [--seeds 5] [--evaluations 150]``: the truncated octahedron, whose
G(r) has 10 % of correlated noise; a search ends where its energy is met. One line per seed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.cluster import Octahedron

import htinvert as ht
from htinvert.core import Axis
from htinvert.energy.lennard_jones import LennardJones
from htinvert.forward.pdf.model import Pdf

LOWEST, WEIGHT = -173.928427, 40.0  # Wales et al., the Cambridge Cluster Database; eV per Rw
GENERATORS = "[{use: genetic, share: 0.5}, {use: basin_hopping, share: 0.5}]"
CAMPAIGN = """
name: lj38-{seed}
seed: {seed}
structure: {{use: box, size: 24.0}}
composition: {{Xe: [38, 38]}}
energy: {{use: lennard_jones, epsilon: 1.0, sigma: 2.5}}
experiments:
  pdf:
    data: xe.gr
    range: [1.5, 14]
    forward: {{use: pdf, qmin: 1.0, qmax: 20.0}}
    metrics: {{rw: }}
    free: {{u: [0.001, 0.05], zoom: [0.97, 1.03]}}
    refit: true
    method: least-squares
objectives: {{energy: 1.0, pdf.rw: {weight}}}
search: {{generators: {generators}}}
stop: {{evaluations: {evaluations}, target: {{energy: {target}}}}}
workers: 0
"""


def plant(folder: Path, seed: int) -> None:
    """Write the G(r) of the truncated octahedron at its minimum, noise over four points."""
    shape = Octahedron("Xe", 4, 1, latticeconstant=4.0)
    truth = LennardJones(epsilon=1.0, sigma=2.5)(Atoms(shape.symbols, shape.positions)).atoms
    model = Pdf(axes=(Axis("r", "Å", 0.05, 1.0),), shape=(300,), qmin=1.0, qmax=20.0, u=0.006)
    signal = model(truth)
    noise = np.random.default_rng(seed).normal(size=303)
    noise = np.convolve(noise, np.ones(4), "valid")
    g = signal.data + 0.1 * noise * np.linalg.norm(signal.data) / np.linalg.norm(noise)
    np.savetxt(folder / "xe.gr", np.transpose([signal.coordinates(), g]))


def search(seed: int, evaluations: int, weight: float) -> str:
    """Evaluations to the truth, or the best that was met instead."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plant(folder, seed)
        text = CAMPAIGN.format(
            seed=seed, weight=weight, generators=GENERATORS, evaluations=evaluations,
            target=LOWEST + 1e-3,
        )  # fmt: skip
        (folder / "lj.yaml").write_text(text)
        begun = time.process_time()
        table = ht.run(ht.load(folder / "lj.yaml"), folder / "run").table()
        seconds = time.process_time() - begun
    whole = len(table)
    table = table[table["ok"]]
    energy = table["energy"].to_numpy(float)
    rw = table["objectives.pdf.rw"].to_numpy(float)
    best = int(np.argmin(energy + weight * rw))
    found = "found" if energy.min() < LOWEST + 1e-3 else "not  "
    return f"{found} {whole:4d}  {energy[best]:9.3f} {rw[best]:.4f}  {seconds:3.0f} s"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--weight", type=float, default=WEIGHT)
    given = parser.parse_args()
    for seed in range(1, given.seeds + 1):
        print(f"{seed:2d}  {search(seed, given.evaluations, given.weight)}", flush=True)


if __name__ == "__main__":
    main()
