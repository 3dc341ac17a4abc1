"""Interactions of made-up alloys: what is found, with and without misclassified columns.

python benchmarks/hamiltonian.py [draws [text]]     some twenty minutes; rows that hold the text

Alloys come from a heat bath of this script: sites that do not interact are drawn together, in the
colors (i + 3 j) mod 6 of the hexagonal lattice and (2 i + j) mod 4 of blocks of the square one.
Images are parts of a larger periodic cell, so their edges are free.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from htinvert.statistics.hamiltonian import hamiltonian
from htinvert.statistics.lattice import make_occupations

BONDS = {
    "square": ([(0, 1), (1, 0)], [(1, 1), (1, -1)]),
    "hexagonal": ([(0, 1), (1, 0), (1, -1)], [(1, 1), (2, -1), (1, -2)]),
}
CLUSTERS = {  # the other members, around a site
    "triangle": [((0, 1), (1, 0)), ((1, 0), (1, -1)), ((1, -1), (0, -1)),
                 ((0, -1), (-1, 0)), ((-1, 0), (-1, 1)), ((-1, 1), (0, 1))],
    "square": [((a, 0), (0, b), (a, b)) for a in (-1, 1) for b in (-1, 1)],
}  # fmt: skip
TRUE = {"square": (0.2, -0.1), "hexagonal": (-0.15, 0.05)}
LARGER = {"": 0.0, "triangle": 0.06, "square": 0.1}
RATES = (0.0, 0.01, 0.05, 0.1, 0.2)
CASES = [(lattice, 64, rate, "") for lattice in BONDS for rate in RATES]
CASES += [(lattice, 128, rate, "") for lattice in BONDS for rate in (0.0, 0.05, 0.2)]
CASES += [("hexagonal", 256, 0.1, ""), ("hexagonal", 512, 0.1, "")]
CASES += [("hexagonal", 64, rate, "triangle") for rate in (0.0, 0.05)]
CASES += [("square", 64, rate, "square") for rate in (0.0, 0.05)]


def sweep(spins: np.ndarray, lattice: str, cluster: str, rng: np.random.Generator) -> None:
    """Draw every spin anew, in place."""
    i, j = np.indices(spins.shape)
    color = (i % 2) * 2 + j % 2 if lattice == "square" else (i + 3 * j) % 6
    for which in range(int(color.max()) + 1):
        field = np.zeros(spins.shape, dtype=np.float32)
        for strength, bonds in zip(TRUE[lattice], BONDS[lattice], strict=True):
            for a, b in bonds:
                both = np.roll(spins, (a, b), (0, 1)) + np.roll(spins, (-a, -b), (0, 1))
                field += np.float32(strength) * both
        for others in CLUSTERS.get(cluster, []):
            rolled = [np.roll(spins, (-a, -b), (0, 1)) for a, b in others]
            field += np.float32(LARGER[cluster]) * np.prod(rolled, axis=0)
        up = rng.random(spins.shape, dtype=np.float32) < 1 / (1 + np.exp(-2 * field))
        mine = color == which
        spins[mine] = np.where(up, 1, -1)[mine]


def row(lattice: str, side: int, rate: float, cluster: str, draws: int) -> str:
    """What `draws` images of `side` x `side` sites say."""
    rng = np.random.default_rng([side, round(1000 * rate)])
    size = side + 12
    size += -size % 6  # so that colors close
    spins = rng.choice(np.array([-1, 1], dtype=np.int8), (size, size))
    for _ in range(60):
        sweep(spins, lattice, cluster, rng)
    said = []
    product = 0.0
    for draw in range(draws):
        for _ in range(8):
            sweep(spins, lattice, cluster, rng)
        wrong = rng.random(spins.shape) < rate
        seen = np.where(wrong, -spins, spins)[:side, :side]
        start = time.process_time()
        found = hamiltonian(
            [make_occupations((seen + 1) // 2, lattice)], rates=(rate, rate), seed=draw,
            larger=[cluster] if cluster else [],
        )  # fmt: skip
        product += time.process_time() - start
        true = [*TRUE[lattice], *([LARGER[cluster]] if cluster else [])]
        held = np.abs(found.couplings - true) < 2 * found.errors
        said.append((found.couplings, found.errors, held, found.uncorrected))
    v = np.array(said, dtype=float)
    mean, spread = v.mean(axis=0), v.std(axis=0)[0]
    cells = [f"{mean[0, k]:.4f} ({spread[k]:.4f}, {mean[1, k]:.4f}) | {100 * mean[2, k]:.0f} %"
             for k in range(len(spread))]  # fmt: skip
    cells.append(", ".join(f"{value:.4f}" for value in mean[3]))
    what = f"{lattice} {cluster}".strip()
    return f"| {what} | {side} | {100 * rate:g} % | {' | '.join(cells)} | {product / draws:.1f} |"


def main() -> None:
    """Print a row per case."""
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    text = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"true J: {TRUE}, {LARGER}")
    print(f"in parentheses: standard deviation of {draws} draws, mean error stated")
    print("| lattice | sites along | wrong | J1 | 2 errors hold | J2 | 2 errors hold | uncorrected "
          "| CPU-s |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for case in CASES:
        if text in " ".join(map(str, case)):
            print(row(*case, draws), flush=True)


if __name__ == "__main__":
    main()
