"""How soon the demo's boundary is met: with the generator columns, with guided moves, with neither.

    python benchmarks/from_columns.py [--seeds 10] [--modes columns guided]

The image is a multislice with noise, the engine Stillinger-Weber; a structure within 0.3 Å rms of
the relaxed truth is a hit. Planted boundaries of other kinds: benchmarks/planted.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import htinvert as ht
from htinvert.campaign.loop import run
from htinvert.ranking.rank import distance
from htinvert.report import demo
from htinvert.store import RunStore

CLOSE = 0.3  # Å rms
OTHERS = [{"use": "genetic", "share": 0.3}, {"use": "basin_hopping", "share": 0.2}]
GUIDED = [{"use": "guided", "share": 0.5}, *OTHERS]
MODES = {
    "columns": ([{"use": "columns", "share": 1.0}, *GUIDED], 60),
    "guided": (GUIDED, 400),
    "neither": (OTHERS, 2000),
}
"""Generators, and evaluations after which it is given up."""


def first_hit(folder: Path, mode: str, seed: int) -> float:
    """The evaluation that first met the truth; infinite where none did."""
    generators, most = MODES[mode]
    plan = ht.load(
        demo.CAMPAIGN,
        seed=seed,
        workers=0,
        search={"generators": generators},
        stop={"evaluations": most, "minutes": 60},
    )
    run(plan, folder)
    truth = demo.truth(plan.space.region)
    with RunStore.open(folder) as store:
        for number, evaluation in enumerate(store.evaluations(), 1):
            if evaluation.ok and distance(evaluation.atoms, truth) < CLOSE:
                return number
    return np.inf


def main() -> None:
    """Print the first hits of every mode."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=list(MODES))
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_from_columns"))
    options = parser.parse_args()
    for mode in options.modes:
        hits = [
            first_hit(options.out / mode / str(seed), mode, seed)
            for seed in range(1, options.seeds + 1)
        ]
        met = sum(np.isfinite(hits))
        middle = np.sort(hits)[(len(hits) - 1) // 2]
        print(f"{mode:10s}{met}/{len(hits)} met, median {middle:g}: {hits}", flush=True)


if __name__ == "__main__":
    main()
