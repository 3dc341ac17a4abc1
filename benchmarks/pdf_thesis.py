"""Fit alone overfits, energy plus fit does not: a CdSe particle from starts that are off.

``python benchmarks/pdf_thesis.py [CdSe.xyz CdSe.gr] [--seeds 10] [--picture FILE]``: the published
model with every atom put off by 0.25 Å per axis; then moves of single atoms that lower Rw alone,
relaxations accepted by energy alone, and as many accepted by energy and Rw. Widths and damping are
held at what was fitted to the published model, which favors the fit alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation

from htinvert import plugins
from htinvert.core import Floats
from htinvert.forward.pdf import pairs
from htinvert.forward.pdf.model import Pdf
from htinvert.forward.pdf.weights import pair_weights
from htinvert.signals.curve_file import read_curve
from htinvert.structures.file import from_file

PUBLISHED = {"u": {"Cd": 0.0437, "Se": 0.0176}, "delta2": 5.38, "zoom": 0.9943, "qdamp": 0.060,
             "qmin": 0.95, "qmax": 18.1}  # fmt: skip
DATA = Path(__file__).parents[2] / "shared" / "data" / "cdse-pdf"
ENGINE = {"use": "lammps", "potential": "CdTeZnSeHgS0.sw"}
OFF, STEP = 0.25, 0.1  # Å per axis: of a start, of a move
WEIGHT = 40.0  # eV per unit of Rw
MOVES, RELAXATIONS = 12000, 12
Q_STEP = 0.02  # 1/Å


class FastG:
    """Rw of a cluster whose atoms move one by one: G(r) as a matrix times the histogram."""

    def __init__(self, atoms: Atoms, model: Pdf, observed: Floats, r: Floats) -> None:
        symbols, shares = pairs.composition(atoms)
        q = np.arange(Q_STEP * round(model.qmin / Q_STEP), model.qmax, Q_STEP)
        weights = pair_weights(symbols, shares, "x-ray", model.qmax, Q_STEP, len(q) + 100)
        weights = weights[:, round(q[0] / Q_STEP) :][:, : len(q)]
        d = np.maximum(model.zoom * pairs.BIN * np.arange(4000), 0.2)
        factor = np.maximum(1 - model.delta2 / d**2, 0.02)
        back = (
            2
            / np.pi
            * Q_STEP
            * np.sin(np.outer(r, q))
            * np.exp(-((model.qdamp * r) ** 2) / 2)[:, None]
        )
        matrices = []
        for row, (a, b) in zip(weights, np.transpose(np.triu_indices(len(symbols))), strict=True):
            variance = (model.u[symbols[a]] + model.u[symbols[b]]) * factor
            forth = np.sin(np.outer(q, d)) * np.exp(-0.5 * np.outer(q**2, variance)) / d
            matrices.append(back @ (row[:, None] * forth) / len(atoms))
        self.matrix = np.ascontiguousarray(np.concatenate(matrices, axis=1).T)
        self.observed = observed
        self.kinds, self.table = pairs.kinds_of(atoms)[1], pairs.rows(len(symbols))

    def part(self, positions: Floats, index: int, place: Floats) -> Floats:
        """What the pairs of one atom at a place add to G(r), shape (n,)."""
        others = np.delete(np.arange(len(positions)), index)
        bins = np.linalg.norm(positions[others] - place, axis=1) / pairs.BIN
        row = self.table[self.kinds[index], self.kinds[others]] * 4000
        low = np.minimum(bins.astype(int), 3998)
        share = bins - low
        at = row + low
        return 2 * ((1 - share) @ self.matrix[at] + share @ self.matrix[at + 1])

    def g(self, positions: Floats) -> Floats:
        """G(r) of all pairs, shape (n,)."""
        return 0.5 * sum(self.part(positions, i, positions[i]) for i in range(len(positions)))

    def rw(self, g: Floats) -> float:
        """Rw at the best scale."""
        scale = max(float(self.observed @ g) / float(g @ g), 0.0)
        rest = self.observed - scale * g
        return float(np.sqrt(rest @ rest / (self.observed @ self.observed)))


def distance(atoms: Atoms, truth: Atoms) -> float:
    """Root mean square distance [Å] of equal atoms after the best turn and shift."""
    moved = atoms.copy()
    minimize_rotation_and_translation(truth, moved)
    return float(np.sqrt(((moved.positions - truth.positions) ** 2).sum(axis=1).mean()))


def by_fit(start: Atoms, fast: FastG, *, rng: np.random.Generator, moves: int = MOVES) -> Atoms:
    """Moves of single atoms, kept where Rw falls."""
    positions = start.positions.copy()
    g = fast.g(positions)
    best = fast.rw(g)
    for _ in range(moves):
        i = int(rng.integers(len(positions)))
        to = positions[i] + rng.normal(0.0, STEP, 3)
        trial = g + fast.part(positions, i, to) - fast.part(positions, i, positions[i])
        if (rw := fast.rw(trial)) < best:
            positions[i], g, best = to, trial, rw
    return Atoms(start.symbols, positions)


def by_energy(
    start: Atoms, fast: FastG, engine: Any, *, rng: np.random.Generator, weight: float
) -> Atoms:
    """Relaxations from rattled atoms, kept where energy + weight x Rw falls."""
    found, best = start, np.inf
    for k in range(RELAXATIONS):
        trial = found.copy()
        if k:
            trial.positions += rng.normal(0.0, STEP, trial.positions.shape)
        relaxed = engine(trial)
        cost = relaxed.energy + weight * fast.rw(fast.g(relaxed.atoms.positions))
        if cost < best:
            found, best = relaxed.atoms, cost
    return found


class Row(NamedTuple):
    """Distance [Å] and Rw of the start and of three ends, for one seed."""

    seed: int
    distances: tuple[float, ...]
    costs: tuple[float, ...]


def compare(truth: Atoms, fast: FastG, engine: Any, *, seed: int, moves: int = MOVES) -> Row:
    """One start, three ways: fit alone, energy alone, energy plus fit."""
    rng = np.random.default_rng(seed)
    start = truth.copy()
    start.positions += rng.normal(0.0, OFF, start.positions.shape)
    ends = [start, by_fit(start, fast, rng=np.random.default_rng(seed), moves=moves)]
    for weight in (0.0, WEIGHT):
        rng = np.random.default_rng(seed)
        ends.append(by_energy(start, fast, engine, rng=rng, weight=weight))
    costs = tuple(fast.rw(fast.g(end.positions)) for end in ends)
    return Row(seed, tuple(distance(end, truth) for end in ends), costs)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Rw against the distance from the published model, starts and ends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    looks = (("start", "#888888", "o"), ("fit alone", "#c44e52", "s"),
             ("energy alone", "#c9a227", "D"), ("energy plus fit", "#007c89", "^"))  # fmt: skip
    for k, (name, color, mark) in enumerate(looks):
        x, y = [row.distances[k] for row in rows], [row.costs[k] for row in rows]
        axes.plot(x, y, mark, color=color, label=name, ms=5, mfc="none" if k == 2 else color)
    axes.set_xlabel("distance from the published model [Å rms]")
    axes.set_ylabel("Rw")
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def measured(structure: Path, data: Path) -> tuple[Atoms, FastG]:
    """The published model and its measured G(r), 1.5 to 20 Å at every 0.1 Å."""
    truth = from_file(structure)
    truth.center(vacuum=8.0)
    curve, _ = read_curve(data)
    r = np.arange(1.5, 20.0, 0.1)
    observed = np.interp(r, curve.coordinates(), curve.data.astype(float))
    return truth, FastG(truth, Pdf(**PUBLISHED), observed, r)


def main() -> None:
    """Print a table, draw a picture."""
    parser = argparse.ArgumentParser()
    parser.add_argument("structure", type=Path, nargs="?", default=DATA / "CdSe.xyz")
    parser.add_argument("data", type=Path, nargs="?", default=DATA / "CdSe.gr")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    if not given.data.is_file():
        print(f"no measured G(r) at {given.data}; give a structure and its data")
        return
    truth, fast = measured(given.structure, given.data)
    print(f"published model: Rw {fast.rw(fast.g(truth.positions)):.3f}")
    engine = plugins.build("energy", dict(ENGINE), Path())
    rows = []
    print("seed  distance [Å]: start, fit, energy, both    Rw: start, fit, energy, both")
    for seed in range(1, given.seeds + 1):
        row = compare(truth, fast, engine, seed=seed)
        rows.append(row)
        numbers = "  ".join(f"{value:.3f}" for value in (*row.distances, *row.costs))
        print(f"{seed:4d}  {numbers}", flush=True)
    if given.picture is not None:
        draw(rows, given.picture)


if __name__ == "__main__":
    main()
