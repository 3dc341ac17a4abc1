"""Closed cages in which every atom has three neighbors, in units of their distance: fullerenes.

The atoms are the corners of the dual of a triangulated sphere, whose points repel each other, so
that their neighbors number five or six nearly always (Thomson's problem; T. Erber & G. M. Hockney,
J. Phys. A 24, L1369 (1991)); the dual of one such arrangement after the other is one isomer after
the other (P. W. Fowler & D. E. Manolopoulos, *An Atlas of Fullerenes* (1995)).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import ConvexHull, QhullError

from htinvert.core import Floats

FEWEST = 20  # atoms of the smallest cage without triangles or squares, the dodecahedron
STEPS = 400  # of the repelling points
ANGLE = np.sqrt(3.0)  # distance of second neighbors, where angles are 120 degrees


def cage(count: int, rng: np.random.Generator) -> Floats | None:
    """One cage of so many atoms, shape (count, 3), its middle in the origin.

    None where there is none: for an odd number, for fewer than 20, or for this draw.
    """
    if count % 2 or count < FEWEST:
        return None
    faces = _repelled(rng.normal(size=(count // 2 + 2, 3)))
    try:
        triangles = ConvexHull(faces).simplices
    except QhullError:
        return None
    if len(triangles) != count:
        return None
    bonds = _bonds(triangles)
    corners = faces[triangles].mean(axis=1)
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    length = np.linalg.norm(corners[bonds[:, 0]] - corners[bonds[:, 1]], axis=1).mean()
    return _even(corners / length, bonds)


def _repelled(points: Floats) -> Floats:
    """Points on the unit sphere at a minimum of the sum of their inverse distances."""
    upper = np.triu_indices(len(points), 1)

    def energy(flat: Floats) -> tuple[float, Floats]:
        free = flat.reshape(-1, 3)
        radii = np.linalg.norm(free, axis=1, keepdims=True)
        unit = free / radii
        gaps = unit[:, None] - unit
        apart = np.linalg.norm(gaps, axis=-1)
        np.fill_diagonal(apart, np.inf)
        slope = -(gaps / apart[..., None] ** 3).sum(axis=1)
        slope = (slope - (slope * unit).sum(axis=1, keepdims=True) * unit) / radii
        return float((1.0 / apart[upper]).sum()), slope.ravel()

    found = minimize(energy, points.ravel(), jac=True, method="L-BFGS-B",
                     options={"maxiter": STEPS}).x.reshape(-1, 3)  # fmt: skip
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _bonds(triangles: np.ndarray) -> np.ndarray:
    """Triangles that share an edge, as pairs of their numbers, shape (bonds, 2)."""
    edges: dict[frozenset[int], list[int]] = {}
    for number, triangle in enumerate(triangles):
        for edge in combinations(map(int, triangle), 2):
            edges.setdefault(frozenset(edge), []).append(number)
    return np.array(sorted(edges.values()))


def _even(corners: Floats, bonds: np.ndarray) -> Floats:
    """Corners after springs along bonds, and weaker ones between second neighbors, have relaxed."""
    near: list[list[int]] = [[] for _ in corners]
    for a, b in bonds:
        near[a].append(int(b))
        near[b].append(int(a))
    second = sorted({tuple(sorted(pair)) for some in near for pair in combinations(some, 2)})
    ends = np.concatenate([bonds, np.array(second)])
    lengths = np.repeat([1.0, ANGLE], [len(bonds), len(second)])
    stiff = np.repeat([1.0, 0.1], [len(bonds), len(second)])

    def energy(flat: Floats) -> tuple[float, Floats]:
        free = flat.reshape(-1, 3)
        gaps = free[ends[:, 0]] - free[ends[:, 1]]
        apart = np.linalg.norm(gaps, axis=1)
        force = (stiff * (apart - lengths) / apart)[:, None] * gaps
        slope = np.zeros_like(free)
        np.add.at(slope, ends[:, 0], 2 * force)
        np.add.at(slope, ends[:, 1], -2 * force)
        return float((stiff * (apart - lengths) ** 2).sum()), slope.ravel()

    found = minimize(energy, corners.ravel(), jac=True, method="L-BFGS-B",
                     options={"maxiter": STEPS}).x.reshape(-1, 3)  # fmt: skip
    return np.asarray(found - found.mean(axis=0))
