"""Does the set claimed with 90 % hold the truth in 80-100 % of planted problems?

    python benchmarks/confidence.py [--problems 80] [--library 24]

The problems are those of htinvert.planted_variants. Three minutes on one core.
"""

from __future__ import annotations

import argparse
from time import perf_counter

from htinvert.planted_variants import KINDS, SIBLINGS, coverage


def main() -> None:
    """Print the coverage, the sizes of the sets and how often the truth is rank 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=80)
    parser.add_argument("--library", type=int, default=24)
    options = parser.parse_args()
    start = perf_counter()
    share, sizes, first = coverage(options.problems, options.library)
    mean = sum(size * n for size, n in sizes.items()) / options.problems
    seconds = perf_counter() - start
    print(f"{options.problems} problems of up to {KINDS * SIBLINGS} variants, {seconds:.0f} s")
    print(f"the set claimed with 90 % holds the truth in {share:.0%}")
    print(f"it holds {mean:.1f} of the families on average: {dict(sorted(sizes.items()))}")
    print(f"the truth is rank 1 in {first:.0%}")


if __name__ == "__main__":
    main()
