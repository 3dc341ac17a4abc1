"""A smooth field from scattered values: a plane through the neighbors of each place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats

RIDGE = 1e-3  # of the normal equations' diagonal


def neighbors(places: Floats, count: int) -> NDArray[np.int_]:
    """Indices of the nearest places of each, itself first, shape (n, count)."""
    many = min(count, len(places))
    return np.asarray(cKDTree(places).query(places, k=many)[1]).reshape(len(places), many)


def smooth_field(places: Floats, values: Floats, weights: Floats, near: NDArray[np.int_]) -> Floats:
    """Value at each place of the plane through its neighbors, shape (n,).

    Args:
        places: shape (n, 2).
        values: at the places, shape (n,).
        weights: inverse variances, shape (n,); 0 where a value is not to be used.
        near: from :func:`neighbors`.
    """
    gap = places[near] - places[:, None]
    reach = np.sqrt((gap**2).sum(axis=2).max(axis=1, keepdims=True)) + 1e-12
    design = np.concatenate([np.ones((*near.shape, 1)), gap / reach[..., None]], axis=2)
    w = weights[near] + 1e-12 * weights.max()
    weighted = design * w[..., None]
    normal = np.einsum("nka,nkb->nab", weighted, design)
    normal[:, [1, 2], [1, 2]] += RIDGE * normal[:, :1, 0]
    right = np.einsum("nka,nk->na", weighted, values[near])
    return np.asarray(np.linalg.solve(normal, right[..., None])[:, 0, 0])
