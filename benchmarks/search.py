"""How many relaxations a search needs: success curves over seeds, with 95 % intervals.

Every seed is a whole campaign in this process (`workers: 0`, the code of `htinvert run`) that ends
when the answer is found. `--search` puts other generators beside the campaign's own.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from htinvert.campaign import loop as campaign
from htinvert.campaign import plan
from htinvert.config import campaign as config
from htinvert.core import Evaluation, UserError

CONFIGS = Path(__file__).parents[1] / "configs"
CHEAP = ("lj13", "lj19", "cu19", "tio2")
SLACK = 1e-3  # eV or epsilon: relaxations end a little above their minimum


class FoundError(Exception):
    """The answer was found: ends a campaign."""


@dataclass(frozen=True)
class Case:
    """A campaign's file, the test that knows its answer, and a budget of relaxations."""

    path: str
    found: Callable[[Evaluation], bool]
    budget: int


def reaches(energy: float, formula: str) -> Callable[[Evaluation], bool]:
    """Whether a structure of this formula is at or below an energy [eV]."""

    def test(best: Evaluation) -> bool:
        low = best.relaxation is not None and best.relaxation.energy <= energy + SLACK
        return low and best.atoms.get_chemical_formula("metal") == formula

    return test


CASES = {
    "lj13": Case("clusters/lj13.yaml", reaches(-44.326801, "Xe13"), 200),
    "lj19": Case("clusters/lj19.yaml", reaches(-72.659782, "Xe19"), 200),
    "lj38": Case("clusters/lj38.yaml", reaches(-173.928427, "Xe38"), 5000),
    "cu19": Case("clusters/cu19.yaml", reaches(12.30798, "Cu19"), 200),
    "tio2": Case("clusters/tio2.yaml", reaches(-82.236, "Ti7O11"), 300),  # bound: -82.235
}


def first_hit(job: tuple[str, str, int]) -> tuple[int, float]:
    """Relaxations until the answer, one more than the budget where there is none; and seconds."""
    (name, search, seed), start, done = job, time.perf_counter(), [0]
    case = CASES[name]
    loaded = config.load(CONFIGS / case.path)
    stop = config.Stop(evaluations=case.budget)
    changed: dict[str, object] = {"seed": seed, "workers": 0, "stop": stop}
    if search != "own":
        changed["search"] = loaded.search.model_copy(update={"generators": [{"use": search}]})
    folder = (CONFIGS / case.path).parent
    made = plan.make_plan(loaded.model_copy(update=changed), folder=folder)

    def look(progress: campaign.Progress) -> None:
        done[0] = progress.evaluated
        if progress.improved and case.found(progress.improved):
            raise FoundError

    with tempfile.TemporaryDirectory() as temporary:
        try:
            campaign.run(made, Path(temporary) / "run", observer=look)
        except FoundError:
            return done[0], time.perf_counter() - start
    return case.budget + 1, time.perf_counter() - start


def wilson(hits: int, seeds: int) -> tuple[float, float]:
    """95 % interval of a share of successes: Wilson, J. Am. Stat. Assoc. 22, 209 (1927)."""
    z2 = 1.96**2
    middle = (hits + z2 / 2) / (seeds + z2)
    half = 1.96 / (seeds + z2) * np.sqrt(hits * (seeds - hits) / seeds + z2 / 4)
    return float(max(middle - half, 0.0)), float(min(middle + half, 1.0))


def draw(hits: dict[tuple[str, str], list[int]], path: Path) -> None:
    """Success curves with their intervals, one panel per case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(name for name, _ in hits))
    figure, axes = pyplot.subplots(1, len(names), figsize=(3 * len(names), 3), squeeze=False)
    for (name, search), found in hits.items():
        panel = axes[0, names.index(name)]
        x = np.arange(1, CASES[name].budget + 1)
        count = (np.array(found)[:, None] <= x).sum(axis=0)
        low, high = np.transpose([wilson(int(k), len(found)) for k in count])
        (line,) = panel.step(x, count / len(found), where="post", label=search)
        panel.fill_between(x, low, high, step="post", alpha=0.2, color=line.get_color(), lw=0)
        panel.set(title=name, xlabel="relaxations", xscale="log", ylim=(0, 1.02))
    axes[0, 0].set_ylabel("share of seeds")
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    """Measure, print a table, and draw where a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CHEAP, help=f"of {', '.join(CASES)}")
    parser.add_argument("--search", nargs="+", default=["own"], help="generators by name")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("-o", "--output", type=Path, help="folder for search.png")
    given = parser.parse_args()
    print("case   search              found         95 %  median  s each  first hits")
    hits = {}
    with ProcessPoolExecutor(given.jobs) as pool:
        for name, search in product(given.cases, given.search):
            jobs = [(name, search, seed) for seed in range(1, given.seeds + 1)]
            try:
                results = list(pool.map(first_hit, jobs))
            except UserError as error:
                print(f"{name:6} {search:17} left out: {error}")
                continue
            found = hits[name, search] = [hit for hit, _ in results]
            budget = CASES[name].budget
            solved = sum(hit <= budget for hit in found)
            share = "{:.2f}-{:.2f}".format(*wilson(solved, len(found)))
            each = sum(s for _, s in results) / sum(min(hit, budget) for hit in found)
            print(
                f"{name:6} {search:17} {solved:4}/{len(found)} {share:>12} "
                f"{np.median(found):7.0f} {each:7.3f}  {' '.join(map(str, found))}",
                flush=True,
            )
    if given.output and hits:
        given.output.mkdir(parents=True, exist_ok=True)
        draw(hits, given.output / "search.png")


if __name__ == "__main__":
    main()
