"""Scan bicrystals by multislice with frozen phonons: targets that another program than ours made.

python workflows/scan_bicrystals.py STRUCTURE... -o FOLDER    some CPU minutes for each
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import dask
import numpy as np
from ase import Atoms

from htinvert.structures.file import from_file

STEP = 0.4  # Å of the scan; the source size that is added later hides what lies beyond
POTENTIAL = 0.1  # Å
WINDOW = 12.0  # Å, the smallest period of a probe after interpolation in reciprocal space
THERMAL = 0.09  # Å, rms displacement per axis


def specimen(atoms: Atoms, *, thickness: float, mistilt: tuple[float, float]) -> Atoms:
    """A bicrystal with its beam along z, so thick [Å] and tilted off its zone axis [mrad]."""
    depth = atoms.cell[0, 0]
    repeated = atoms.repeat((max(1, round(thickness / depth)), 1, 1))
    across, up, beam = repeated.positions[:, [1, 2, 0]].T
    across = across + 1e-3 * mistilt[0] * beam
    up = up + 1e-3 * mistilt[1] * beam
    cell = [atoms.cell[1, 1], atoms.cell[2, 2], repeated.cell[0, 0]]
    made = Atoms(repeated.numbers, np.stack([across, up, beam], axis=1), cell=cell, pbc=True)
    made.wrap()
    return made


def scan(atoms: Atoms, *, phonons: int, seed: int) -> np.ndarray:
    """Annular dark field of one period, shape (up, across), row 0 at the bottom."""
    import abtem

    lengths = atoms.cell.lengths()
    frozen = abtem.FrozenPhonons(atoms, phonons, sigmas=THERMAL, seed=seed)
    potential = abtem.Potential(frozen, sampling=POTENTIAL, slice_thickness=4.6)
    every = tuple(max(1, int(length / WINDOW)) for length in lengths[:2])
    matrix = abtem.SMatrix(
        potential=potential, energy=200e3, semiangle_cutoff=22, interpolation=every
    )
    points = tuple(round(length / STEP) for length in lengths[:2])
    grid = abtem.GridScan((0, 0), tuple(lengths[:2]), gpts=points, endpoint=False)
    detector = abtem.AnnularDetector(inner=50, outer=82)
    measured = matrix.scan(scan=grid, detectors=detector)
    measured = measured.compute(progress_bar=False)
    array = measured.array
    return np.asarray(array.mean(axis=0) if array.ndim == 3 else array, dtype=np.float32).T


def main() -> None:
    """Scan each structure once, at a thickness and mistilt of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("structures", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("multislice"))
    parser.add_argument("--phonons", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="one repeat thick, one configuration")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    for number, path in enumerate(options.structures):
        rng = np.random.default_rng([options.seed, number])
        thickness, mistilt = rng.uniform(25, 70), rng.uniform(-6, 6, 2)
        if options.smoke:
            thickness, options.phonons = 1.0, 1
        atoms = specimen(from_file(path), thickness=thickness, mistilt=(mistilt[0], mistilt[1]))
        with dask.config.set(scheduler="synchronous"):
            image = scan(atoms, phonons=options.phonons, seed=options.seed + number)
        period = atoms.cell.lengths()[1::-1]
        np.savez(
            options.output / f"{path.stem}.npz",
            image=image, period=period, thickness=thickness, mistilt=mistilt,
        )  # fmt: skip
        print(f"{path.stem}: {thickness:.0f} Å, tilted by {mistilt.round(1)} mrad", flush=True)


if __name__ == "__main__":
    main()
