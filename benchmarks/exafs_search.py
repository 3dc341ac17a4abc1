"""Planted clusters of 13 to 55 atoms found by energy plus EXAFS, ten seeds; energy or fit alone.

``python benchmarks/exafs_search.py [--unseen] [--paths] [--keep FOLDER] [SEED ...]``: copper in EMT
minima, another of ten clusters for each seed, mostly not the lowest; unseen: of copper or nickel,
motif, number of atoms and shape drawn by the seed, the best held of ten cuts around random points.
Its chi(k) is made by all of FEFF's paths with potentials of each neighborhood, motion by the
correlated Debye model, 10 % of noise in k^2 chi, S0^2 0.9 and e0 3 eV; candidates are compared by
tables with phase shifts of the bulk and sigma2 of the first shell and of all else. Ranked by
likelihoods, whose floor is the noise that reaches R of 1.5 to 4.5 of 31 A. Paths: the first six
once more, by all paths with potentials of their own; of a run that is kept without another search.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

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
from ase.io import read, write

import htinvert as ht
from htinvert.campaign.plan import Plan
from htinvert.core import Objective
from htinvert.evaluation.fit import fit
from htinvert.forward.exafs.model import Exafs

FLOOR, EVALUATIONS, SHORT = 0.03, 30, 6
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
composition: {{{symbol}: [{count}, {count}]}}
energy: {{use: ase, name: emt, fmax: 0.01}}
experiments:
  exafs:
    data: measured.chi
    forward: {{use: exafs, kmax: 14, rmin: 1.5, rmax: 4.5{scattering}}}
    metrics: {{rw: }}
    free:
      e0: [-10, 10]
      zoom: [0.97, 1.03]
      sigma2.{symbol}1: [0.0005, 0.03]
      sigma2.*: [0.0005, 0.05]
    refit: true
    method: least-squares
objectives: {{energy: likelihood, exafs: {{floor: {floor}}}}}
stop: {{evaluations: {evaluations}}}
workers: 0
"""


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


def plant(folder: Path, cluster: Atoms, seed: int) -> None:
    """Write the data, the reference, and the truth with its energy."""
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
    np.savetxt(folder / "measured.chi", np.transpose([k, chi + noise / k**2]), header="k chi")
    write(folder / "bulk.cif", bulk(str(cluster.symbols[0]), "fcc", cubic=True))
    truth.atoms.info["known"] = truth.energy
    write(folder / "truth.xyz", truth.atoms)


def search(seed: int, folder: Path, *, unseen: bool, paths: bool) -> str:
    """A line of the table."""
    cluster = drawn(seed) if unseen else PLANTED[(seed - 1) % len(PLANTED)]
    if not (folder / "truth.xyz").exists():
        plant(folder, cluster, seed)
    given = {"seed": seed, "count": len(cluster), "symbol": cluster.symbols[0]}
    plan = planned(folder, "tables", ", reference: bulk.cif, scattering: tables", given)
    begun = time.process_time()
    run = ht.run(plan, folder / "run")
    used = time.process_time() - begun
    truth = read(folder / "truth.xyz").info["known"]
    table = run.table()
    table = table[table["ok"]]
    words, order = told(table, truth, plan.objectives)
    if paths:
        words += [
            by_paths(run, table.iloc[order[:SHORT]], truth, planned(folder, "paths", "", given))
        ]
    return " | ".join([f"{seed:2d} {cluster.symbols}", *words, f"{used:.0f} s"])


def planned(folder: Path, name: str, scattering: str, given: dict[str, Any]) -> Plan:
    """The campaign by tables or by all paths."""
    text = CAMPAIGN.format(floor=FLOOR, evaluations=EVALUATIONS, scattering=scattering, **given)
    (folder / f"{name}.yaml").write_text(text)
    return ht.load(folder / f"{name}.yaml")


def by_paths(run: Any, rows: pd.DataFrame, truth: float, plan: Plan) -> str:
    """What of some rows is first by the sum with all of FEFF's paths."""
    found = []
    for index, energy in zip(rows["index"], rows["energy"], strict=True):
        channel = plan.recipe.channels[0]
        best = fit(channel, run.atoms(int(index)), start={}, max_evaluations=60)
        rw = best.scores["rw"].cost
        found.append((summed(plan.objectives, energy, rw), energy, rw))
    _, energy, rw = min(found)
    return verdict(energy - truth, rw)


def summed(objectives: tuple[Objective, ...], energy: float, rw: float) -> float:
    """The sum by which the campaign ranks."""
    values = {"energy": energy, "exafs.rw": rw}
    return float(sum(o.worth(values[o.name]) for o in objectives))


def told(
    table: pd.DataFrame, truth: float, objectives: tuple[Objective, ...]
) -> tuple[list[str], list[int]]:
    """What ends first, by the sum and by each of its parts alone; and rows, best first, unlike."""
    energy = table["energy"].to_numpy(float)
    rw = table["objectives.exafs.rw"].to_numpy(float)
    met = np.flatnonzero(np.abs(energy - truth) < NEAR)
    words = [f"met {met[0] + 1 if len(met) else 0:2d} {rw[met].min() if len(met) else np.nan:.4f}"]
    total = np.array([summed(objectives, e, r) for e, r in zip(energy, rw, strict=True)])
    first = [int(np.argmin(cost)) for cost in (total, energy, rw)]
    words += [verdict(energy[index] - truth, rw[index]) for index in first]
    order: list[int] = []
    for index in map(int, np.argsort(total, kind="stable")):
        if all(abs(energy[index] - energy[other]) > NEAR for other in order):
            order.append(index)
    return words, order


def verdict(above: float, rw: float) -> str:
    """Whether an energy above the truth's is that of the truth; with its misfit."""
    return f"{'truth' if abs(above) < NEAR else 'other'} {above:+6.3f} {rw:.4f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("seeds", nargs="*", type=int, default=list(range(1, 11)))
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--paths", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder of the runs, which are taken up again")
    given = parser.parse_args()
    print(
        "seed, atoms | met as, Rw | energy plus fit | energy alone | fit alone | all paths | CPU "
        "  (verdict, energy above the truth's, Rw)"
    )
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = (given.keep or Path(name)) / f"{'unseen' if given.unseen else 'seed'}-{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            print(search(seed, folder, unseen=given.unseen, paths=given.paths), flush=True)


if __name__ == "__main__":
    main()
