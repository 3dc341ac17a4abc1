"""How a metal's surface pulls its atoms in: clusters relaxed in units of the bulk's bond.

The second-moment model of tight binding: V. Rosato, M. Guillope & B. Legrand, Philos. Mag. A 59,
321 (1989); F. Cleri & V. Rosato, Phys. Rev. B 48, 22 (1993), whose copper it takes for all metals.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.spatial.distance import pdist

from htinvert.core import Floats
from htinvert.generators.operators.motifs import BOND

REPULSION, HOPPING = 10.96, 2.278  # p and q of copper
STEPS, STILL = 25, 5e-3  # of the descent, and the force [hopping per bond] that ends it
AWAY = 0.35  # bonds: who moves farther leaves its motif


def contracted(positions: Floats) -> Floats | None:
    """Positions [bonds of a pair in the bulk], shape (n, 3), in the nearest minimum.

    None where an atom leaves its place, as of motifs that no metal holds.
    """
    start = positions - positions.mean(axis=0)
    found = minimize(
        lambda x: _flat(x.reshape(-1, 3)), start.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": STEPS, "gtol": STILL},
    ).x.reshape(-1, 3)  # fmt: skip
    return found if np.linalg.norm(found - start, axis=1).max() < AWAY else None


def energy_and_forces(positions: Floats) -> tuple[float, Floats]:
    """Of the model [hopping], and on each atom [hopping per bond], shape (n, 3)."""
    vectors = positions[:, None] - positions
    apart = np.sqrt((vectors**2).sum(axis=-1))
    np.fill_diagonal(apart, 1e3)
    repulsion = np.exp(-REPULSION * (apart - 1.0)) * HOPPING / REPULSION / np.sqrt(12.0)
    hopping = np.exp(-2.0 * HOPPING * (apart - 1.0))
    bands = np.sqrt(hopping.sum(axis=1))
    slopes = HOPPING * hopping * (1.0 / bands[:, None] + 1.0 / bands)
    slopes -= 2.0 * REPULSION * repulsion
    forces = -((slopes / apart)[..., None] * vectors).sum(axis=1)
    return float(repulsion.sum() - bands.sum()), np.asarray(forces)


def mean_bond(positions: Floats) -> float:
    """Mean distance between neighbors, in the units of the positions, where bonds are about 1."""
    apart = pdist(positions)
    return float(apart[apart < BOND].mean())


def _flat(positions: Floats) -> tuple[float, Floats]:
    energy, forces = energy_and_forces(positions)
    return energy, -forces.ravel()
