"""Crossover: a child of two parents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from htinvert.core import Infeasible, Space
from htinvert.generators.operators.legal import attempt, host_of, is_free_cluster, mend, region_of
from htinvert.geometry.heights import rising
from htinvert.geometry.roles import region_mask

Part = Callable[[Atoms], NDArray[np.bool_]]


def cut_and_splice(
    mother: Atoms, father: Atoms, *, space: Space, rng: np.random.Generator
) -> Atoms:
    """Join a part of one region with the complementary part of another, then mend composition.

    Deaven & Ho, Phys. Rev. Lett. 75, 288 (1995). In a periodic plane the part is a strip, at a
    random place and of a random width, along a random in-plane cell vector; in a cluster it is a
    half space, and both parents of a free cluster are turned at random first and cut at the height
    that leaves their number of atoms as it was. The host, and so the place of a rigid grain, is the
    mother's.
    """
    if not region_mask(mother).any() and not region_mask(father).any():
        raise Infeasible("the regions of both parents are empty")
    if is_free_cluster(space):
        return _cut_clusters(mother, father, space=space, rng=rng)
    ours, theirs = region_of(mother), region_of(father)

    def make() -> Atoms:
        inside = _part(mother, space, rng)
        child = host_of(mother) + ours[inside(ours)] + theirs[~inside(theirs)]
        return mend(child, space=space, rng=rng)

    return attempt(make, space, what="cut_and_splice")


def _cut_clusters(mother: Atoms, father: Atoms, *, space: Space, rng: np.random.Generator) -> Atoms:
    """The upper part of one turned cluster on the lower part of another one."""

    def make() -> Atoms:
        ours, theirs = _turned(mother, rng), _turned(father, rng)
        taken = int(rng.integers(1, max(len(ours), 2)))
        upper = ours[np.argsort(-ours.positions[:, 2])[:taken]]
        rest = max(len(theirs) - taken, 0)
        lower = theirs[np.argsort(theirs.positions[:, 2])[:rest]]
        if len(lower):
            upper.positions[:, 2] += _cut_height(theirs, len(theirs) - rest) - _cut_height(
                ours, taken
            )
        return mend(upper + lower, space=space, rng=rng)

    return attempt(make, space, what="cut_and_splice")


def _turned(cluster: Atoms, rng: np.random.Generator) -> Atoms:
    """A cluster turned at random about its center, which is put to the origin."""
    turned = cluster.copy()
    offsets = cluster.positions - cluster.positions.mean(axis=0)
    turned.positions = Rotation.random(rng=rng).apply(offsets)
    return turned


def _cut_height(cluster: Atoms, taken: int) -> float:
    """Height [Å] of the cut below ``taken`` atoms from the top."""
    heights = np.sort(cluster.positions[:, 2])[::-1]
    return 0.5 * float(heights[max(taken - 1, 0)] + heights[min(taken, len(heights) - 1)])


def _part(mother: Atoms, space: Space, rng: np.random.Generator) -> Part:
    """Make a test, atoms -> mask, for which side of the cut an atom is on."""
    skip = rising(mother, space.region.dimension) if space.region is not None else -1
    axes = [axis for axis in range(3) if mother.pbc[axis] and axis != skip]
    if axes and not (space.region and space.region.box):
        axis, start, width = int(rng.choice(axes)), rng.random(), rng.uniform(0.25, 0.75)
        return lambda part: (_fractions(part, axis) - start) % 1.0 < width
    normal = rng.normal(size=3)
    mask = region_mask(mother)
    center = mother.positions[mask if mask.any() else slice(None)].mean(axis=0)
    return lambda part: (part.positions - center) @ normal < 0.0


def _fractions(part: Atoms, axis: int) -> NDArray[np.float64]:
    return np.asarray(part.cell.scaled_positions(part.positions)[:, axis])
