"""Scan a planted boundary before and after it changes, for series of frames with a known answer.

    python workflows/planted_series.py tests/physics/planted/series

A twin in CdTe loses a column of tellurium. Each folder of :data:`htinvert.testing.planted` has one
image; here the scans are kept before the source blurs them, so that any number of frames follows
(:mod:`htinvert.testing.planted_series`), each with its own drift, jitter and counts. Some two
minutes on one core; the microscope is that of make_demo_experiment.py.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
from ase.io import write as write_atoms
from make_demo_experiment import Microscope, scan

from htinvert.testing.planted import relaxed, stacked, vacancy_row

SCOPE = Microscope(thickness=6, phonons=3, step=0.45, potential=0.1)
REACH = 14.0  # Å above and below the boundary that is imaged


def main() -> None:
    """Make the scans and the structures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    lost = vacancy_row()
    states = {"before": replace(lost, truth=stacked("ABCABCACBACBA")), "after": lost}
    scans = {}
    for name, planted in states.items():
        truth = relaxed(planted)
        write_atoms(options.out / f"{name}.vasp", truth)
        span = {"lower": planted.middle - REACH, "upper": planted.middle + REACH}
        with dask.config.set(scheduler="synchronous"):
            scans[name] = scan(truth, SCOPE, **span, seed=1 if name == "before" else 11)
        if name == "before":
            write_atoms(options.out / "start.vasp", planted.start(truth))
    period = float(truth.cell[1, 1])
    np.savez_compressed(
        options.out / "scans.npz", **scans, steps=[SCOPE.step, period / scans["after"].shape[1]]
    )


if __name__ == "__main__":
    main()
