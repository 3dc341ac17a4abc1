"""Does the set claimed with 90 % hold the truth in 80-100 % of planted problems?

    python benchmarks/confidence.py [--problems 80] [--library 24]
    python benchmarks/confidence.py --problems 40 --library 12 --seed 2 --stream 11
    python benchmarks/confidence.py --problems 40 --library 12 --seed 2 --stream 11 --kind metals

The problems are those of htinvert.testing.planted_variants; the first line repeats those that the
set was developed on, the others do not. Three minutes per 80 problems on one core.
"""

from __future__ import annotations

import argparse
from time import process_time

from scipy.stats import binomtest

from htinvert.testing.planted_variants import KINDS, SIBLINGS, coverage, library, metals

MAKE = {"library": library, "metals": metals}


def main() -> None:
    """Print the coverage, the sizes of the sets and how often the truth is rank 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=80)
    parser.add_argument("--library", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stream", type=int, default=7)
    parser.add_argument("--kind", choices=list(MAKE), default="library")
    options = parser.parse_args()
    start = process_time()
    share, sizes, first = coverage(
        options.problems,
        options.library,
        make=MAKE[options.kind],
        seed=options.seed,
        stream=options.stream,
    )
    mean = sum(size * n for size, n in sizes.items()) / options.problems
    held = round(share * options.problems)
    interval = binomtest(held, options.problems).proportion_ci(method="wilson")
    print(f"{options.problems} problems of up to {KINDS * SIBLINGS} variants", end=", ")
    print(f"{process_time() - start:.0f} s of CPU")
    print(f"the set claimed with 90 % holds the truth in {share:.0%}", end=" ")
    print(f"({interval.low:.0%} to {interval.high:.0%}, 95 %, Wilson)")
    print(f"it holds {mean:.1f} of the families on average: {dict(sorted(sizes.items()))}")
    print(f"the truth is rank 1 in {first:.0%}")


if __name__ == "__main__":
    main()
