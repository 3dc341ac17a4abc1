"""Columns of an image by abTEM's multislice: places against the bound of Cramér and Rao.

python benchmarks/columns_multislice.py     some three minutes

SrTiO3 along [001] with barium in 40 % of the strontium columns, each column a little off its site.
The bound is that of a column of which all is known but its place; the least rate of wrong species
is that of the likelihoods of two images, one with the other species in a column.
"""

from __future__ import annotations

import abtem
import numpy as np
from ase import Atoms
from scipy.ndimage import gaussian_filter

from htinvert.core import Signal
from htinvert.statistics.columns import measure_columns
from htinvert.statistics.occupancy import occupancy

CELL, CELLS, THICK = 3.905, 4, 4  # Å; along x and y; along the beam
SIDE, REACH = 62, 10  # pixels along the image, and to either side of a column that is changed
GRID = CELL / 78  # Å of the potential, whose atoms stand on it: between its points they are dimmer
SOURCE, NEAR = 0.8, 5  # Å, full width; px, of a column's own
TILES, DRAWS = 8, 8  # periods of the cell in an image, along each side; of noise
abtem.config.set({"device": "cpu", "dask.lazy": False, "local_diagnostics.progress_bar": False})


def crystal(rng: np.random.Generator) -> tuple[Atoms, np.ndarray, np.ndarray]:
    """Atoms, the column of each, kinds of the columns: 0 for A, 1 for Ti-O, 2 for O."""
    sites = [("A", 0.0, 0.0, 0.0), ("Ti", 0.5, 0.5, 0.5), ("O", 0.5, 0.5, 0.0),
             ("O", 0.5, 0.0, 0.5), ("O", 0.0, 0.5, 0.5)]  # fmt: skip
    columns: dict[tuple[float, float], int] = {}
    symbols, places, owner = [], [], []
    for i, j in np.ndindex(CELLS, CELLS):
        species = "Ba" if rng.random() < 0.4 else "Sr"
        for k in range(THICK):
            for symbol, x, y, z in sites:
                symbols.append(species if symbol == "A" else symbol)
                places.append((i + x + 0.25, j + y + 0.25, k + z + 0.2))
                owner.append(columns.setdefault((i + x, j + y), len(columns)))
    kinds = np.array([0 if x % 1 == y % 1 == 0 else 1 if x % 1 == y % 1 else 2 for x, y in columns])
    box = np.array([CELLS * CELL, CELLS * CELL, THICK * CELL])
    atoms = Atoms(symbols, np.array(places) * CELL, cell=box, pbc=True)
    off = np.rint(rng.normal(0, 0.05 / GRID, (len(columns), 2)))
    atoms.positions[:, :2] += GRID * off[owner]
    return atoms, np.array(owner), kinds


