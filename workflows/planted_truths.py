"""Plant boundaries of five kinds: relax, image by multislice, write the campaign that finds it.

    python workflows/planted_truths.py runs/planted [--kinds vacancy_row ...] [--smoke]

Each folder holds truth.vasp (not for the search), start.vasp, experiment.tif and campaign.yaml.
About a minute per boundary on one core; the microscope is that of make_demo_experiment.py.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import yaml
from ase.io import write as write_atoms
from make_demo_experiment import Microscope, record, scan, write

from htinvert.testing.planted import KINDS, campaign, relaxed

SCOPE = Microscope(shape=(84, 100), thickness=6, phonons=3, step=0.45, potential=0.1)
REACH = 10.5  # Å above and below the boundary that is imaged


def main() -> None:
    """Make the experiments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--smoke", action="store_true", help="coarse and thin, within seconds")
    options = parser.parse_args()
    scope = replace(SCOPE, phonons=1, thickness=2, step=0.9) if options.smoke else SCOPE
    for kind in options.kinds:
        planted, folder, seed = KINDS[kind](), options.out / kind, 1 + list(KINDS).index(kind)
        folder.mkdir(parents=True, exist_ok=True)
        truth = relaxed(planted)
        span = {"lower": planted.middle - REACH, "upper": planted.middle + REACH}
        with dask.config.set(scheduler="synchronous"):
            signal = scan(truth, scope, **span, seed=seed)
        counts = record(signal, truth, scope, np.random.default_rng(seed))
        write(folder / "experiment.tif", counts, scope.sampling)
        write_atoms(folder / "truth.vasp", truth)
        write_atoms(folder / "start.vasp", planted.start(truth))
        text = yaml.safe_dump(campaign(kind, planted, scope.sampling), sort_keys=False)
        (folder / "campaign.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
