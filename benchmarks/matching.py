"""Find a target among 200 (A) or 400 nearly identical (B) bicrystals by every method, side by side.

python benchmarks/matching.py            A: 100 targets of peak 20 counts, B: 60 of peak 10; then
                                         dense nets of one element (fcc, bcc, Si): 40 of peak 20
python benchmarks/matching.py --smoke    a library of 12, 3 targets: what CI runs

Top-1 with its 95 % interval (Wilson), CPU seconds per target and CPU ms per candidate. Slow methods
see only the first targets. Then the right answer is taken out: how often is it noticed?
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np

from htinvert.core import EvaluationFailed, Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.matching.member import Structure
from htinvert.matching.pipeline import Effort, judged, leads, likely_pairs, settle
from htinvert.matching.target import FINE, resampled, tiles
from htinvert.metrics.hog import Hog
from htinvert.metrics.log_polar import signature, spectrum_map
from htinvert.metrics.sift import Sift
from htinvert.testing.matching_trials import STATES, Spoiled, library

DENSE = Effort(placed=12, tolerance=0.25)
CASES = {  # angles, states, peak counts, targets, effort
    "A": (4 + 1.7 * np.arange(40), None, 20.0, 100, Effort(placed=12, tolerance=0.25)),
    "B": (
        4 + 0.51 * np.arange(40), [(0.4 * k, 0.0) for k in range(10)], 10.0, 60,
        Effort(placed=24, fitted=10, tolerance=0.25),
    ),
    "fcc": (4 + 1.7 * np.arange(40), None, 20.0, 40, DENSE),
    "bcc": (4 + 1.7 * np.arange(40), None, 20.0, 40, DENSE),
    "Si": (4 + 1.4 * np.arange(40), None, 20.0, 40, DENSE),
    "smoke": (4 + 10.0 * np.arange(6), [(0.0, 0.0), (0.8, 0.8)], 20.0, 3, Effort(tolerance=0.25)),
}  # fmt: skip
DENSE_NETS = {"fcc": "fcc [110]", "bcc": "bcc [110]", "Si": "Si [111]"}
EVERY = 20  # targets after which the table so far is printed
SLOW = 10  # targets that SIFT and HOG see
SIDE, STEP = 512, 0.16  # px, Å/px


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, J. Am. Stat. Assoc. 22, 209 (1927))."""
    z, share = 1.96, hits / count
    middle = share + z * z / 2 / count
    width = z * np.sqrt(share * (1 - share) / count + (z / 2 / count) ** 2)
    scale = 1 + z * z / count
    return max(0.0, (middle - width) / scale), min(1.0, (middle + width) / scale)


def rank_by(
    cost: Callable[[Signal, Signal], object], views: list[Signal], target: Signal
) -> np.ndarray:
    """Members by the cost of their middle part in the target, least first."""
    costs = []
    for view in views:
        n = int(0.6 * len(target.data) / 2)
        middle = len(view.data) // 2
        part = Signal.image(view.data[middle - n : middle + n, middle - n : middle + n], FINE)
        try:
            costs.append(cost(part, target).cost)
        except EvaluationFailed:
            costs.append(np.inf)
    return np.argsort(costs, kind="stable")


def run(name: str, seed: int, count: int | None, absent: int, slow: int) -> None:
    """Print the table of one case."""
    angles, states, peak, targets, effort = CASES[name]
    members = library(angles, states or STATES, net=DENSE_NETS.get(name))
    candidates = [Structure(atoms, StemConvolution()) for _, atoms in members]
    views = [candidate.view(FINE) for candidate in candidates]
    maps = [spectrum_map(view.data, FINE) for view in views]
    signatures = np.stack([signature(found) for found in maps])
    ranks, taken, alarms = defaultdict(list), defaultdict(list), defaultdict(list)
    for number in range(count or targets):
        rng = np.random.default_rng([seed, number])
        truth = int(rng.integers(len(members)))
        spoiled = Spoiled.draw(rng, peak=peak)
        image = spoiled.take(members[truth][1], sampling=STEP, size=SIDE, rng=rng)
        small = resampled(image, FINE)

        def note(method: str, work: Callable[[], object], truth: int = truth) -> None:
            start = time.process_time()
            order = list(work())
            taken[method].append(time.process_time() - start)
            ranks[method].append(order.index(truth) if truth in order else len(members))

        found, kept = [], {}

        def spectra(image: Signal = image, found: list = found) -> list[int]:
            parts = tiles(image)
            pairs = likely_pairs(parts, signatures, count=effort.mapped)
            found += leads(parts, pairs, maps, magnification=effort.magnification)
            return list(dict.fromkeys(lead.member for lead in found))

        def pipeline(found: list = found, kept: dict = kept) -> list[int]:
            spectra()
            kept["matches"] = settle(found, candidates.__getitem__, effort)
            return [hit.member for hit in kept["matches"].hits]

        if number < slow:
            note("SIFT, ratio test", lambda small=small: rank_by(Sift(), views, small))
            note("HOG", lambda small=small: rank_by(Hog(), views, small))
            note("HOG at the pose", lambda small=small: rank_by(Hog(normalize=True), views, small))
        note("spectra alone", spectra)
        found.clear()
        note("whole pipeline", pipeline)
        alarms["right one there"].append(judged(kept["matches"].hits[0]).none_of_these)
        if number < absent:
            others = [lead for lead in found if lead.member != truth]
            wrong = settle(others, candidates.__getitem__, effort).hits[0]
            alarms["right one taken out"].append(judged(wrong).none_of_these)
        if (number + 1) % EVERY == 0 or number + 1 == (count or targets):
            report(name, len(members), ranks, taken, alarms)


def report(name: str, size: int, ranks: dict, taken: dict, alarms: dict) -> None:
    """Print accuracy, time and alarms."""
    titles = ("targets", "top-1", "95 % interval", "top-5", "s/target", "ms/member")
    print(f"\n{name + f': {size} members':20}" + "".join(f"{title:>15}" for title in titles))
    for method, found in ranks.items():
        hits, count = sum(rank == 0 for rank in found), len(found)
        low, high = wilson(hits, count)
        seconds, top5 = float(np.mean(taken[method])), sum(rank < 5 for rank in found) / count
        values = (f"{count}", f"{hits / count:.0%}", f"{low:.0%} to {high:.0%}", f"{top5:.0%}")
        values += (f"{seconds:.2f}", f"{1e3 * seconds / size:.2f}")
        print(f"{method:20}" + "".join(f"{value:>15}" for value in values))
    for what, raised in alarms.items():
        low, high = wilson(sum(raised), len(raised))
        share = f"{np.mean(raised):.0%} ({low:.0%} to {high:.0%}) of {len(raised)}"
        print(f'"none of these", {what}: {share}', flush=True)


def main() -> None:
    """Run both cases, or the small one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--case", choices=("A", "B", *DENSE_NETS))
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--targets", type=int)
    parser.add_argument("--absent", type=int, default=40, help="targets without the right answer")
    parser.add_argument("--slow", type=int, default=SLOW, help="targets for SIFT and HOG")
    options = parser.parse_args()
    cases = (
        ["smoke"] if options.smoke else [options.case] if options.case else ["A", "B", *DENSE_NETS]
    )
    for name in cases:
        run(name, options.seed, options.targets, options.absent, options.slow)


if __name__ == "__main__":
    main()