def scanned(atoms: Atoms, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Share of the electrons on the detector, (y, x), of pixels low to high, each (x, y)."""
    potential = abtem.Potential(atoms, sampling=GRID, slice_thickness=CELL / 2).build()
    probe = abtem.Probe(energy=200e3, semiangle_cutoff=22.0)
    probe.grid.match(potential)
    step = CELLS * CELL / SIDE
    detector, rows = abtem.AnnularDetector(inner=60.0, outer=145.0), []
    for y in range(low[1], high[1]):  # a row at a time: all probes would need some gigabytes
        start, end = (low[0] * step, y * step), (high[0] * step, (y + 1) * step)
        scan = abtem.GridScan(start, end, gpts=(high[0] - low[0], 1), endpoint=False)
        rows.append(np.asarray(probe.scan(potential, scan=scan, detectors=detector).array)[:, 0])
    return np.array(rows, dtype=float)


def blurred(sharp: np.ndarray) -> np.ndarray:
    """An image of the whole periodic cell with a source of finite size."""
    return gaussian_filter(sharp, SOURCE / (CELLS * CELL / SIDE) / 2.3548, mode="wrap")


def changed(sharp: np.ndarray, atoms: Atoms, place: np.ndarray) -> np.ndarray:
    """The image where only the column near a place (y, x) [px] differs."""
    low = np.clip(np.rint(place[::-1]).astype(int) - REACH, 0, SIDE - 2 * REACH)
    part = sharp.copy()
    rows, columns = (slice(edge, edge + 2 * REACH) for edge in low[::-1])
    part[rows, columns] = scanned(atoms, low, low + 2 * REACH)
    return blurred(part)


def bound(clean: np.ndarray, places: np.ndarray, step: float) -> float:
    """Rms over columns at 1 electron/Å² [pm]: a column's image moves as its surroundings' slope."""
    slope = step**2 * (np.gradient(clean, step, axis=1) ** 2 / clean)
    y, x = np.indices(clean.shape)
    told = []
    for row, column in places:
        down, right = (y - row + SIDE / 2) % SIDE, (x - column + SIDE / 2) % SIDE
        told.append(slope[np.hypot(down - SIDE / 2, right - SIDE / 2) < NEAR].sum())
    return 100 * float(np.sqrt(np.mean(1 / np.array(told))))


def main() -> None:
    """Print a row per dose."""
    rng = np.random.default_rng(1)
    atoms, owner, kinds = crystal(rng)
    sharp = scanned(atoms, np.zeros(2, dtype=int), np.full(2, SIDE))
    clean, step = blurred(sharp), CELLS * CELL / SIDE
    names = np.array([atoms.symbols[owner == c][0] for c in range(len(kinds))])
    shown = np.array([atoms.positions[owner == c].mean(axis=0)[1::-1] for c in range(len(kinds))])
    other = {}
    for name, exchanged in (("Sr", "Ba"), ("Ba", "Sr")):
        inner = ((shown > REACH * step) & (shown < (SIDE - REACH) * step)).all(axis=1)
        column = int(np.flatnonzero(inner & (names == name))[0])
        atoms_then = atoms.copy()
        atoms_then.symbols[owner == column] = exchanged
        other[name] = changed(sharp, atoms_then, shown[column] / step)
    least = [bound(clean, shown[kinds == k] / step, step) for k in (0, 1)]
    barium = float(np.mean(names[kinds == 0] == "Ba"))
    print(f"brightest pixel {clean.max():.4f}, darkest {clean.min():.4f} of the electrons")
    print("| electrons/Å² | Sr, Ba: rms [pm] | over the bound | Ti-O: rms [pm] | over the bound "
          "| wrong at best | wrong |\n|--:|--:|--:|--:|--:|--:|--:|")  # fmt: skip
    tiled, kind = np.tile(clean, (TILES, TILES)), np.tile(kinds, TILES**2)
    places = np.concatenate(
        [shown / step + [i * SIDE, j * SIDE] for i, j in np.ndindex(TILES, TILES)]
    )
    bright = np.tile(names[kinds == 0] == "Ba", TILES**2)
    for dose in (3e2, 1e3, 1e4, 1e5):
        squares, wrong, mine = [], [], kind == 0
        for _ in range(DRAWS):
            counts = Signal.image(rng.poisson(tiled * dose * step**2).astype(float), step)
            start = places + rng.normal(0, 0.8, places.shape)
            found = measure_columns(counts, start, kinds=kind, names=("A", "TiO", "O"))
            off = (100 * step * (found.places - places)) ** 2
            squares.append([off[kind == 0].mean(), off[kind == 1].mean()])
            seen = (found.intensity[mine], found.intensity_error[mine], found.places[mine])
            told = occupancy(*seen, {"Sr": 38**1.7, "Ba": 56**1.7}, field=False)
            wrong.append(((told.likeliest == 1) != bright).mean())
        rms = np.sqrt(np.mean(squares, axis=0))
        over = rms / np.array(least) * np.sqrt(dose)
        print(f"| {dose:.0e} | {rms[0]:.2f} | {over[0]:.2f} | {rms[1]:.2f} "
              f"| {over[1]:.2f} | {100 * least_wrong(clean, other, barium, dose):.2f} % "
              f"| {100 * np.mean(wrong):.2f} % |", flush=True)  # fmt: skip


def least_wrong(clean: np.ndarray, other: dict, barium: float, dose: float) -> float:
    """Wrong species at best, by the likelihoods of both images at 40 000 draws of each."""
    rng, unit, wrong = np.random.default_rng(2), dose * (CELLS * CELL / SIDE) ** 2, 0.0
    for name, share in (("Sr", 1 - barium), ("Ba", barium)):
        seen = np.abs(other[name] - clean) > 1e-4 * clean
        was, then = unit * clean[seen], unit * other[name][seen]
        for _ in range(10):
            gain = rng.poisson(was, (4000, len(was))) @ np.log(was / then) - (was - then).sum()
            wrong += 0.1 * share * float((gain + np.log(share / (1 - share)) < 0).mean())
    return wrong


if __name__ == "__main__":
    main()
