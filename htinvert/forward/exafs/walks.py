"""Ways of the photoelectron by two atoms: double and triple scattering, and through the absorber.

Every one follows from a triangle of absorber and two atoms: from the lengths of two of its legs and
the turn between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats
from htinvert.forward.pdf.pairs import images

MOST_PAIRS = 2_000_000  # of atoms that are looked at together
ALIKE = (0.04, 0.04, 4.0, 0.01)  # legs [Å], turn [degrees], length [Å]: walks that become one


class Way(NamedTuple):
    """A sort of way among three points, from the first over the second to the third.

    Attributes:
        absorber: which of the points that is.
        route: of the points, from the absorber back to it.
        closed: whether the way from the third point to the first is gone, too.
    """

    absorber: int
    route: tuple[int, ...]
    closed: bool


WAYS = (
    Way(0, (1, 2, 0), closed=True),
    Way(0, (1, 2, 1, 0), closed=False),
    Way(1, (0, 1, 2, 1), closed=False),
)
DOUBLE, TRIPLE, THROUGH = range(len(WAYS))


@dataclass(frozen=True, eq=False)
class Walks:
    """n ways.

    Attributes:
        kind: place in ``WAYS``, shape (n,).
        first: atomic number of the first atom that is met, shape (n,).
        second: of the other one, shape (n,).
        leg: from the first point to the second [Å], shape (n,).
        next: from the second to the third [Å], shape (n,).
        turn: between the two [degrees], shape (n,).
        length: half of the whole way [Å], shape (n,).
        count: how many there are per absorber, shape (n,).
    """

    kind: NDArray[np.intp]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    leg: Floats
    next: Floats
    turn: Floats
    length: Floats
    count: Floats

    def __len__(self) -> int:
        return len(self.length)

    @classmethod
    def stacked(cls, parts: Sequence[Walks]) -> Walks:
        """Those of all parts."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def at(self, places: Any) -> Walks:
        """Those of some places, or of a mask."""
        return Walks(*(getattr(self, field.name)[places] for field in fields(self)))

    def alike(self) -> Walks:
        """Those that differ by less than ``ALIKE`` as one, with their mean lengths and turn."""
        mark = self.kind.astype(np.int64)
        for number in (self.first, self.second):
            mark = 128 * mark + number
        for values, step in zip((self.leg, self.next, self.turn, self.length), ALIKE, strict=True):
            mark = 2048 * mark + np.floor(values / step + 0.5).astype(np.int64)
        _, at, group = np.unique(mark, return_index=True, return_inverse=True)
        count: Floats = np.asarray(np.bincount(group, self.count), dtype=float)
        leg, following, turn, length = (
            np.bincount(group, self.count * values) / count
            for values in (self.leg, self.next, self.turn, self.length)
        )
        return Walks(
            self.kind[at], self.first[at], self.second[at], leg, following, turn, length, count
        )


def walks(atoms: Atoms, number: int, reach: float) -> Walks:
    """All of the average absorber of this atomic number, half of which is at most ``reach`` [Å]."""
    points, owners = images(atoms, reach)
    absorbers = np.flatnonzero(atoms.numbers == number)
    tree = cKDTree(points)
    most = int(tree.query_ball_point(points[absorbers], reach, return_length=True).max())
    if most < 2:
        return _of_triangles(np.zeros((3, 0)), (absorbers[:0], absorbers[:0]), reach, 1)
    # nearest first, the absorber itself left out; what is out of reach is infinitely far
    far, near = tree.query(points[absorbers], most, distance_upper_bound=reach)
    far, near = far[:, 1:], np.where(np.isfinite(far), near, 0)[:, 1:]
    each = max(MOST_PAIRS // most**2, 1)
    found = [_triangles(points, far[start : start + each], near[start : start + each], reach)
             for start in range(0, len(absorbers), each)]  # fmt: skip
    sides = np.concatenate([sides for sides, _ in found], axis=1)
    one, other = atoms.numbers[owners[np.concatenate([ends for _, ends in found], axis=1)]]
    return _of_triangles(sides, (one, other), reach, len(absorbers))


def _triangles(
    points: Floats, far: Floats, near: NDArray[np.intp], reach: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Of each two atoms around absorbers: distances [Å] of nearer, farther, between them; which.

    Each atom with itself, too; shapes (3, n) and (2, n).
    """
    i, j = np.triu_indices(far.shape[1])
    who, pair = np.nonzero(far[:, i] + far[:, j] <= 2.0 * reach)
    i, j = i[pair], j[pair]
    ends = np.stack([near[who, i], near[who, j]])
    between = np.linalg.norm(points[ends[0]] - points[ends[1]], axis=1)
    sides = np.stack([far[who, i], far[who, j], between])
    keep = sides.sum(axis=0) <= 2.0 * reach
    return sides[:, keep], ends[:, keep]


def _of_triangles(
    sides: Floats,
    numbers: tuple[NDArray[np.intp], NDArray[np.intp]],
    reach: float,
    absorbers: int,
) -> Walks:
    """Ways along triangles whose sides are absorber to nearer, to farther, nearer to farther."""
    (a, b, c), (near, far) = sides, numbers
    two, parts = c > 0.0, []
    for kind, first, second, legs, length, many in (
        (DOUBLE, near, far, (a, c, b), (a + b + c) / 2.0, 2.0),
        (TRIPLE, near, far, (a, c, b), a + c, 1.0),
        (TRIPLE, far, near, (b, c, a), b + c, 1.0),
        (THROUGH, near, far, (a, b, c), a + b, 2.0),
    ):
        keep = (length <= reach) & (two | (kind == THROUGH))
        leg, following, closing = (side[keep] for side in legs)
        cosine = (closing**2 - leg**2 - following**2) / (2.0 * leg * following)
        parts.append(
            Walks(
                np.full(len(leg), kind),
                first[keep],
                second[keep],
                leg,
                following,
                np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))),
                length[keep],
                np.where(two[keep], many, 1.0) / absorbers,
            )
        )
    return Walks.stacked(parts)
