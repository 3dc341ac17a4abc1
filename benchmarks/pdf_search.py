"""Clusters found from G(r) and energy, ten seeds each, beside energy alone and fit alone.

``python benchmarks/pdf_search.py lj38 cu55 metals c60 [--seeds 1 2] [--plain]``: G(r) by Debye's
sum written out here, noise of 10 % correlated over four points. A line per seed and way: does the
planted structure end first, after how many evaluations it was met, the best energy and Rw, CPU.
``--plain`` leaves cuts of motifs out of the search. ``metals`` plants another cluster each time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.cluster import Decahedron, FaceCenteredCubic, HexagonalClosedPacked, Icosahedron
from ase.cluster import Octahedron as Cut

import htinvert as ht

EMT, TERSOFF = "{use: ase, name: emt}", "{use: lammps, potential: SiC.tersoff}"
LJ = "{use: lennard_jones, epsilon: 1.0, sigma: 2.5}"
PLAIN = "search: {generators: [{use: genetic, share: 0.6}, {use: basin_hopping, share: 0.4}]}"
WAYS = {"both": "{energy: 1.0, pdf.rw: 40.0}", "energy": "{energy: 1.0}", "fit": "{pdf.rw: 1.0}"}
SAME = 0.02  # eV, of one minimum relaxed twice
CAMPAIGN = """
name: clusters
seed: {seed}
structure: {{use: box, size: {size}}}
composition: {{{symbol}: [{count}, {count}]}}
energy: {energy}
experiments:
  pdf:
    data: cluster.gr
    range: [1.2, {last}]
    forward: {{use: pdf, qmin: 1.0, qmax: 20.0}}
    metrics: {{rw: }}
    free: {{u: [0.001, 0.05], zoom: [0.97, 1.03]}}
    refit: true
    method: least-squares
objectives: {objectives}
{search}
stop: {{evaluations: {evaluations}{target}}}
workers: 0
"""


def metals(seed: int) -> Atoms:
    """Another metal, shape and number of atoms each time, of every second a corner missing."""
    hcp = {"layers": [2, 3], "latticeconstant": (2.77, 4.52)}
    whole = [
        Decahedron("Ag", 3, 3, 0),
        FaceCenteredCubic("Ni", [(1, 0, 0), (1, 1, 0)], [2, 3]),
        Icosahedron("Cu", 3),
        HexagonalClosedPacked("Pt", [(0, 0, 0, 1), (1, 0, -1, 0)], **hcp),
        Decahedron("Pd", 3, 2, 0),
        Cut("Au", 5, 2),
        Cut("Al", 4, 0),
        Decahedron("Ag", 2, 4, 0),
        FaceCenteredCubic("Cu", [(1, 0, 0)], [2]),
        Cut("Pt", 4, 1),
    ][(seed - 1) % 10]
    away = np.linalg.norm(whole.positions - whole.positions.mean(axis=0), axis=1)
    kept = np.argsort(away, kind="stable")[: len(whole) - seed % 2]
    return Atoms(whole.symbols[kept], whole.positions[kept])


CASES = {  # atoms by seed, energy, box [Å], end of r [Å], evaluations
    "lj38": (lambda seed: Cut("Xe", 4, 1, latticeconstant=4.0), LJ, 24.0, 14.0, 60),  # noqa: ARG005
    "cu55": (lambda seed: Icosahedron("Cu", 3), EMT, 26.0, 12.0, 60),  # noqa: ARG005
    "metals": (metals, EMT, 30.0, 14.0, 20),
    "c60": (lambda seed: molecule("C60"), TERSOFF, 22.0, 8.0, 200),  # noqa: ARG005
}


def plant(truth: Atoms, last: float, path: Path, seed: int) -> None:
    """Write the G(r) of a cluster of one element, u = 0.006 Å², noise over four points."""
    r, q = np.arange(1.0, last + 1.0, 0.05), np.arange(1.0, 20.0, 0.01)
    apart = truth.get_all_distances()[np.triu_indices(len(truth), 1)]
    f = 2 / len(truth) * (np.sin(np.outer(q, apart)) / apart).sum(axis=1) * np.exp(-0.006 * q**2)
    g = 2 / np.pi * 0.01 * np.sin(np.outer(r, q)) @ f
    noise = np.random.default_rng(seed).normal(size=len(r) + 3)
    noise = np.convolve(noise, np.ones(4), "valid")
    np.savetxt(path, np.transpose([r, g + 0.1 * noise * np.linalg.norm(g) / np.linalg.norm(noise)]))


def search(
    case: str, seed: int, *, plain: bool, ways: list[str], most: int | None
) -> Iterator[str]:
    """A line for each way of ranking; ``most`` evaluations where not the case's."""
    make, energy, size, last, usual = CASES[case]
    most = most or usual
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = ht.component("energy", **_block(energy))(_boxed(make(seed), size))
        plant(truth.atoms, last, folder / "cluster.gr", seed)
        for way in ways:
            target = (
                f", target: {{energy: {truth.energy + SAME}}}"
                if way != "fit" and case != "metals"
                else ""
            )
            text = CAMPAIGN.format(
                seed=seed, size=size, symbol=truth.atoms.symbols[0], count=len(truth.atoms),
                energy=energy, last=last, objectives=WAYS[way], evaluations=most, target=target,
                search=PLAIN if plain or way == "energy" else "",
            )  # fmt: skip
            (folder / "run.yaml").write_text(text)
            begun = time.process_time()
            table = ht.run(ht.load(folder / "run.yaml"), folder / way).table()
            good = table[table["ok"]]
            energies, rw = good["energy"].to_numpy(float), good["objectives.pdf.rw"].to_numpy(float)
            worth = {"both": energies + 40.0 * rw, "energy": energies, "fit": rw}[way]
            best, same = int(np.argmin(worth)), np.abs(energies - truth.energy) < SAME
            first = "truth" if same[best] else "other"
            met = f"met {int(np.argmax(same)) + 1:3d}" if same.any() else "       "
            yield (
                f"{case} {seed:2d} {truth.atoms.symbols} {way:6s} {first} {met} "
                f"of {len(table):3d}  {energies[best] - truth.energy:+8.3f} eV, Rw "
                f"{rw[best]:.3f}, {time.process_time() - begun:.0f} s"
            )


def _boxed(atoms: Atoms, size: float) -> Atoms:
    found = Atoms(atoms.symbols, atoms.positions, cell=[size] * 3)
    found.center()
    return found


def _block(energy: str) -> dict[str, object]:
    import yaml

    return dict(yaml.safe_load(energy))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--evaluations", type=int, help="of each search, at most")
    given = parser.parse_args()
    for case in given.cases:
        for seed in given.seeds:
            for line in search(
                case, seed, plain=given.plain, ways=given.ways, most=given.evaluations
            ):
                print(line, flush=True)


if __name__ == "__main__":
    main()
