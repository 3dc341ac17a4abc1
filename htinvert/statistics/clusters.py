"""Clusters of lattice sites that interact: pairs of each shell, three and four sites together.

What a site feels of a cluster is the product of the other members' spins. So a cluster is kept as
all of its placements around a site, an array (placements, others, 2) of offsets (i, j).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.plugins import suggest
from htinvert.statistics.lattice import LATTICES, shells

Cluster = NDArray[np.int_]
FOLD = {"square": 4, "hexagonal": 6}
MEMBERS = {
    "square": {
        "corner": ((0, 0), (0, 1), (1, 0)),
        "square": ((0, 0), (0, 1), (1, 0), (1, 1)),
    },
    "hexagonal": {
        "triangle": ((0, 0), (0, 1), (1, 0)),
        "rhombus": ((0, 0), (0, 1), (1, 0), (1, -1)),
    },
}
"""Smallest clusters of three and four sites, by lattice and name; offsets (i, j)."""


def clusters(lattice: str, count: int, names: Sequence[str] = ()) -> list[Cluster]:
    """Pairs of the first ``count`` shells, then larger clusters by name.

    Raises:
        UserError: where the lattice has no such shell or cluster, or one is named twice.
    """
    pairs = [shell[:, None] for shell in shells(lattice, count)]
    for name in names:
        if name not in MEMBERS[lattice]:
            known = list(MEMBERS[lattice])
            raise UserError(
                f"cluster {name} of a {lattice} lattice is unknown; {suggest(name, known)}"
            )
    if len(set(names)) < len(names):
        raise UserError(f"clusters {', '.join(names)} are not all different; name each once")
    return [*pairs, *(_placements(MEMBERS[lattice][name], lattice) for name in names)]


def order_of(cluster: Cluster) -> int:
    """How many sites a cluster has: 2 for a pair."""
    return cluster.shape[1] + 1


def reach(interacting: Sequence[Cluster]) -> int:
    """How many rows or columns away the farthest member is."""
    return max(int(np.abs(cluster).max()) for cluster in interacting)


def neighbors(interacting: Sequence[Cluster]) -> NDArray[np.int_]:
    """Offsets (n, 2) of all sites that share some cluster with a site."""
    return np.unique(np.concatenate([c.reshape(-1, 2) for c in interacting]), axis=0)


def around(values: NDArray[np.integer], interacting: Sequence[Cluster]) -> NDArray[np.float32]:
    """What each site feels of each cluster, shape (clusters, i, j); beyond the grid all are 0.

    That is the product of the other members' values (-1, 0 or 1), summed over all placements.
    """
    margin = reach(interacting)
    ny, nx = values.shape
    padded = np.zeros((ny + 2 * margin, nx + 2 * margin), dtype=np.int8)  # sums are small, too
    padded[margin:-margin, margin:-margin] = values
    found = np.zeros((len(interacting), ny, nx), dtype=np.float32)
    for felt, cluster in zip(found, interacting, strict=True):
        total = np.zeros((ny, nx), dtype=np.int8)
        for placement in (margin + cluster).tolist():
            total += math.prod(padded[i : i + ny, j : j + nx] for i, j in placement)
        felt[:] = total
    return found


def _placements(members: Sequence[tuple[int, int]], lattice: str) -> Cluster:
    """All images of a cluster under the lattice's rotations and mirrors that hold the origin."""
    basis = np.array(LATTICES[lattice])
    found: set[tuple[tuple[int, int], ...]] = set()
    for turn in range(FOLD[lattice]):
        angle = 2 * np.pi * turn / FOLD[lattice]
        rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        for mirror in (np.eye(2), np.diag([1.0, -1.0])):
            moved = _indices(np.array(members), basis @ mirror @ rotation, basis)
            for origin in moved:
                others = sorted(map(tuple, (moved - origin).tolist()))
                found.add(tuple(other for other in others if any(other)))
    return np.array(sorted(found))


def _indices(members: NDArray[np.int_], moved: Floats, basis: Floats) -> NDArray[np.int_]:
    """Offsets (i, j) of members after their basis has moved."""
    return np.rint(members[:, ::-1] @ moved @ np.linalg.inv(basis)).astype(int)[:, ::-1]
