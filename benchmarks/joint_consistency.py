"""Data of two structures: how often they are called inconsistent, by how far apart those are.

    python benchmarks/joint_consistency.py [--draws 40] [--keep FOLDER]

The cluster of benchmarks/joint_planted.py: its image (abTEM's multislice), and the G(r) (Debye's
sum) of itself or of one of its nine rivals, atoms 0.03 Å off in each. What the compromise between
two structures costs is foretold as `htinvert decide` foretells a further measurement: the least of
any candidate, summed over the two data. Needs the extras multislice and xas (for what is kept).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from joint import wilson
from joint_planted import AGAIN, ENGINE, FITS

from htinvert.core import Channel, Floats
from htinvert.declaration.measurement import Measurement
from htinvert.evaluation.fit import fit
from htinvert.ranking.confidence import Evidence, claim
from htinvert.ranking.decide import Decision
from htinvert.ranking.further import foresee
from htinvert.ranking.positions import misplaced, with_error
from htinvert.signals.seen import see

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import plant_joint as plant

NOISE = {"image": 0.30, "G(r)": 0.08}  # of the signal, as benchmarks/results.md says
IMAGES, EACH = 10, 10  # draws of the image, and of each rival's G(r)


def apart(channel: Channel, first: Atoms, structures: Sequence[Atoms]) -> Floats:
    """Nats by which a datum is foretold to tell a structure from each of others, shape (n,)."""
    (metric,) = channel.metrics
    one = Measurement(channel.name, channel.forward, metric, "exposure", NOISE[channel.name],
                      free=channel.free, method=channel.method)  # fmt: skip
    return np.array([float(foresee([first, other], one).nats(1.0)[0]) for other in structures])


def doubts(channels: Sequence[Channel], structures: Sequence[Atoms]) -> list[Floats]:
    """By draws of one datum, what it leaves: p-values of each structure."""
    aim, found = plant.worth(channels[0]), []
    (metric,) = channels[0].metrics
    known: dict[int, dict[str, float]] = {}
    for channel in channels:
        costs, seen = [], []
        for i, atoms in enumerate(structures):
            most = AGAIN[channel.name] if i in known else FITS
            fitted = fit(channel, atoms, start=known.get(i, {}), max_evaluations=most)
            known.setdefault(i, dict(fitted.parameters))
            costs.append(fitted.scores[metric].cost)
            seen.append(see(channel, atoms, fitted.parameters))
        best = seen[int(np.argmin(costs))]
        error = misplaced(aim, best, ENGINE.position, best=aim.likelihood.misfit(min(costs)))
        told, pieces = with_error(aim, error), best.pieces(channel.metrics[metric])
        windows = [s.piece_costs(channel.metrics[metric], pieces, c)
                   for s, c in zip(seen, costs, strict=True)]  # fmt: skip
        evidence = Evidence(told.worth(np.array(costs)), {aim.name: np.array(windows)}, {},
                            {aim.name: told}, nats=True)  # fmt: skip
        found.append(claim(evidence).p_values)
    return found


def main() -> None:
    """Print a row per structure that the G(r) is of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--keep", type=Path, default=Path("planted"))
    asked = parser.parse_args()
    problem = plant.problem("cluster", asked.keep)
    structures = [one.atoms for one in problem.candidates]
    draws = [plant.channels(problem, seed)[:2] for seed in range(asked.draws)]
    image = doubts([one for one, _ in draws[:IMAGES]], structures)
    by_image = apart(draws[0][0], structures[0], structures)
    names = ("image.correlation", "G(r).rw")
    print("| G(r) of | compromise costs, foretold [nats] | called inconsistent | 95 % |")
    print("|---|---|---|---|")
    for number, one in enumerate(problem.candidates):
        count = EACH if number else asked.draws
        off = one.atoms.copy()
        off.positions += np.random.default_rng(3 + number).normal(0.0, plant.OFF, (len(off), 3))
        other = replace(problem, f=plant.planting.debye(off)) if number else problem
        curves = [plant.channels(other, 100 * number + seed)[1] for seed in range(count)]
        called = 0
        for draw, p in enumerate(doubts(curves, structures)):
            p_values = dict(zip(names, (image[draw % len(image)], p), strict=True))
            called += Decision([], (names,), np.zeros((1, 10), bool), {}, p_values, {}).inconsistent
        low, high = wilson(called, count)
        price = (by_image + apart(draws[0][1], one.atoms, structures)).min()
        print(f"| {one.name} | {price:.1f} | {called} of {count} | "
              f"{low:.0%} to {high:.0%} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
