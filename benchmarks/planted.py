"""How often planted boundaries are recovered: five kinds, imaged by multislice with noise.

    python benchmarks/planted.py [--seeds 5] [--evaluations 150] [--folder ...]

The images are those of the tests; workflows/planted_truths.py makes others, with other noise.
Recovered: rank 1 has the truth's elements in the region, and in the plane of the image its atoms
(of a grain that moves, the grain's) lie within 0.3 Å rms of the relaxed truth. The truth was
relaxed with another potential than the search has, and imaged by another model.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from ase.io import read
from scipy.stats import binomtest

from htinvert.campaign.loop import run
from htinvert.campaign.plan import make_plan
from htinvert.config.campaign import parse
from htinvert.config.yaml_file import read_yaml
from htinvert.ranking.rank import rank
from htinvert.store import RunStore
from htinvert.testing.planted import KINDS, misplaced

ROOT = Path(__file__).parents[1]
CLOSE = 0.3  # Å rms
GUIDED = {"use": "htinvert.generators.guided:Guided", "share": 0.6}
OTHERS = [{"use": "genetic", "share": 0.25, "random": 6}, {"use": "basin_hopping", "share": 0.15}]
COLUMNS = {"use": "columns", "share": 1.0}
MODES = {
    "default": None,  # whatever a file that names none gets
    "columns": [COLUMNS, GUIDED, *OTHERS],
    "guided": [GUIDED, *OTHERS],
    "unguided": OTHERS,
}


def search(
    folder: Path, path: Path, kind: str, mode: str, *, seed: int, evaluations: int
) -> tuple[float, float]:
    """Distance of rank 1 from the truth [Å], and the evaluation that first met the truth."""
    raw = read_yaml(folder / kind / "campaign.yaml")
    raw |= {"seed": seed, "workers": 0, "stop": {"evaluations": evaluations}}
    raw["search"] = {"generators": MODES[mode]} if MODES[mode] else {}
    plan = make_plan(parse(raw), folder=folder / kind)
    run(plan, path)
    planted, truth = KINDS[kind](), read(folder / kind / "truth.vasp")
    with RunStore.open(path) as store:
        found = [evaluation for evaluation in store.evaluations() if evaluation.ok]
    apart = [misplaced(evaluation.atoms, planted, truth) for evaluation in found]
    best = rank(found, plan.objectives)[0].evaluation
    first = next((n for n, gap in enumerate(apart, 1) if gap < CLOSE), np.inf)
    return misplaced(best.atoms, planted, truth), first


def main() -> None:
    """Print, for each kind and mode, the share of seeds that recover the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "tests" / "physics" / "planted")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_planted"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=150)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--modes", nargs="*", default=list(MODES), choices=list(MODES))
    options = parser.parse_args()
    print(f"{'':32s}recovered   rank 1 off [Å]   first met")
    for mode in options.modes:
        total = 0
        for kind in options.kinds:
            results = [
                search(
                    options.folder,
                    options.out / mode / kind / str(seed),
                    kind,
                    mode,
                    seed=seed,
                    evaluations=options.evaluations,
                )
                for seed in range(1, options.seeds + 1)
            ]
            apart, first = np.array(results).T
            total += (hits := int((apart < CLOSE).sum()))
            middle = np.sort(first)[(len(first) - 1) // 2]
            print(
                f"{mode:10s}{kind:22s}{hits:5d}/{len(first)}{np.median(apart):15.2f}{middle:12g}",
                flush=True,
            )
        runs = options.seeds * len(options.kinds)
        interval = binomtest(total, runs).proportion_ci(method="wilson")
        share = f"{total / runs:.0%} [{interval.low:.0%}, {interval.high:.0%}]"
        print(f"{mode:10s}{'all':22s}{total:5d}/{runs}   {share} (95 %, Wilson)")


if __name__ == "__main__":
    main()
