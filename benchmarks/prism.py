"""Whether PRISM would pay for the demo's kind of cell: time and likeness against multislice.

python benchmarks/prism.py     CPU seconds of one thread, a few minutes

Ophus, Adv. Struct. Chem. Imaging 3, 13 (2017), as abTEM does it; CdTe [110], 60 Å thick, in a cell
of 18 x 19 Å as for one tile, one probe per Nyquist step over 8 x 8 Å.
"""

from __future__ import annotations

import time

import abtem
import dask
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

A = 6.482  # Å
BATCH = 16


def crystal() -> Atoms:
    """CdTe along [110], which is z, with one configuration of thermal motion."""
    width = A / np.sqrt(2)
    positions = [
        *([0, 0, 0], [0, A / 4, width / 2]),
        *([width / 2, A / 2, width / 2], [width / 2, 3 * A / 4, 0]),
    ]
    unit = Atoms("CdTeCdTe", positions=positions, cell=[width, A, width], pbc=True)
    atoms = unit.repeat((4, 3, 13))
    atoms.rattle(0.09, seed=1)
    atoms.wrap()
    return atoms


def main() -> None:
    """Print time and correlation for multislice and two factors of interpolation."""
    potential = abtem.Potential(crystal(), sampling=0.067, slice_thickness=A / np.sqrt(2))
    potential = potential.build(lazy=False)
    scan = abtem.GridScan((0, 0), (8, 8), sampling=0.25)
    detector = abtem.AnnularDetector(60, 100)
    microscope = {"energy": 200e3, "semiangle_cutoff": 25}
    exact: NDArray[np.float32] | None = None
    for factor in (0, 1, 2):
        start = time.process_time()
        if factor == 0:
            probe = abtem.Probe(**microscope)
            probe.grid.match(potential)
            measured = probe.scan(potential, scan=scan, detectors=detector, max_batch=BATCH)
        else:
            waves = abtem.SMatrix(potential=potential, interpolation=factor, **microscope)
            measured = waves.scan(scan=scan, detectors=detector)
        image = measured.compute(progress_bar=False).array
        spent = time.process_time() - start
        exact = image if exact is None else exact
        name = f"PRISM, interpolation {factor}" if factor else f"multislice, {image.size} probes"
        likeness = np.corrcoef(image.ravel(), exact.ravel())[0, 1]
        print(f"{name:28s} {spent:6.1f} s, correlation {likeness:.4f}", flush=True)


if __name__ == "__main__":
    with dask.config.set(scheduler="synchronous"):
        main()
