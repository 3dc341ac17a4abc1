"""Clusters with a point group: low minima are more often symmetric than chance would have it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from htinvert.core import REGION_TAG, Space
from htinvert.generators.operators.legal import bare_host, box_center, insert, random_points
from htinvert.geometry.distances import clearance

HIGHEST = 6  # fold of a rotation axis
ORBIT_TRIES = 40  # points drawn for each element
SAME_PLACE = 0.1  # Å
INVERSION = -np.eye(3)
ACROSS = np.diag([1.0, -1.0, -1.0])  # twofold axis along x
HORIZONTAL, VERTICAL = np.diag([1.0, 1.0, -1.0]), np.diag([1.0, -1.0, 1.0])
DIAGONAL = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # threefold, along 111


def point_group(rng: np.random.Generator) -> NDArray[np.float64]:
    """The matrices of a random point group, shape (order, 3, 3).

    An axis of up to :data:`HIGHEST` fold along z, alone or with a second generator: a twofold axis
    across it, a mirror, the inversion or, for two- and fourfold axes, the diagonal of a cube.
    """
    fold = int(rng.integers(1, HIGHEST + 1))
    return _group(fold, int(rng.integers(6 if fold in (2, 4) else 5)))


@cache
def _group(fold: int, choice: int) -> NDArray[np.float64]:
    """The group of an axis and the second generator of this number, shape (order, 3, 3)."""
    generators = [Rotation.from_euler("z", 360.0 / fold, degrees=True).as_matrix()]
    second = (None, ACROSS, HORIZONTAL, VERTICAL, INVERSION, DIAGONAL)[choice]
    if second is not None:
        generators.append(second)
    return closure(generators)


def closure(generators: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The group that some matrices generate, shape (order, 3, 3)."""
    group = [np.eye(3)]
    for member in group:  # grows while it is walked
        for generator in generators:
            product = generator @ member
            if np.abs(np.array(group) - product).max(axis=(1, 2)).min() > 1e-6:
                group.append(product)
    return np.array(group)


def symmetric_cluster(
    counts: Mapping[str, int], *, space: Space, rng: np.random.Generator
) -> Atoms:
    """A random cluster with a random point group; atoms that fill no orbit go where they fit.

    Pickard & Needs, J. Phys.: Condens. Matter 23, 053201 (2011); for the reason see Wales, Chem.
    Phys. Lett. 285, 330 (1998), and for the gain Oakley, Johnston & Wales, Phys. Chem. Chem. Phys.
    15, 3965 (2013).
    """
    group = point_group(rng)
    child = bare_host(space)
    center = box_center(space)
    rest: list[str] = []
    for symbol in rng.permutation(sorted(counts)):
        left = counts[symbol]
        closest = space.min_distance.get(frozenset({str(symbol)}), 0.0)
        points, fewest = _settled(random_points(space, rng)[:ORBIT_TRIES] - center, group, closest)
        at = 0
        while left and at < len(points):
            # What is there has the group's symmetry: where a point is free, all of its images are.
            free = clearance(center + points[at:], str(symbol), child, space.min_distance)
            good = np.flatnonzero(free & (fewest[at:] <= left))
            if not len(good):
                break
            at += int(good[0]) + 1
            places = center + _images(points[at - 1], group)
            if len(places) <= left:
                child += Atoms([symbol] * len(places), places, tags=[REGION_TAG] * len(places))
                left -= len(places)
        rest += [str(symbol)] * left
    return insert(child, rest, space=space, rng=rng) if rest else child


def orbit(
    point: NDArray[np.float64], group: NDArray[np.float64], closest: float
) -> NDArray[np.float64]:
    """The images of a point under a group, shape (images, 3) [Å], none closer than ``closest``.

    A point too close to an axis or a plane is moved onto it, where several images are one.
    """
    return _images(_settled(point[None], group, closest)[0][0], group)


def _settled(
    points: NDArray[np.float64], group: NDArray[np.float64], closest: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Points, shape (m, 3) [Å], moved off the places that are too close to their own images.

    And the fewest images that each may have, shape (m,): the order of the group over the number of
    its members that keep the point.
    """
    points, fewest = points.copy(), np.ones(len(points), np.intp)
    other = np.arange(len(points))
    for _ in range(len(group)):
        images = (points[other] @ group.transpose(0, 2, 1)).swapaxes(0, 1)
        offsets = images - points[other][:, None]
        near = (offsets**2).sum(axis=2) < closest**2
        count = near.sum(axis=1)
        far = (np.abs(offsets).max(axis=2) * near).max(axis=1)
        done = (count == 1) | (far < 1e-9)
        if closest > SAME_PLACE:
            fewest[other[done]] = len(group) // count[done]
        other, images, near = other[~done], images[~done], near[~done]
        if not len(other):
            break
        points[other] = (images * near[:, :, None]).sum(axis=1) / near.sum(axis=1)[:, None]
    return points, fewest


def _images(point: NDArray[np.float64], group: NDArray[np.float64]) -> NDArray[np.float64]:
    """The different images of a point under a group, shape (images, 3) [Å]."""
    images = group @ point
    if len(images) == 1:
        return images
    apart = cdist(images, images) > SAME_PLACE
    chosen: list[int] = []
    for number, far in enumerate(apart):
        if far[chosen].all():
            chosen.append(number)
    return np.asarray(images[chosen])
