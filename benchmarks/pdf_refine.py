"""What a refinement on energy and fit does after relaxations by energy alone: a CdSe particle.

``python benchmarks/pdf_refine.py [CdSe.xyz CdSe.gr] [--seeds 3]``: the published model with every
atom put off by 0.25 Å per axis, relaxed by the energy, then refined by energy + weight x Rw. One
line per seed and weight: distance from the published model [Å rms], Rw, energy above the minimum.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from htinvert import plugins
from htinvert.core import Candidate, Channel, Objective, Recipe, Signal
from htinvert.evaluation.evaluate import evaluate
from htinvert.evaluation.refine import Refinement
from htinvert.forward.pdf.model import Pdf
from htinvert.metrics.rw import Rw
from htinvert.structures.file import from_file

sys.path.insert(0, str(Path(__file__).parent))
from pdf_thesis import DATA, ENGINE, OFF, PUBLISHED, distance, measured

WEIGHTS = (10.0, 40.0, 160.0)  # eV per unit of Rw


def recipe_of(engine: Any, observed: Signal, weight: float, steps: int) -> Recipe:
    """Energy and Rw, refined where there are steps."""
    model = Pdf(axes=observed.axes, shape=observed.data.shape, **PUBLISHED)
    channel = Channel("pdf", observed, model, {"rw": Rw()})
    objectives = (Objective("energy", 1.0), Objective("pdf.rw", weight))
    refine = Refinement(steps, 1.0, objectives) if steps else None
    return Recipe(engine, (channel,), refine=refine)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("structure", type=Path, nargs="?", default=DATA / "CdSe.xyz")
    parser.add_argument("data", type=Path, nargs="?", default=DATA / "CdSe.gr")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    if not given.data.is_file():
        print(f"no measured G(r) at {given.data}; give a structure and its data")
        return
    truth, fast = measured(given.structure, given.data)
    truth = from_file(given.structure)
    truth.center(vacuum=8.0)
    x = np.arange(1.5, 20.0, 0.1)
    observed = Signal.curve(x, fast.observed, name="r", unit="Å")
    engine = plugins.build("energy", dict(ENGINE), Path())
    print("seed weight  distance [Å]  Rw     energy [eV]  seconds")
    for seed in range(1, given.seeds + 1):
        rng = np.random.default_rng(seed)
        start = truth.copy()
        start.positions += rng.normal(0.0, OFF, start.positions.shape)
        lowest = 0.0
        for weight in (0.0, *WEIGHTS):
            begun = time.process_time()
            steps = given.steps if weight else 0
            found = evaluate(Candidate(0, start, "x"), recipe_of(engine, observed, weight, steps))
            assert found.ok, found.error
            energy = found.objectives["energy"]
            lowest = lowest if weight else energy
            print(
                f"{seed:4d} {weight:6.0f}  {distance(found.atoms, truth):.3f}         "
                f"{found.objectives['pdf.rw']:.4f} {energy - lowest:+.3f}       "
                f"{time.process_time() - begun:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
