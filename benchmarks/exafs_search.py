"""Planted clusters of 13 to 55 atoms found by energy plus EXAFS, ten seeds; energy or fit alone.

``python benchmarks/exafs_search.py [--unseen] [--vibrating] [--keep FOLDER] [SEED ...]``: copper in
EMT minima, another of ten clusters for each seed, mostly not the lowest; unseen: of copper or
nickel, motif, number of atoms and shape drawn by the seed, the best held of ten cuts around random
points. Its chi(k) is made by all of FEFF's paths with potentials of each neighborhood, motion by
the correlated Debye model, or that of each path in EMT's harmonic vibrations, 80 K, 10 % of noise
in k^2 chi, S0^2 0.9 and e0 3 eV. A campaign searches by tables with phase shifts of the bulk, and a
second one asks its first 24 by all paths with potentials of their own. Ranked by likelihoods: the
floor of all paths is the noise that reaches R of 1.5 to 4.5 of 31 A, that of tables has their error
in it. The truth is known by its energy and its distances.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import vibrations
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import (
    Decahedron,
    FaceCenteredCubic,
    HexagonalClosedPacked,
    Icosahedron,
    Octahedron,
)
from ase.io import read, write
from scipy.spatial.distance import pdist

import htinvert as ht
from htinvert.core import Objective
from htinvert.forward.exafs.model import Exafs

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
KELVIN = 80.0
NEAR = 0.02, 0.01  # eV, and Å rms of sorted distances, of one minimum relaxed twice
CAMPAIGN = """
name: exafs-{seed}
seed: {seed}
structure: {{use: box, size: 24.0}}
composition: {{{symbol}: [{count}, {count}]}}
energy: {{use: ase, name: emt, fmax: {fmax}}}
experiments:
  exafs:
    data: measured.chi
    forward: {{use: exafs, kmax: 14, rmin: 1.5, rmax: 4.5{tables}}}
    metrics: {{rw: }}
    free:
      e0: [-10, 10]
      zoom: [0.97, 1.03]
      sigma2.{symbol}1: [0.0005, 0.03]
      sigma2.*: [0.0005, 0.05]
      softening: [0, 10]
    refit: true
    method: least-squares
