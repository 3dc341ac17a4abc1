"""Time STM against one pass of numpy over the same density, side by side in one run.

python benchmarks/stm.py     CPU milliseconds of one thread, best of 9

A density of 160 x 160 x 260 points: reading it, a height map, one figure of merit.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

from htinvert.core import Signal
from htinvert.density.files import read_density
from htinvert.density.grid import Density, GivenDensity
from htinvert.density.stored import write_zarr
from htinvert.forward.stm import Stm
from htinvert.forward.stm_surface import constant_current, find_slab
from htinvert.metrics.registration import Registration

SHAPE = (160, 160, 260)
CELL = np.array([[12.0, 0, 0], [-6.0, 6.0 * np.sqrt(3), 0], [0, 0, 26.0]])


def milliseconds(work: Callable[[], object], repeats: int = 9) -> float:
    """Least CPU time [ms] of ``work`` after one call to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return 1e3 * min(taken)


def made_up() -> Density:
    """An exponential density over a relief, with a slab below."""
    i, j = (np.arange(n) / n for n in SHAPE[:2])
    relief = 0.3 * np.cos(2 * np.pi * i)[:, None] + 0.2 * np.cos(2 * np.pi * j)[None]
    z = np.arange(SHAPE[2]) * 26.0 / SHAPE[2] - 8.0
    values = np.minimum(np.exp(-2.2 * (z - relief[..., None])), 2e-3)
    atoms = Atoms("Rn", positions=[[0, 0, 8.0]], cell=CELL, pbc=True)
    return Density(values[None].astype(np.float32), atoms, (0.0, 1.0), "window", "made up")


def write_parchg(density: Density, path: Path) -> None:
    """As VASP writes it."""
    write(path, density.atoms, format="vasp", direct=True)
    values = density.values[0].ravel(order="F") * density.atoms.cell.volume
    with path.open("a") as file:
        file.write("\n" + " ".join(map(str, SHAPE)) + "\n")
        np.savetxt(file, values[: values.size // 10 * 10].reshape(-1, 10), fmt="%.5E")


def main() -> None:
    """Print one line per case, with the ratio to the pass."""
    density = made_up()
    grid, slab = density.values[0], find_slab(density.atoms)
    model = Stm(
        density=GivenDensity(density), isovalue=1e-5, sampling=0.29, shape=(79, 79), blur=2.0
    )
    noise = np.random.default_rng(0).normal(0, 0.05, (79, 79))
    observed = Signal.image(model(density.atoms).data + noise, 0.29)
    metric, turns = Registration(ssim="uint8-35"), count()

    def merit() -> object:
        turned = replace(model, rotation=0.01 * next(turns))
        return metric(turned(density.atoms), observed)

    with tempfile.TemporaryDirectory() as name:
        parchg, kept = Path(name) / "PARCHG", Path(name) / "kept.zarr"
        write_parchg(density, parchg)
        write_zarr(density, kept)
        limits = {"isovalue": 1e-5, "below": 4.0, "above": 50.0}
        cases: dict[str, Callable[[], object]] = {
            "one pass of numpy (roofline)": lambda: (grid >= 1e-5).sum(),
            "read PARCHG": lambda: read_density(parchg),
            "read Zarr": lambda: read_density(kept),
            "height map": lambda: constant_current(grid, slab, **limits),
            "figure of merit, 79 x 79 px": merit,
        }
        roofline = 0.0
        for label, work in cases.items():
            taken = milliseconds(work, 3 if label.startswith("read") else 9)
            roofline = roofline or taken
            print(f"{label:32s} {taken:9.2f} ms {taken / roofline:8.1f}", flush=True)


if __name__ == "__main__":
    main()
