"""Which surface made an STM image? Relax slabs, compute their densities, compare in pairs.

python workflows/cu2o_stm.py configs/stm/cu2o_111.yaml -o runs/cu2o_stm

Killed and started again it goes on: relaxed slabs and densities are kept by what they were made
from. Prints fits, null model, floor and windows, then every slab's surface energy beside its figure
of merit.
"""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms
from ase.io import read, write

from htinvert import plugins
from htinvert.config.campaign import load_experiment
from htinvert.core import UserError
from htinvert.report.compare import compare_with_progress
from htinvert.report.terminal import terminal
from htinvert.structures.write import read_structure


def relaxed(name: str, atoms: Atoms, energy: dict[str, Any], kept: Path, folder: Path) -> Atoms:
    """A relaxed copy with its energy [eV] in ``info``, from ``kept`` where it is there."""
    made_of = (sorted(energy.items()), atoms.numbers.tolist(), atoms.positions.round(6).tolist())
    place = kept / f"{name}-{sha256(repr(made_of).encode()).hexdigest()[:12]}.xyz"
    if not place.exists():
        found = plugins.build("energy", energy, folder)(atoms)
        found.atoms.info = {
            "total_energy": found.energy,
            "steps": found.steps,
            "force": found.force,
        }
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(".partial")
        write(partial, found.atoms, format="extxyz")
        partial.replace(place)
        print(f"{name}: {found.energy:.3f} eV, {found.force:.2f} eV/Å after {found.steps} steps")
    return read(place)


def chemical_potentials(references: list[Atoms]) -> dict[str, float]:
    """Chemical potential [eV] of each element from as many bulk energies."""
    symbols = sorted({symbol for atoms in references for symbol in atoms.symbols})
    counts = [[list(atoms.symbols).count(symbol) for symbol in symbols] for atoms in references]
    energies = [atoms.info["total_energy"] for atoms in references]
    return dict(zip(symbols, np.linalg.solve(counts, energies), strict=True))


def surface_energy(slab: Atoms, potentials: dict[str, float]) -> float:
    """Energy of one of the two faces of a slab [eV/Å²]."""
    excess = slab.info["total_energy"] - sum(potentials[symbol] for symbol in slab.symbols)
    return float(excess / (2 * np.linalg.norm(np.cross(slab.cell[0], slab.cell[1]))))


def main() -> None:
    """Relax, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/cu2o_stm"))
    parser.add_argument("--smoke", action="store_true", help="two slabs, ten windows, as they are")
    given = parser.parse_args()
    folder, case = given.case.parent, yaml.safe_load(given.case.read_text(encoding="utf-8"))
    names = dict(list(case["slabs"].items())[: 2 if given.smoke else None])
    slabs = {name: read_structure(folder / path) for name, path in names.items()}
    place = folder / case["experiment"]
    experiment = load_experiment(place)  # says what is wrong before hours have gone
    kept = given.output / "relaxed"
    if not given.smoke:
        slabs = {n: relaxed(n, a, case["energy"], kept, folder) for n, a in slabs.items()}
    files = [given.output / "slabs" / f"{name}.xyz" for name in slabs]
    for path, slab in zip(files, slabs.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, slab, format="extxyz")
    found = compare_with_progress(
        files,
        experiment,
        folder=place.parent,
        output=given.output,
        size=case.get("window", 79),
        most=10 if given.smoke else case.get("windows", 13),
        console=terminal(),
    )
    if given.smoke:
        return
    bulk = [plugins.build("structure", block, folder) for block in case["references"]]
    bulk = [relaxed(f"bulk {n}", a, case["bulk_energy"], kept, folder) for n, a in enumerate(bulk)]
    potentials = chemical_potentials(bulk)
    for name, slab in sorted(slabs.items(), key=lambda s: float(np.nanmean(found.row(s[0])))):
        cost = float(np.nanmean(found.row(name)))
        print(f"{name}: cost {cost:.4f}, {surface_energy(slab, potentials):+.4f} eV/Å²")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
