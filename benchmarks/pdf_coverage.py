"""How often intervals and sets of rivals hold the planted truth of a G(r) with correlated noise.

Clusters of 55 or 13 platinum atoms by Debye's sum, zinc sulfide by neutrons as Gaussians at all
distances, both written out (no code of the forward model), with noise that is white within Qmax
and none beyond, as a measured G(r) has it: points of 0.05 Å hang together.
`python benchmarks/pdf_coverage.py 40 [--systems pt55 pt13 zns] [--noise 0.1]`; counted are draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.cluster import Decahedron, Icosahedron, Octahedron

from htinvert.core import Axis, Channel, Floats, Signal
from htinvert.evaluation.fit import fit
from htinvert.forward.pdf.model import Pdf
from htinvert.metrics.rw import Rw
from htinvert.report.curve_rank import REFUTED
from htinvert.signals.correlated import correlation_time
from htinvert.signals.intervals import intervals
from htinvert.signals.seen import see

QMIN, QMAX, STEP, FIRST = 1.0, 20.0, 0.05, 1.5
ZOOM, QDAMP = 1.004, 0.04
LENGTHS = {"Zn": 5.680, "S": 2.847}  # fm, V. F. Sears, Neutron News 3(3), 26 (1992)


@dataclass(frozen=True)
class System:
    """Rivals by name, how one is planted, the points of its G(r), true ``u`` [Å²], radiation."""

    shapes: dict[str, Atoms]
    plant: Callable[[Atoms, Floats], Floats]
    count: int
    u: dict[str, float]
    radiation: str = "x-ray"


def cluster(atoms: Atoms, r: Floats) -> Floats:
    """G(r) of a cluster of one element, whose f(Q) cancels, by quadrature over Q of all pairs."""
    q = np.linspace(QMIN, QMAX, 1901)
    apart = ZOOM * atoms.get_all_distances()[np.triu_indices(len(atoms), 1)]
    waves = 2 / len(atoms) * (np.sin(np.outer(q, apart)) / apart).sum(axis=1)
    waves *= np.exp(-0.006 * q**2)
    return 2 / np.pi * np.trapezoid(waves * np.sin(np.outer(r, q)), q, axis=1)


def crystal(atoms: Atoms, r: Floats) -> Floats:
    """G(r) of zinc sulfide by neutrons: a Gaussian at each distance, cut off at the limits of Q."""
    u, cell, symbols = {"Zn": 0.007, "S": 0.010}, ZOOM * atoms.cell.array, atoms.symbols
    last, fine = r[-1] + 8.0, np.arange(0.0, r[-1] + 8.0, 0.01)
    mean = sum(LENGTHS[s] for s in symbols) / len(atoms)
    steps = np.array(list(product(range(-9, 10), repeat=3))) @ cell
    total = np.zeros(len(fine))
    for i, j in product(range(len(atoms)), repeat=2):
        apart = np.linalg.norm(ZOOM * (atoms.positions[j] - atoms.positions[i]) + steps, axis=1)
        apart = apart[(apart > 0.1) & (apart < last + 1.0)]
        places, times = np.unique(np.round(apart, 5), return_counts=True)
        variance = u[symbols[i]] + u[symbols[j]]
        weight = LENGTHS[symbols[i]] * LENGTHS[symbols[j]] / mean**2 / len(atoms)
        peaks = np.exp(-((fine[:, None] - places) ** 2) / 2 / variance) / places
        total += weight / np.sqrt(2 * np.pi * variance) * (peaks @ times)
    total -= 4 * np.pi * fine * len(atoms) / abs(np.linalg.det(cell))
    total *= np.clip((last - fine) / 6.0, 0.0, 1.0)
    q = np.arange(QMIN, QMAX, 0.01)
    f = 0.01 * np.sin(np.outer(q, fine)) @ total
    return 2 / np.pi * 0.01 * np.sin(np.outer(r, q)) @ f


def systems() -> dict[str, System]:
    """Two of clusters of one size, one of polymorphs."""
    edge = 3.92 / np.sqrt(2)
    lattice = {"latticeconstant": 3.92}
    layers = [edge * np.array([x + 0.5 * (z % 3), y, 0.8165 * z]) for x in range(4)
              for y in range(4) for z in range(4)][:55]  # fmt: skip
    large = {
        "icosahedron": Icosahedron("Pt", 3, **lattice),
        "cuboctahedron": Octahedron("Pt", 5, cutoff=2, **lattice),
        "stack": Atoms("Pt55", positions=layers),
    }
    small = {
        "icosahedron": Icosahedron("Pt", 2, **lattice),
        "cuboctahedron": Octahedron("Pt", 3, cutoff=1, **lattice),
        "decahedron": Decahedron("Pt", 2, 2, 0, **lattice),
    }
    ends = {
        "zincblende": bulk("ZnS", "zincblende", a=5.41),
        "wurtzite": bulk("ZnS", "wurtzite", a=3.82, c=6.26),
        "rocksalt": bulk("ZnS", "rocksalt", a=5.06),
    }
    return {
        "pt55": System(large, cluster, 200, {"u.Pt": 0.006}),
        "pt13": System(small, cluster, 100, {"u.Pt": 0.006}),
        "zns": System(ends, crystal, 250, {"u.Zn": 0.007, "u.S": 0.010}, "neutron"),
    }


def noise(rng: np.random.Generator, count: int) -> Floats:
    """White within Qmax, of unit variance, shape (count,)."""
    size = 4 * count
    waves = np.fft.rfft(rng.normal(size=size))
    waves[2 * np.pi * np.fft.rfftfreq(size, STEP) > QMAX] = 0.0
    values = np.fft.irfft(waves, n=size)[:count]
    return np.asarray(values / values.std())


def measure(name: str, system: System, draws: int, relative: float) -> None:
    """Print how often each parameter's interval and the set of rivals hold the truth."""
    axes = (Axis("r", "Å", STEP, FIRST),)
    model = Pdf(axes=axes, shape=(system.count,), qmin=QMIN, qmax=QMAX, radiation=system.radiation)
    r = FIRST + STEP * np.arange(system.count)
    damped = np.exp(-((QDAMP * r) ** 2) / 2)
    curves = {shape: damped * system.plant(atoms, r) for shape, atoms in system.shapes.items()}
    true = {**system.u, "zoom": ZOOM, "qdamp": QDAMP}
    free = {**dict.fromkeys(system.u, (5e-4, 0.1)), "delta2": (0.0, 5.0),
            "zoom": (0.95, 1.05), "qdamp": (0.0, 0.15)}  # fmt: skip
    held, kept, sizes = dict.fromkeys(true, 0), 0, 0
    for draw in range(draws):
        truth = list(curves)[draw % len(curves)]
        spread = relative * curves[truth].std()
        values = curves[truth] + spread * noise(np.random.default_rng(draw), system.count)
        channel = Channel("g", Signal(values.astype(np.float32), axes), model, {"rw": Rw()},
                          free, "least-squares")  # fmt: skip
        costs, rests = {}, {}
        for shape, atoms in system.shapes.items():
            result = fit(channel, atoms, start={}, max_evaluations=150)
            seen = see(channel, atoms, result.parameters)
            costs[shape], rests[shape] = result.scores["rw"].cost, seen.placed.residual
            if shape == truth:
                errors = intervals(seen, free)
                for key, value in true.items():
                    held[key] += abs(result.parameters[key] - value) < 1.96 * errors[key]
        best = min(costs, key=lambda shape: costs[shape])
        count = rests[best].size / correlation_time(rests[best])
        rivals = [shape for shape, cost in costs.items()
                  if count * ((cost / costs[best]) ** 2 - 1.0) <= REFUTED]  # fmt: skip
        kept += truth in rivals
        sizes += len(rivals)
    intervals_held = ", ".join(f"{key} {count}" for key, count in held.items())
    print(
        f"{name}, noise {relative:.0%}, of {draws}: 95 % intervals hold {intervals_held}; the set "
        f"of rivals {kept}, {sizes / draws:.2f} structures in it",
        flush=True,
    )


def main() -> None:
    """A line per system and noise."""
    known = systems()
    parser = argparse.ArgumentParser()
    parser.add_argument("draws", type=int, nargs="?", default=40)
    parser.add_argument("--systems", nargs="+", choices=known, default=list(known))
    parser.add_argument("--noise", type=float, nargs="+", default=[0.1, 0.5, 1.5],
                        help="of the signal's deviation")  # fmt: skip
    asked = parser.parse_args()
    for name in asked.systems:
        for relative in asked.noise:
            measure(name, known[name], asked.draws, relative)


if __name__ == "__main__":
    main()
