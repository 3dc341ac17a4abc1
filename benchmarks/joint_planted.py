"""Planted cluster and boundary: what each datum, each pair and all of them leave, in 40 draws.

    python benchmarks/joint_planted.py [cluster|boundary] [--draws 40] [--keep FOLDER] [--moved 10]

Candidates are orders of elements and other packings, relaxed by EMT; the truth's atoms are put
0.03 Å off (rms per axis: an engine errs), by as many draws as --moved says, taken in turn, but for
the image, which is of the first. It is made by abTEM's multislice (three phonons), G(r) by Debye's
sum written out, EXAFS by FEFF8 of every absorber, each with noise. They are ranked by
stem_convolution, pdf and exafs (FEFF6) as `htinvert decide` does. Clean data and fits are kept in
FOLDER. Needs the extras multislice and xas; minutes to an hour on a busy core.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.units import kB

from htinvert.campaign.likelihood import likelihood_of
from htinvert.config.weights import LikelihoodPart
from htinvert.core import Candidate, Channel, Evaluation, Objective, Relaxation, weighted_sum
from htinvert.energy.accuracy import Accuracy
from htinvert.evaluation.fit import fit
from htinvert.ranking.confidence import declared_accuracy
from htinvert.ranking.decide import decide
from htinvert.ranking.rank import rank
from htinvert.signals.seen import see

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import plant_joint as plant

ENGINE: Accuracy = declared_accuracy({"use": "ase", "name": "emt"})
FITS, AGAIN = 60, {"image": 25, "G(r)": 12, "exafs": 30}  # signals simulated


def worth(channel: Channel) -> Objective:
    """What the product takes a datum for."""
    (metric,) = channel.metrics
    told, _ = likelihood_of(channel, metric, LikelihoodPart())
    return Objective(f"{channel.name}.{metric}", 1.0, told)


def evaluated(number: int, one: plant.Planted, draws: list[list[Channel]]) -> list[Evaluation]:
    """A candidate in each draw of noise, from the second one on fitted from the first one's fit."""
    found, known = [], {}
    for channels in draws:
        values, parameters = {"energy": one.energy}, {}
        for c in channels:
            most = AGAIN[c.name] if c.name in known else FITS
            fitted = fit(c, one.atoms, start=known.get(c.name, {}), max_evaluations=most)
            known.setdefault(c.name, fitted.parameters)
            values |= {f"{c.name}.{name}": s.cost for name, s in fitted.scores.items()}
            parameters[c.name] = fitted.parameters
        relaxed = Relaxation(one.atoms, one.energy, converged=True, steps=0)
        start = Candidate(number, one.atoms, one.name)
        found.append(Evaluation(start, relaxed, objectives=values, parameters=parameters))
    return found


def standard_error(counts: list[int], moved: int) -> float:
    """Of their mean; those of one draw of positions are one where there are several."""
    each = [np.mean(counts[draw::moved]) for draw in range(moved)] if moved > 1 else counts
    return float(np.std(each, ddof=1) / np.sqrt(len(each)))


def main() -> None:
    """Print a row per choice of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=plant.PROBLEMS)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=Path("planted"))
    parser.add_argument("--moved", type=int, default=1, help="draws of the truth's positions")
    asked = parser.parse_args()
    problems = [plant.problem(asked.what, asked.keep, draw) for draw in range(asked.moved)]
    problem = problems[0]
    atoms = sum(problem.exchangeable.values())
    energy = Objective("energy", 1.0 / np.hypot(ENGINE.energy * np.sqrt(atoms), kB * 300.0))
    draws = [plant.channels(problems[i % asked.moved], i) for i in range(asked.draws)]
    name = f"moved-{asked.moved}" if asked.moved > 1 else "fits"
    table = [
        plant.kept(asked.keep / asked.what / f"{name}-{i}-of-{asked.draws}.pickle",
                   lambda i=i, one=one: evaluated(i, one, draws))
        for i, one in enumerate(problem.candidates)
    ]  # fmt: skip
    held, left, ranks = defaultdict(list), defaultdict(list), defaultdict(list)
    families = rank([row[0] for row in table], [energy])
    assert len(families) == len(table), "two candidates are one family"
    for draw, channels in enumerate(draws):
        aims = [energy, *(worth(channel) for channel in channels)]
        ranked = [replace(family, evaluation=table[family.evaluation.candidate.index][draw])
                  for family in families]  # fmt: skip
        ranked.sort(key=lambda e: weighted_sum(e.evaluation.objectives, aims))
        seen = [{c.name: see(c, e.evaluation.atoms, e.evaluation.parameters[c.name])
                 for c in channels} for e in ranked]  # fmt: skip
        found = decide(ranked, seen, aims, engine=ENGINE)
        truth = [e.evaluation.candidate.operator for e in ranked].index("truth")
        for choice, inside in zip(found.choices, found.inside, strict=True):
            sums = sum(found.worths[name] for name in choice)
            held[choice].append(inside[truth])
            left[choice].append(inside.sum())
            ranks[choice].append(1 + int((sums < sums[truth]).sum()))
        errors = [f"{name} {error}" for name, error in found.misplaced.items()]
        print(f"draw {draw}: {'; '.join(errors)}", file=sys.stderr, flush=True)
    print(f"| of {len(table)} candidates, by | rank of the truth, median (worst) | first | "
          "families left, mean | truth among them |\n|---|---|---|---|---|")  # fmt: skip
    for choice in held:
        words = " + ".join(name.partition(".")[0] for name in choice)
        print(f"| {words} | {np.median(ranks[choice]):g} ({max(ranks[choice])}) | "
              f"{np.mean(np.array(ranks[choice]) == 1):.0%} | {np.mean(left[choice]):.2f} "
              f"± {standard_error(left[choice], asked.moved):.2f} | "
              f"{sum(held[choice])} of {asked.draws} |")  # fmt: skip


if __name__ == "__main__":
    main()
