"""Make the images of `htinvert example boundary` and `surface`, with what is wrong in real life.

    python workflows/make_example_images.py              # some three minutes on one core
    python workflows/make_example_images.py --scan x.npy # keep the multislice scan there, or use it

The boundary's is a multislice scan of the demo's planted structure (frozen phonons), its grains
continued by their own period, then turned, drifting, with jittering rows, counted, and saved with
a pixel size that is 2 % too large. The surface's shows three silver atoms on Cu(111) in a sum of
atomic densities, with a tilted plane, rows that jump and noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import tifffile
from ase import Atoms
from ase.build import fcc111
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.forward.stem_multislice import StemMultislice
from htinvert.forward.stm import Stm
from htinvert.forward.stm_atoms import AtomDensity
from htinvert.structures.file import from_file

DATA = Path(__file__).parents[1] / "htinvert" / "data"
PERIOD = 6.48 * np.sqrt(3.0)  # of CdTe along [111], Å
ROWS, COLUMNS = 56, 40  # pixels of a period up and across
LOW = 5.0  # Å: lower end of the scan of the demo's cell
SCANNED = 193  # rows
SAMPLING, HEADER = 0.21, 0.2142  # Å/px, true and as the header says
TURN = 17.0  # degrees counter-clockwise that the boundary is turned in the image
PEAK = 150.0  # counts of the brightest column
Floats = NDArray[np.float64]


def scan(truth: Atoms) -> Floats:
    """One period across and nearly the whole cell up, by multislice; rows go down the image."""
    step = (PERIOD / ROWS, truth.cell[1, 1] / COLUMNS)
    middle = (LOW + SCANNED * step[0] / 2, truth.cell[1, 1] / 2)
    model = StemMultislice(
        sampling=step,
        shape=(SCANNED, COLUMNS),
        center=middle,
        beam="x",
        up="z",
        semiangle=25.0,
        inner=60.0,
        outer=100.0,
        thickness=60.0,
        phonons=3,
        rms_displacement=0.12,
        scan_step=0.35,
        source_size=0.9,
    )
    return np.asarray(model(truth).data, float)


def micrograph(scanned: Floats, rng: np.random.Generator, size: int = 240) -> NDArray[np.uint16]:
    """The image of a wide boundary as it is recorded."""
    top, bottom = scanned[:ROWS], scanned[-ROWS:]
    column = np.concatenate([top] * 4 + [scanned] + [bottom] * 4)
    middle = (len(column) - 1) / 2
    v, u = np.mgrid[:size, :size].astype(float) - size / 2
    v = v * 1.006 + 0.01 * u + rng.normal(0.0, 0.15, (size, 1)) / 2  # the slow axis drifts
    u = u + 0.008 * v + rng.normal(0.0, 0.25, (size, 1))  # and rows jump
    angle = np.radians(TURN)
    across = SAMPLING * (np.cos(angle) * u - np.sin(angle) * v)
    down = SAMPLING * (np.sin(angle) * u + np.cos(angle) * v)
    step = (PERIOD / ROWS, 7.9363 / COLUMNS)
    places = [middle + 6 + down / step[0], (across / step[1]) % COLUMNS]
    wide = np.concatenate([column, column[:, :4]], axis=1)
    image = gaussian_filter(map_coordinates(wide, places, order=1, mode="nearest"), 0.3)
    image = np.clip((image - image.min()) / np.ptp(image), 0, None)
    return rng.poisson(PEAK * image + 12.0).astype(np.uint16)  # 12 counts of the dark


def surface(rng: np.random.Generator) -> tuple[Atoms, Atoms, NDArray[np.float32]]:
    """Cu(111) with one silver atom, that with three, and the scan of the latter [Å]."""
    clean = fcc111("Cu", (4, 4, 3), a=3.61, vacuum=8.0, orthogonal=True)
    clean = Atoms(clean.numbers, clean.positions, cell=clean.cell, pbc=True)
    planted = clean.copy()
    top = clean.positions[:, 2].max()
    first = clean.positions[np.argmax(clean.positions[:, 2] - 0.01 * clean.positions[:, :2].sum(1))]
    for x, y in ((2.55, 1.47), (5.10, 1.47), (3.83, 3.68)):
        planted += Atoms("Ag", [(first[0] + x, first[1] + y, top + 2.3)])
    planted.calc = EMT()
    BFGS(planted, logfile=None).run(fmax=0.02, steps=200)
    planted.calc = None
    clean += Atoms("Ag", [(first[0] + 5.10, first[1] + 1.47, top + 2.15)])
    model = Stm(density=AtomDensity(), sampling=0.25, shape=(56, 64), blur=0.8)
    heights = np.asarray(model(planted).data, float)
    v, u = np.mgrid[: heights.shape[0], : heights.shape[1]]
    heights += 0.004 * u + 0.006 * v  # a plane that is not level
    heights += rng.normal(0.0, 0.03, (len(heights), 1)) + rng.normal(0.0, 0.03, heights.shape)
    return clean, planted, heights.astype(np.float32)


def main() -> None:
    """Write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path)
    kept: Path | None = parser.parse_args().scan
    if kept is not None and kept.exists():
        scanned = np.asarray(np.load(kept), float)
    else:
        scanned = scan(from_file(DATA / "demo" / "truth.vasp"))
        if kept is not None:
            np.save(kept, scanned)
    pixels = micrograph(scanned, np.random.default_rng(1))
    tifffile.imwrite(
        DATA / "examples" / "boundary" / "micrograph.tif",
        pixels,
        imagej=True,
        resolution=(1 / HEADER, 1 / HEADER),
        metadata={"unit": "A", "Info": "made by workflows/make_example_images.py"},
    )
    folder = DATA / "examples" / "surface"
    start, planted, heights = surface(np.random.default_rng(2))
    write(folder / "start.xyz", start)
    write(folder / "answer.xyz", planted)
    np.savetxt(folder / "scan.txt", 10 * heights, fmt="%.1f", header="heights in 0.1 A")


if __name__ == "__main__":
    main()
