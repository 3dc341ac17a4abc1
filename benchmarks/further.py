"""Which further measurement would decide: what is foretold against what data then say.

    python benchmarks/further.py [--pairs 10] [--figure further.png]

Ten pairs of families: a cluster Pt12Cu26 with its elements at random, and one with some of them
exchanged, both relaxed. Foretold is what an image along [001] and a G(r) are worth between the two;
measured what data of the first are worth, made by other programs (abTEM's multislice, Debye's sum
written out), in three draws of noise. Needs the extra multislice; minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from scipy.stats import spearmanr

from htinvert import plugins
from htinvert.core import Axis, Channel, Signal
from htinvert.declaration.measurement import Measurement
from htinvert.evaluation.fit import fit
from htinvert.metrics.likelihood import Likelihood
from htinvert.ranking.further import Foreseen, foresee

sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
import make_example_joint as planting

EXCHANGED = (1, 12, 3, 1, 6, 2, 8, 1, 4, 2)  # pairs of unlike atoms
DRAWS = 3
planting.SAMPLING, planting.SIDE, planting.GRID = 0.4, 24, 0.1  # Å, px, Å: a quicker scan
IMAGE = {"beam": "-z", "up": "-y", "semiangle": 22.0, "inner": 50.0, "outer": 80.0, "defocus": 20.0}
IMAGE_FREE = {"source_size": (0.2, 2.0), "shift_x": (-0.5, 0.5), "shift_y": (-0.5, 0.5)}
G = {"qmin": planting.QMIN, "qmax": planting.QMAX, "qdamp": planting.QDAMP}
G_FREE = {"u": (0.001, 0.05), "zoom": (0.97, 1.03)}
OF_PEAK = planting.DOSE / 0.02  # electrons per pixel, of whom some 2 % reach the detector


def pair(number: int) -> tuple[Atoms, Atoms]:
    """A cluster, and one with some unlike atoms exchanged, in one box."""
    rng, places = np.random.default_rng(number), planting.sites()
    heavy = rng.permutation(np.arange(len(places)) < planting.HEAVIES)
    other = heavy.copy()
    count = EXCHANGED[number % len(EXCHANGED)]
    for kind in (True, False):
        other[rng.choice(np.flatnonzero(heavy == kind), count, replace=False)] = not kind
    found = [planting.relaxed(planting.cluster(order, places))[0] for order in (heavy, other)]
    for atoms in found:
        atoms.set_cell([planting.BOX] * 3)
        atoms.positions += 0.5 * planting.BOX
    return found[0], found[1]


def measurements() -> dict[str, Measurement]:
    """An image and a G(r), as noisy as the data will be."""
    shape, step = (planting.SIDE, planting.SIDE), planting.R[1] - planting.R[0]
    image = plugins.component(
        "forward", "stem_convolution", sampling=planting.SAMPLING, shape=shape, **IMAGE
    )
    axes = (Axis("r", "Å", float(step), float(planting.R[0])),)
    g = plugins.component("forward", "pdf", radiation="x-ray", **G)
    g = type(g)(**{**vars(g), "axes": axes, "shape": planting.R.shape})
    return {
        "image": Measurement("image", image, "correlation", "exposure", counts=OF_PEAK,
                             free=IMAGE_FREE),
        "G(r)": Measurement("G(r)", g, "rw", "exposure", planting.NOISE, free=G_FREE,
                            method="least-squares"),
    }  # fmt: skip


def measured(data: list[Signal], one: Measurement, atoms: tuple[Atoms, Atoms]) -> float:
    """Log-likelihood [nats] of the first of two structures above the second, mean over draws."""
    metric, told = plugins.component("metric", one.metric), foresee(list(atoms), one)
    likelihood = Likelihood(told.points, told.floor, metric.misfit == "cost")
    nats = []
    for observed in data:
        channel = Channel("c", observed, one.forward, {one.metric: metric}, one.free, one.method)
        costs = [fit(channel, structure).scores[one.metric].cost for structure in atoms]
        nats.append(likelihood(costs[1]) - likelihood(costs[0]))
    return float(np.mean(nats))


def exact(told: Foreseen) -> float:
    """What is expected [nats] where the model does not err at all, only the noise does."""
    likelihood, noise = Likelihood(told.points, told.floor), told.noise.mean()
    return float(likelihood(np.hypot(told.apart[0, 1], noise)) - likelihood(noise))


def draw(path: Path, found: dict[str, list[tuple[float, float]]]) -> None:
    """Draw the measured above the foretold."""
    from htinvert.report.figures import pyplot

    figure, axis = pyplot().subplots(figsize=(4.2, 3.8), layout="constrained")
    for (name, points), mark in zip(found.items(), "os", strict=True):
        rho = spearmanr(*zip(*points, strict=True)).statistic
        axis.plot(*zip(*points, strict=True), mark, label=f"{name}, rank correlation {rho:.2f}")
    top = 1.1 * max(max(point) for points in found.values() for point in points)
    axis.plot([0, top], [0, top], "-", lw=0.8, color="#30363c", zorder=0)
    axis.set_xlabel("foretold [nats]")
    axis.set_ylabel("measured on data by other programs [nats]")
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print a row per pair and the rank correlations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"image": [], "G(r)": []}
    print("| exchanged | datum | foretold [nats] | measured [nats] | were the model exact [nats] |")
    print("|---|---|---|---|---|")
    for number in range(asked.pairs):
        atoms = pair(number)
        bare = atoms[0].copy()
        bare.positions -= 0.5 * planting.BOX
        image, f = planting.scan(bare), planting.debye(atoms[0])
        data = {
            "image": [
                Signal.image(planting.counted(image, seed=s), planting.SAMPLING)
                for s in range(DRAWS)
            ],
            "G(r)": [
                Signal.curve(planting.R, planting.curve(f, seed=s), name="r", unit="Å")
                for s in range(DRAWS)
            ],
        }
        for name, one in measurements().items():
            told = foresee(list(atoms), one)
            foretold = float(told.nats(1.0)[0])
            found[name].append((foretold, measured(data[name], one, atoms)))
            print(f"| {EXCHANGED[number % len(EXCHANGED)]} | {name} | {foretold:.2f} | "
                  f"{found[name][-1][1]:.2f} | {exact(told):.2f} |", flush=True)  # fmt: skip
    for name, points in {**found, "both": [*found["image"], *found["G(r)"]]}.items():
        print(f"{name}: rank correlation {spearmanr(*zip(*points, strict=True)).statistic:.3f}")
    if asked.figure:
        draw(asked.figure, found)


if __name__ == "__main__":
    main()
