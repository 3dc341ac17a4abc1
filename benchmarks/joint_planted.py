"""Planted cluster and boundary: what each datum, each pair and all of them leave, in 40 draws.

    python benchmarks/joint_planted.py [cluster|boundary] [--draws 40] [--keep FOLDER] [--moved 10]

Candidates are orders of elements and other packings, relaxed by EMT; the truth's atoms are put
0.03 Å off (rms per axis: an engine errs), in as many draws in turn as --moved says, but for the
image, which is of the first. It is made by abTEM's multislice (three phonons), G(r) by Debye's sum
written out, EXAFS by FEFF8 of every absorber, all with noise; they are ranked by stem_convolution,
pdf and exafs (FEFF6) as `htinvert decide` does. Needs extras multislice and xas, up to an hour.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.units import kB

from htinvert.core import Candidate, Channel, Evaluation, Objective, Relaxation, weighted_sum
from htinvert.evaluation.fit import fit
from htinvert.ranking.confidence import declared_accuracy
from htinvert.ranking.decide import decide
from htinvert.ranking.rank import rank
from htinvert.signals.seen import see

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import plant_joint as plant

ENGINE = declared_accuracy({"use": "ase", "name": "emt"})
FITS, AGAIN = 60, {"image": 25, "G(r)": 12, "exafs": 30}  # signals simulated


def evaluated(number: int, one: plant.Planted, draws: list[list[Channel]]) -> list[Evaluation]:
    """A candidate in each draw of noise, from the second one on fitted from the first one's fit."""
    start = Candidate(number, one.atoms, one.name)
    relaxed = Relaxation(one.atoms, one.energy, converged=True, steps=0)
    found, known = [], {}
    for channels in draws:
        fits = {c.name: fit(c, one.atoms, start=known.get(c.name, {}),
                            max_evaluations=AGAIN[c.name] if known else FITS)
                for c in channels}  # fmt: skip
        parameters = {name: fitted.parameters for name, fitted in fits.items()}
        values = {f"{c}.{n}": s.cost for c, f in fits.items() for n, s in f.scores.items()}
        values["energy"], known = one.energy, known or parameters
        found.append(Evaluation(start, relaxed, objectives=values, parameters=parameters))
    return found


def mean(counts: np.ndarray, moved: int) -> str:
    """With its standard error; those of one draw of positions are one where there are several."""
    each = [np.mean(counts[draw::moved]) for draw in range(moved)] if moved > 1 else counts
    return f"{np.mean(counts):.2f} ± {np.std(each, ddof=1) / np.sqrt(len(each)):.2f}"


def main() -> None:
    """Print a row per choice of data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=plant.PROBLEMS)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=Path("planted"), help="clean data and fits")
    parser.add_argument("--moved", type=int, default=1, help="draws of the truth's positions")
    asked = parser.parse_args()
    problems = [plant.problem(asked.what, asked.keep, draw) for draw in range(asked.moved)]
    atoms, candidates = sum(problems[0].exchangeable.values()), problems[0].candidates
    energy = Objective("energy", 1.0 / np.hypot(ENGINE.energy * np.sqrt(atoms), kB * 300.0))
    draws = [plant.channels(problems[i % asked.moved], i) for i in range(asked.draws)]
    path = asked.keep / asked.what / (f"moved-{asked.moved}" if asked.moved > 1 else "fits")
    table = [plant.kept(path.with_name(f"{path.name}-{i}-of-{asked.draws}.pickle"),
                        lambda i=i, one=one: evaluated(i, one, draws))
             for i, one in enumerate(candidates)]  # fmt: skip
    families, tally = rank([row[0] for row in table], [energy]), defaultdict(list)
    assert len(families) == len(table), "two candidates are one family"
    for draw, channels in enumerate(draws):
        aims = [energy, *(plant.worth(channel) for channel in channels)]
        ranked = [replace(family, evaluation=table[family.evaluation.candidate.index][draw])
                  for family in families]  # fmt: skip
        ranked.sort(key=lambda e: weighted_sum(e.evaluation.objectives, aims))
        seen = [{c.name: see(c, e.evaluation.atoms, e.evaluation.parameters[c.name])
                 for c in channels} for e in ranked]  # fmt: skip
        found = decide(ranked, seen, aims, engine=ENGINE)
        truth = [e.evaluation.candidate.operator for e in ranked].index("truth")
        for choice, inside in zip(found.choices, found.inside, strict=True):
            sums = sum(found.worths[name] for name in choice)
            tally[choice].append((inside[truth], inside.sum(), 1 + (sums < sums[truth]).sum()))
        errors = "; ".join(f"{name} {error}" for name, error in found.misplaced.items())
        print(f"draw {draw}: {errors}", file=sys.stderr, flush=True)
    print(f"| of {len(table)} candidates, by | rank of the truth, median (worst) | first | "
          "families left, mean | truth among them |\n|---|---|---|---|---|")  # fmt: skip
    for choice, (held, left, ranks) in ((c, np.array(rows).T) for c, rows in tally.items()):
        print("|", " + ".join(name.partition(".")[0] for name in choice),
              f"| {np.median(ranks):g} ({max(ranks):g}) | {np.mean(ranks == 1):.0%} | "
              f"{mean(left, asked.moved)} | {sum(held):g} of {asked.draws} |")  # fmt: skip


if __name__ == "__main__":
    main()