objectives: {{energy: likelihood, exafs: {{floor: {floor}}}}}
search: {{generators: [{generators}]}}
stop: {{evaluations: {evaluations}}}
workers: 0
"""
TIGHT = 0.001  # eV/Å: equal neighborhoods stay equal, for FEFF takes paths by their number
STAGES = {
    "tables": {
        "tables": ", reference: bulk.cif, scattering: tables",
        "fmax": 0.01,
        "floor": 0.04,
        "generators": "{use: motifs, most: 90, share: 3}, {use: genetic, share: 0.6}, "
        "{use: basin_hopping, share: 0.4}",
        "evaluations": 120,
    },
    "paths": {
        "tables": ", criterion: 1",
        "fmax": TIGHT,
        "floor": 0.03,
        "generators": "{use: store, run: FOLDER/tables, top: 24}",
        "evaluations": 24,
    },
}


def drawn(seed: int) -> Atoms:
    """A cluster that nobody chose: element, motif, number of atoms, the best held of ten cuts."""
    rng = np.random.default_rng([seed, 20])
    symbol, cell = [("Cu", 3.61), ("Ni", 3.52)][seed % 2]
    count, bond = int(rng.integers(15, 55)), cell / np.sqrt(2)
    sites = [
        lambda: bulk(symbol, "fcc", a=cell, cubic=True).repeat(6),
        lambda: bulk(symbol, "hcp", a=bond, c=bond * np.sqrt(8 / 3)).repeat((9, 9, 6)),
        lambda: Decahedron(symbol, 5, 7, 0, latticeconstant=cell),
        lambda: Icosahedron(symbol, 5, latticeconstant=cell),
    ][int(rng.integers(4))]()
    places = sites.positions - sites.positions.mean(axis=0)
    found = []
    for _ in range(10):
        off = places - rng.uniform(-0.5, 0.5, 3) * bond
        cut = places[np.argsort(np.linalg.norm(off, axis=1), kind="stable")[:count]]
        apart = np.linalg.norm(cut[:, None] - cut, axis=-1)
        found.append((-np.sum(apart < 1.2 * bond), len(found), cut))
    return Atoms(symbol * count, min(found)[2])


def plant(folder: Path, cluster: Atoms, seed: int, *, vibrating: bool) -> None:
    """Write the data, the reference, and the truth with its energy."""
    boxed = Atoms(cluster.symbols, cluster.positions, cell=[24.0] * 3)
    boxed.center()
    truth = ht.component("energy", use="ase", name="emt", fmax=TIGHT)(boxed)
    limits = {"kmin": 1.0, "kmax": 15.0, "compare": "k", "weight": 0, "rmax": 5.0, "criterion": 0.0}
    atoms = Atoms(truth.atoms.symbols, truth.atoms.positions)
    model = Exafs(**limits, theta=315.0, temperature=KELVIN, e0=3.0, s02=0.9)
    k = 1.0 + 0.05 * np.arange(281)
    if vibrating:
        chi = vibrations.signal(model, atoms, vibrations.covariance(atoms, EMT(), KELVIN), k)
    else:
        chi = model(atoms).data.astype(float)
    noise = (
        0.1 * np.sqrt(np.mean((k**2 * chi) ** 2)) * np.random.default_rng(seed).normal(size=k.size)
    )
    np.savetxt(folder / "measured.chi", np.transpose([k, chi + noise / k**2]), header="k chi")
    write(folder / "bulk.cif", bulk(str(cluster.symbols[0]), "fcc", cubic=True))
    truth.atoms.info["known"] = truth.energy
    write(folder / "truth.xyz", truth.atoms)


def search(seed: int, folder: Path, *, unseen: bool, vibrating: bool) -> str:
    """A line of the table."""
    cluster = drawn(seed) if unseen else PLANTED[(seed - 1) % len(PLANTED)]
    if not (folder / "truth.xyz").exists():
        plant(folder, cluster, seed, vibrating=vibrating)
    truth, words, begun = read(folder / "truth.xyz"), [], time.process_time()
    given = {"seed": seed, "count": len(cluster), "symbol": cluster.symbols[0]}
    for name, stage in STAGES.items():
        text = CAMPAIGN.format(**given, **stage).replace("FOLDER", str(folder))
        (folder / f"{name}.yaml").write_text(text)
        plan = ht.load(folder / f"{name}.yaml")
        words += told(ht.run(plan, folder / name), plan.objectives, truth)
    used = time.process_time() - begun
    return " | ".join([f"{seed:2d} {cluster.symbols}", *words, f"{used:.0f} s"])


def told(run: ht.Run, objectives: tuple[Objective, ...], truth: Atoms) -> list[str]:
    """When the truth is met, and what is first by the sum and by each of its parts alone."""
    table = run.table()
    table = table[table["ok"]]
    energy, rw = (table[f"objectives.{name}"].to_numpy(float) for name in ("energy", "exafs.rw"))
    known = np.sort(pdist(truth.positions))
    right = [
        abs(one - truth.info["known"]) < NEAR[0]
        and np.sqrt(np.mean((np.sort(pdist(run.atoms(int(index)).positions)) - known) ** 2))
        < NEAR[1]
        for index, one in zip(table["index"], energy, strict=True)
    ]
    by = {o.name: o for o in objectives}
    total = [
        by["energy"].worth(e) + by["exafs.rw"].worth(r) for e, r in zip(energy, rw, strict=True)
    ]
    words = [f"met {right.index(True) + 1:2d}" if any(right) else "not met"]
    for at in (int(np.argmin(cost)) for cost in (total, energy, rw)):
        above = energy[at] - truth.info["known"]
        words += [f"{'truth' if right[at] else 'other'} {above:+6.3f} {rw[at]:.4f}"]
    return words


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", nargs="*", type=int, default=list(range(1, 11)))
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--vibrating", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder of the runs, which are taken up again")
    given = parser.parse_args()
    columns = "met as | energy plus fit | energy alone | fit alone"
    print(f"seed, atoms | by tables: {columns} | by all paths: {columns} | CPU, without FEFF's")
    print("  (of each the verdict, energy above the truth's [eV], Rw)")
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as name:
            kept = given.keep.resolve() if given.keep else Path(name)
            kind = f"{'unseen' if given.unseen else 'seed'}{'-vibrating' * given.vibrating}"
            folder = kept / f"{kind}-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            how = {"unseen": given.unseen, "vibrating": given.vibrating}
            print(search(seed, folder, **how), flush=True)


if __name__ == "__main__":
    main()
