"""Several data of one cluster: is the truth first, found, claimed; which datum leaves what?

    python benchmarks/joint.py search [FOLDER]    # ten searches for the order of elements
    python benchmarks/joint.py noise [FOLDER]     # ten draws of noise, truth against its twins
    python benchmarks/joint.py [consistency]      # are data of two structures called so?

FOLDER is what ``htinvert example joint`` writes, or another with a ``joint.yaml`` and an
``answer.xyz``; the bundled example where it is left out.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from ase.io import read

import htinvert as ht
from htinvert.campaign import loop
from htinvert.campaign.plan import Plan, fit_to_start
from htinvert.campaign.progress import Progress
from htinvert.config.examples import write_example
from htinvert.core import Candidate, Objective, weighted_sum
from htinvert.evaluation.evaluate import evaluate
from htinvert.geometry.congruent import cluster_distance
from htinvert.metrics.likelihood import Likelihood
from htinvert.ranking.confidence import Evidence, claim
from htinvert.ranking.decide import Decision

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import make_example_joint as planting

CANDIDATES = ("answer", "twin-pair", "twin-image")
FAMILIES, POINTS, PIECES = 15, 120, 24
SAME = 0.1  # Å rms after the best turn
MOST = 3000  # evaluations


def search(folder: Path, seeds: list[int], most: int) -> None:
    """Search anew with each seed until the truth is first, and print when."""
    truth = read(folder / "answer.xyz")
    found = 0
    print("| seed | truth met as | evaluations | CPU s | first at the end |")
    print("|---|---|---|---|---|")
    for seed in seeds:
        plan = ht.load(
            folder / "joint.yaml", seed=seed, workers=0, stop={"evaluations": most, "minutes": 600}
        )
        met: list[int] = []

        def watch(progress: Progress, target: Path, met: list[int] = met) -> None:
            best = progress.improved
            if best is None or met:
                return
            if cluster_distance(best.atoms, truth) < SAME:
                met.append(best.candidate.index)
                loop.ask_to_stop(target)

        with tempfile.TemporaryDirectory() as place:
            target = Path(place) / "run"
            start = time.process_time()
            run = ht.run(plan, target, observer=lambda p, t=target, w=watch: w(p, t))
            seconds = time.process_time() - start
            first = run.best(1)[0]
            good = cluster_distance(first.evaluation.atoms, truth) < SAME
            done = run.counts().ok + run.counts().failed
        found += good
        word = "truth" if good else f"another, {first.total:.1f} nats"
        print(
            f"| {seed} | {met[0] if met else '-'} | {done} | {seconds:.0f} | {word} |", flush=True
        )
    print(f"\nfound {found} of {len(seeds)}")


def noise(folder: Path, draws: int) -> None:
    """Draw noise anew, and print who is first of the truth and its twins, by which data."""
    truth = read(folder / "answer.xyz")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        for path in folder.iterdir():
            shutil.copyfile(path, data / path.name)
        image, f = planting.scan(truth), planting.debye(truth)
        first: Counter[tuple[str, str]] = Counter()
        for seed in range(1, draws + 1):
            counts = planting.counted(image, seed=seed)
            planting.write_data(data, counts, planting.curve(f, seed=seed))
            plan = ht.load(data / "joint.yaml", workers=0)
            plan = plan.calibrated(fit_to_start(plan))
            values = {name: evaluated(data / f"{name}.xyz", plan) for name in CANDIDATES}
            count_firsts(first, values, plan.objectives)
            print(f"noise {seed} is done", file=sys.stderr)
    print("| ranked by | truth first | pair twin first | image twin first |\n|---|---|---|---|")
    for what in dict.fromkeys(what for what, _ in first):
        print(f"| {what} | " + " | ".join(str(first[what, name]) for name in CANDIDATES) + " |")


def count_firsts(
    first: Counter[tuple[str, str]],
    values: Mapping[str, Mapping[str, float]],
    objectives: Sequence[Objective],
) -> None:
    """Count who is first by each choice of data, and by all with one weight ten times off."""
    aims = {o.name.partition(".")[0]: o for o in objectives}
    ways = {
        " + ".join(choice): [aims[name] for name in choice]
        for size in range(1, len(aims) + 1)
        for choice in combinations(aims, size)
    }
    for name, aim in aims.items():
        for factor in (0.1, 10.0):
            off = replace(aim, weight=factor * aim.weight)
            ways[f"all, {name} x {factor:g}"] = [off if o is aim else o for o in aims.values()]
    for words, chosen in ways.items():
        sums = {name: weighted_sum(found, chosen) for name, found in values.items()}
        first[words, min(sums, key=sums.__getitem__)] += 1


def evaluated(path: Path, plan: Plan) -> Mapping[str, float]:
    """Objectives of a structure that is relaxed."""
    atoms = read(path)
    space = plan.space.template
    atoms.cell, atoms.pbc = space.cell, space.pbc
    atoms.positions += space.positions.mean(axis=0) - atoms.positions.mean(axis=0)
    atoms.set_tags(1)
    found = evaluate(Candidate(1, atoms, "given"), plan.recipe)
    assert found.ok, found.error
    return found.objectives


def consistency(draws: int) -> None:
    """Data of one structure and of two, as random vectors: how often they are called inconsistent.

    Fifteen families, two data of 120 points in 24 pieces; the simulations of two families differ by
    a share of the signal between 0.1 and 0.6, noise and model error are 0.15 of it.
    """
    rng = np.random.default_rng(1)
    print("| data | called inconsistent | 95 % |\n|---|---|---|")
    for words, other in (("of one structure", 0), ("of two", 7)):
        called = 0
        for _ in range(draws):
            p_values = {}
            for name, true in (("one.rw", 0), ("two.rw", other)):
                apart = rng.uniform(0.1, 0.6, FAMILIES)[:, None]
                simulated = 1.0 + apart * rng.normal(size=(FAMILIES, POINTS))
                observed = simulated[true] + 0.15 * rng.normal(size=POINTS)
                squares = ((simulated - observed) ** 2).reshape(FAMILIES, PIECES, -1).mean(axis=2)
                costs = np.sqrt(squares.mean(axis=1))
                pieces = costs[:, None] * (0.5 + 0.5 * squares / squares.mean(axis=1)[:, None])
                aim = Objective(name, 1.0, Likelihood(POINTS / 2.0, 0.1))
                evidence = Evidence(aim.worth(costs), {name: pieces}, {}, {name: aim}, nats=True)
                p_values[name] = claim(evidence, draws=400).p_values
            empty = np.zeros((1, FAMILIES), dtype=bool)
            called += Decision([], (tuple(p_values),), empty, {}, p_values, {}).inconsistent
        low, high = wilson(called, draws)
        print(f"| {words} | {called} of {draws} | {low:.0%} to {high:.0%} |", flush=True)


def wilson(count: int, draws: int) -> tuple[float, float]:
    """Wilson's interval of a share, 95 %."""
    share, z = count / draws, 1.96
    middle = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z * np.sqrt(share * (1 - share) / draws + z**2 / (4 * draws**2)) / (1 + z**2 / draws)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def main() -> None:
    """Read what is asked for, and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("search", "noise", "consistency")
    parser.add_argument("what", nargs="?", choices=kinds, default="consistency")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--most", type=int, default=MOST)
    asked = parser.parse_args()
    if asked.what == "consistency":
        consistency(10 * asked.seeds)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = asked.folder
        if folder is None:
            folder = Path(place)
            write_example("joint", folder)
        if asked.what == "search":
            search(folder, list(range(1, asked.seeds + 1)), asked.most)
        else:
            noise(folder, asked.seeds)


if __name__ == "__main__":
    main()
