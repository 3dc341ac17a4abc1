"""Whether planted boundaries of 26 to 28 free atoms come first by the defaults: Si, Cu and CdTe.

    python benchmarks/boundaries.py [--materials Si Cu CdTe] [--seeds 3] [--evaluations 60]

Truth: of 16 shifts of a bicrystal that of least energy, by another potential than the search has.
Image: multislice (abTEM), turned, counted, its header's pixel size 3 % wrong. The search begins
from the grains with nothing between them and the campaign that `htinvert init` writes for these.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.io import write
from scipy.ndimage import map_coordinates

import htinvert as ht
from htinvert.cli.questions import Given, answered
from htinvert.config import starter
from htinvert.energy.lammps import Lammps
from htinvert.forward.stem_multislice import StemMultislice
from htinvert.structures.bicrystal import bicrystal
from htinvert.structures.oriented import Grain
from htinvert.testing.planted import Planted, misplaced, space

CLOSE = 0.3  # Å rms in the image's plane, elements exact
PIXEL, ROWS, FIELD, COUNTS = 0.2, 250, 230, 150.0  # Å/px, of the scan, of the image, at its peak
SCOPE = {"semiangle": 25.0, "inner": 60.0, "outer": 100.0}  # mrad, as a user would answer
CASES = {  # crystal, zone axis, up, half of the tilt [degrees], region [Å], the truth's potential
    "Si": (bulk("Si", a=5.431), (1, 1, 0), (0, 0, 1), 19.471, 8.4, "Si.sw"),
    "Cu": (bulk("Cu", a=3.615), (0, 0, 1), (1, 0, 0), 11.310, 9.6, "Cu_zhou.eam.alloy"),
    "CdTe": (bulk("CdTe", "zincblende", a=6.48), (1, 1, 0), (0, 0, 1), 19.471, 10.2,
             "CdTeZnSeHgS0.sw"),
}  # fmt: skip


def plant(name: str) -> tuple[Planted, Atoms, np.ndarray]:
    """The boundary, as relaxed, and a scan of one period across and 50 Å up."""
    crystal, zone, up, half, height, potential = CASES[name]
    grains = Grain(crystal, zone, up, half), Grain(crystal, zone, up, -half)
    sizes = {"width": (8, 30), "depth": (2, 9), "height": 26.0, "vacuum": 16.0}
    x, y, _ = bicrystal(*grains, **sizes).cell.lengths()
    engine, found = Lammps(Path(potential), fmax=0.02, steps=1000), []
    whole = engine(make_supercell(crystal, 3 * np.eye(3))).energy / 27 / len(crystal)
    for u, v in product((0.0, 0.5), np.arange(8) / 8):
        atoms = bicrystal(*grains, **sizes, shift=(u * x, v * y))
        middle = atoms.info["bicrystal"]["boundaries"][0]
        region = {"axis": "z", "lower": middle - height / 2, "upper": middle + height / 2}
        held = atoms[np.abs(atoms.positions[:, 2] - middle) <= height / 2].symbols.formula.count()
        inside = {s: (n, n) for s, n in held.items()}
        planted = Planted(atoms, region | {"margin": 4.0}, inside, (potential, ""))
        done = engine(space(planted, atoms).template)
        found.append((done.energy - whole * len(atoms), len(found), planted, done.atoms))
    _, _, planted, truth = min(found)
    truth.set_constraint()
    columns, view = round(y / PIXEL), {"beam": "x", "up": "z", "center": (planted.middle, y / 2)}
    model = StemMultislice(
        **SCOPE, **view, sampling=(PIXEL, y / columns), shape=(ROWS, columns), thickness=40.0,
        phonons=2, rms_displacement=0.08, scan_step=0.5, source_size=0.9,
    )  # fmt: skip
    return planted, truth, np.asarray(model(truth).data, float)


def record(path: Path, scan: np.ndarray, width: float, rng: np.random.Generator) -> None:
    """Write the image as a microscope does."""
    angle, step = np.radians(rng.uniform(-4.0, 4.0)), (PIXEL, width / scan.shape[1])
    v, u = np.mgrid[:FIELD, :FIELD] - FIELD / 2 + rng.uniform(-5, 5, (2, 1, 1))
    right = PIXEL * (np.cos(angle) * u - np.sin(angle) * v)
    down = PIXEL * (np.sin(angle) * u + np.cos(angle) * v)
    places = [(ROWS - 1) / 2 + down / step[0], right / step[1]]
    image = np.clip(map_coordinates(scan, places, order=3, mode="grid-wrap"), 0.0, None)
    counts = rng.poisson(COUNTS * image / image.max()).astype(np.uint16)
    header = 2 * (1e8 / (1.03 * PIXEL),)
    tifffile.imwrite(path, counts, resolution=header, resolutionunit="CENTIMETER", metadata=None)


def search(
    folder: Path, known: tuple[Planted, Atoms], scan: np.ndarray, seed: int, most: int
) -> str:
    """The evaluation that first met the truth, and its rank."""
    folder.mkdir(parents=True)
    record(folder / "seen.tif", scan, known[1].cell[1, 1], np.random.default_rng(seed))
    write(folder / "grains.vasp", known[0].start(known[1]))
    files = str(folder / "grains.vasp"), str(folder / "seen.tif")
    answers = answered("boundary", Given(*files, *6 * [None], 60.0), asks=False)
    scope = starter.Microscope(**SCOPE, sampling=answers.microscope.sampling)
    answers = replace(answers, structure="grains.vasp", image="seen.tif", microscope=scope)
    (folder / "boundary.yaml").write_text(starter.campaign_text(answers, []))
    plan = ht.load(folder / "boundary.yaml", seed=seed, stop={"evaluations": most})
    done = ht.run(plan, folder / "run", workers=0)
    hit = [e.ok and misplaced(e.atoms, *known) < CLOSE for e in done.evaluations()]
    where = [r.rank for r in done.rank() if misplaced(r.evaluation.atoms, *known) < CLOSE]
    return f"met {hit.index(True) + 1}, rank {where[0]}" if where else "not met"


def main() -> None:
    """Print one line for each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--materials", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_boundaries"))
    options = parser.parse_args()
    for name in options.materials:
        *known, scan = plant(name)
        for seed in range(1, options.seeds + 1):
            begun, folder = time.process_time(), options.out / name / str(seed)
            said = search(folder, tuple(known), scan, seed, options.evaluations)
            print(f"{name:5s}{seed:3d}  {said}, {time.process_time() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
