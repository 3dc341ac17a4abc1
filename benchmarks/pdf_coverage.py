"""How often intervals and sets of rivals hold the planted truth of a G(r) with correlated noise.

Clusters of 55 platinum atoms are planted by Debye's sum written out (no code of the forward model),
with noise that is white within Qmax and none beyond, as a measured G(r) has it: points of 0.05 Å
hang together. `python benchmarks/pdf_coverage.py 40`; counted are draws.
"""

from __future__ import annotations

import argparse

import numpy as np
from ase import Atoms
from ase.cluster import Icosahedron, Octahedron
from periodictable.cromermann import fxrayatq

from htinvert.core import Axis, Channel, Floats, Signal
from htinvert.evaluation.fit import fit
from htinvert.forward.pdf.model import Pdf
from htinvert.metrics.rw import Rw
from htinvert.report.curve_rank import REFUTED
from htinvert.signals.correlated import correlation_time
from htinvert.signals.intervals import intervals
from htinvert.signals.seen import see

QMIN, QMAX, STEP, FIRST, COUNT = 1.0, 20.0, 0.05, 1.5, 200
TRUE = {"u.Pt": 0.006, "zoom": 1.004, "qdamp": 0.04}
FREE = {"u.Pt": (0.0005, 0.1), "delta2": (0.0, 6.0), "zoom": (0.95, 1.05), "qdamp": (0.0, 0.15)}


def clusters() -> dict[str, Atoms]:
    """Three of one size."""
    edge = 3.92 / np.sqrt(2)
    ball = Icosahedron("Pt", 3, latticeconstant=3.92)
    cut = Octahedron("Pt", 5, cutoff=2, latticeconstant=3.92)
    layers = [edge * np.array([x + 0.5 * (z % 3), y, 0.8165 * z]) for x in range(4)
              for y in range(4) for z in range(4)][:55]  # fmt: skip
    return {"icosahedron": ball, "cuboctahedron": cut, "stack": Atoms("Pt55", positions=layers)}


def planted(atoms: Atoms) -> Floats:
    """G(r) by quadrature over Q of all pairs."""
    q = np.linspace(QMIN, QMAX, 1901)
    apart = TRUE["zoom"] * atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
    f = np.asarray(fxrayatq("Pt", q))
    waves = 2 / len(atoms) * (np.sin(np.outer(q, apart)) / apart).sum(axis=1)
    waves *= np.exp(-TRUE["u.Pt"] * q**2) * f**2 / f**2  # of one element, f cancels
    r = FIRST + STEP * np.arange(COUNT)
    g = 2 / np.pi * np.trapezoid(waves * np.sin(np.outer(r, q)), q, axis=1)
    return np.asarray(g * np.exp(-((TRUE["qdamp"] * r) ** 2) / 2))


def noise(rng: np.random.Generator) -> Floats:
    """White within Qmax, of unit variance, shape (points,)."""
    size = 4 * COUNT
    waves = np.fft.rfft(rng.normal(size=size))
    waves[2 * np.pi * np.fft.rfftfreq(size, STEP) > QMAX] = 0.0
    values = np.fft.irfft(waves, n=size)[:COUNT]
    return np.asarray(values / values.std())


def main() -> None:
    """Print how often each parameter's interval and the set of rivals hold the truth."""
    parser = argparse.ArgumentParser()
    parser.add_argument("draws", type=int, nargs="?", default=40)
    parser.add_argument("--noise", type=float, default=0.1, help="of the signal's deviation")
    asked = parser.parse_args()
    axes = (Axis("r", "Å", STEP, FIRST),)
    model = Pdf(axes=axes, shape=(COUNT,), qmin=QMIN, qmax=QMAX)
    shapes = clusters()
    curves = {name: planted(atoms) for name, atoms in shapes.items()}
    held = dict.fromkeys(TRUE, 0)
    kept, sizes = 0, 0
    for draw in range(asked.draws):
        rng = np.random.default_rng(draw)
        truth = list(shapes)[draw % len(shapes)]
        values = curves[truth] + asked.noise * curves[truth].std() * noise(rng)
        channel = Channel("pt", Signal(values.astype(np.float32), axes), model, {"rw": Rw()},
                          FREE, "least-squares")  # fmt: skip
        costs, seen = {}, {}
        for name, atoms in shapes.items():
            result = fit(channel, atoms, start={}, max_evaluations=150)
            seen[name] = see(channel, atoms, result.parameters)
            costs[name] = result.scores["rw"].cost
            if name == truth:
                errors = intervals(seen[name], FREE)
                for key, true in TRUE.items():
                    held[key] += abs(result.parameters[key] - true) < 1.96 * errors[key]
        best = min(costs, key=lambda name: costs[name])
        rest = seen[best].placed.residual
        count = rest.size / correlation_time(rest)
        rivals = [name for name, cost in costs.items()
                  if count * ((cost / costs[best]) ** 2 - 1.0) <= REFUTED]  # fmt: skip
        kept += truth in rivals
        sizes += len(rivals)
    for key, count in held.items():
        print(f"95 % interval of {key}: {count} of {asked.draws}")
    print(f"the set of rivals holds the truth: {kept} of {asked.draws}, {sizes / asked.draws:.2f} "
          "structures in it on average")  # fmt: skip


if __name__ == "__main__":
    main()
