"""The nearest of very many fingerprints, found without comparing with each, of a few bytes each.

Distances of unit vectors are bounded from both sides by those of their codes: an orthogonal
projection on the slow cosines of every pair of elements, which hold most of a smeared
distribution, and what is left of the length. A search is best first in k-d trees of the directions
in which the codes differ most; trees of like size are merged as their number grows (Bentley & Saxe,
J. Algorithms 1, 301 (1980)), so that adding costs little and a lookup looks at few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from scipy.spatial import cKDTree

from htinvert.geometry.fingerprint import SIZE as STRETCH

CODE = 48  # numbers that a fingerprint is boiled down to, two bytes each
FULL = 32767  # of a coordinate 1
ERROR = np.sqrt(CODE) * 0.5 / FULL  # of a code's distance, by rounding
TAIL = 2048  # fingerprints that are looked at one by one before a tree is made of them
DIMENSIONS = 8  # of a tree
SAMPLE = 4096  # codes that a tree's directions are drawn from
FEW = 32  # neighbors that a tree is asked for at first
MANY = 2048  # and from which on all of its rows are looked at, which then takes less time
SLACK = 1e-9  # of a difference: rounding of double precision, generously

Codes = NDArray[np.int16]


def code(vector: NDArray[np.float64]) -> Codes:
    """A fingerprint as a few numbers, shape (CODE,)."""
    return np.rint(FULL * (vector @ _cosines(len(vector)))).astype(np.int16)


@cache
def _cosines(length: int) -> NDArray[np.float64]:
    """Orthonormal columns that a fingerprint of this many numbers is projected on."""
    stretch = STRETCH if length % STRETCH == 0 else length
    pairs = length // stretch
    basis = dct(np.eye(stretch), norm="ortho", axis=0)
    columns = np.zeros((length, CODE))
    places = [(order, pair) for order in range(stretch) for pair in range(pairs)]
    for column, (order, pair) in enumerate(places[:CODE]):
        columns[pair * stretch : (pair + 1) * stretch, column] = basis[order]
    return columns


@dataclass(frozen=True, eq=False)
class Near:
    """Fingerprints that may be among the nearest: numbers, least and largest difference."""

    numbers: NDArray[np.int64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]


class NearestFingerprints:
    """Codes of fingerprints by number, searched for the nearest ones."""

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}  # by length of the fingerprint

    def add(self, vector: NDArray[np.float64], number: int) -> None:
        """Remember a fingerprint under a number."""
        self.add_code(len(vector), code(vector), number)

    def add_code(self, length: int, codes: Codes, number: int) -> None:
        """Remember a fingerprint of this length by its code, shape (CODE,), under a number."""
        self._table(length).add(codes[None], np.array([number]))

    def add_codes(
        self, lengths: NDArray[np.integer], codes: Codes, numbers: NDArray[np.integer]
    ) -> None:
        """Remember fingerprints by their lengths, shape (n,), codes, (n, CODE), and numbers."""
        for length in np.unique(lengths):
            some = lengths == length
            self._table(int(length)).add(codes[some], numbers[some])

    def _table(self, length: int) -> _Table:
        if length not in self._tables:
            self._tables[length] = _Table()
        return self._tables[length]

    def near(self, vector: NDArray[np.float64], *, within: float, count: int) -> Near:
        """All that may be among the ``count`` nearest of less difference than ``within``."""
        table = self._tables.get(len(vector))
        if table is None:
            return Near(np.empty(0, np.int64), np.empty(0), np.empty(0))
        return table.near(vector @ _cosines(len(vector)), within=within, count=count)


@dataclass(frozen=True, eq=False)
class _Tree:
    """Rows from start to stop of a table, in the directions in which they differ most."""

    start: int
    stop: int
    directions: NDArray[np.float64]
    tree: cKDTree
    squares: NDArray[np.float64]  # of the codes' lengths

    @classmethod
    def of(cls, codes: Codes, start: int, stop: int) -> Self:
        """Make one of some rows of a table of codes."""
        some = codes[start : stop : max(1, (stop - start) // SAMPLE)] / FULL
        _, vectors = np.linalg.eigh(np.cov(some.T))
        directions = vectors[:, -DIMENSIONS:]
        points, squares = np.empty((stop - start, DIMENSIONS)), np.empty(stop - start)
        for first in range(0, stop - start, SAMPLE):
            part = codes[start + first : min(start + first + SAMPLE, stop)] / FULL
            points[first : first + len(part)] = part @ directions
            squares[first : first + len(part)] = (part**2).sum(axis=1)
        tree = cKDTree(points, leafsize=32, balanced_tree=False, compact_nodes=False)
        return cls(start, stop, directions, tree, squares)


class _Table:
    """Codes of fingerprints of one length."""

    def __init__(self) -> None:
        self._codes = np.empty((16, CODE), np.int16)
        self._numbers = np.empty(16, np.int64)
        self._count = 0
        self._trees: list[_Tree] = []
        self._tail = _Plain(0)  # those that are in no tree

    def add(self, codes: Codes, numbers: NDArray[np.integer]) -> None:
        """Remember some, in order."""
        need = self._count + len(codes)
        if need > len(self._codes):
            room = max(need, 2 * len(self._codes))
            self._codes = larger(self._codes, room, self._count)
            self._numbers = larger(self._numbers, room, self._count)
        self._codes[self._count : need] = codes
        self._numbers[self._count : need] = numbers
        self._count = need

    def near(self, own: NDArray[np.float64], *, within: float, count: int) -> Near:
        """All that may be among the ``count`` nearest of less difference than ``within``."""
        self._grow()
        asked = _Asked(own, float(own @ own), float(_rest(np.linalg.norm(own))))
        self._tail.extend(self._codes[self._tail.stop : self._count])
        found = self._tail.near(asked, within).below(within, count)
        for tree in self._trees:
            found = self._search(tree, asked, found, within=within, count=count)
        return Near(self._numbers[found.rows], found.least, found.most)

    def _search(
        self, tree: _Tree, asked: _Asked, found: _Bounds, *, within: float, count: int
    ) -> _Bounds:
        """What was found before, and what is in a tree, of what may be among the nearest."""
        point, size, best = asked.own @ tree.directions, tree.stop - tree.start, found
        many = min(FEW, size)
        while True:
            reach = _reach(best.limit(within, count))
            if many > MANY:
                more = self._plainly(tree, asked, reach)
                return _Bounds.joined([found, more]).below(within, count)
            apart, rows = tree.tree.query(point, k=many, distance_upper_bound=reach)
            rows = np.atleast_1d(rows)[np.isfinite(np.atleast_1d(apart))]  # anew: ties may swap
            rows += tree.start
            more = _Bounds.of(self._codes[rows] / FULL, rows, asked)
            best = _Bounds.joined([found, more]).below(within, count)
            if len(rows) < many or many == size:
                return best
            many = min(8 * many, size)

    def _plainly(self, tree: _Tree, asked: _Asked, reach: float) -> _Bounds:
        """What of a tree's rows lies within reach, by looking at each."""
        far, parts = reach**2 - asked.square + SLACK, [_Bounds.none()]
        for first in range(tree.start, tree.stop, SAMPLE):
            last = min(first + SAMPLE, tree.stop)
            product = self._codes[first:last].astype(float) @ asked.own
            squares = tree.squares[first - tree.start : last - tree.start]
            rows = np.flatnonzero(squares - 2.0 / FULL * product < far) + first
            parts.append(_Bounds.of(self._codes[rows] / FULL, rows, asked))
        return _Bounds.joined(parts)

    def _grow(self) -> None:
        """Make trees of what has been added, and one of several that are not larger."""
        start = self._trees[-1].stop if self._trees else 0
        if self._count - start < TAIL:
            return
        while self._trees and self._trees[-1].stop - self._trees[-1].start <= self._count - start:
            start = self._trees.pop().start
        self._trees.append(_Tree.of(self._codes, start, self._count))
        self._tail = _Plain(self._count)


@dataclass(frozen=True, eq=False)
class _Asked:
    """The projection of what is looked for, its square, and what a unit vector has besides."""

    own: NDArray[np.float64]
    square: float
    rest: float


class _Plain:
    """Rows of a table from ``start`` on, compared with all at once."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._values = np.empty((0, CODE))
        self._squares = np.empty(0)
        self._count = 0

    @property
    def stop(self) -> int:
        """The row after the last."""
        return self._start + self._count

    def extend(self, codes: Codes) -> None:
        """Have the rows that follow, too."""
        if not len(codes):
            return
        need = self._count + len(codes)
        if need > len(self._values):
            room = max(need, 2 * len(self._values))
            self._values = larger(self._values, room, self._count)
            self._squares = larger(self._squares, room, self._count)
        values = codes / FULL
        self._values[self._count : need] = values
        self._squares[self._count : need] = (values**2).sum(axis=1)
        self._count = need

    def near(self, asked: _Asked, within: float) -> _Bounds:
        """Those that may differ by less than ``within``."""
        return self.reached(asked, _reach(within))

    def reached(self, asked: _Asked, reach: float) -> _Bounds:
        """Those whose codes are not farther off."""
        apart = self._squares[: self._count] - 2.0 * (self._values[: self._count] @ asked.own)
        rows = np.flatnonzero(apart < reach**2 - asked.square + SLACK)
        return _Bounds.of(self._values[rows], rows + self._start, asked)


def _reach(within: float) -> float:
    """How far codes may be apart of fingerprints that differ by less."""
    return float(np.sqrt(2.0 * (within + SLACK)) + ERROR + SLACK)


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Least and largest difference of some rows of a table."""

    rows: NDArray[np.int64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]

    @classmethod
    def none(cls) -> Self:
        """Of no row."""
        return cls(np.empty(0, np.int64), np.empty(0), np.empty(0))

    @classmethod
    def of(cls, values: NDArray[np.float64], rows: NDArray[np.int64], asked: _Asked) -> Self:
        """Of codes, the squares of whose rest is what a unit vector lacks."""
        if not len(rows):
            return cls.none()
        lengths = np.sqrt((values**2).sum(axis=1))
        apart = np.sqrt(((values - asked.own) ** 2).sum(axis=1))
        low, high = _rest(lengths + ERROR), _rest(np.maximum(0.0, lengths - ERROR))
        gap = np.maximum(0.0, np.maximum(asked.rest - high, low - asked.rest))
        least = (np.maximum(0.0, apart - ERROR) ** 2 + gap**2) / 2.0 - SLACK
        most = ((apart + ERROR) ** 2 + (high + asked.rest) ** 2) / 2.0 + SLACK
        return cls(rows, least, most)

    def limit(self, within: float, count: int) -> float:
        """Difference above which nothing is among the ``count`` nearest."""
        if len(self.most) < count:
            return within
        return min(within, float(np.partition(self.most, count - 1)[count - 1]))

    def below(self, within: float, count: int) -> _Bounds:
        """Those that may be among the ``count`` nearest."""
        if not len(self.rows):
            return self
        some = self.least <= self.limit(within, count) + SLACK
        return _Bounds(self.rows[some], self.least[some], self.most[some])

    @classmethod
    def joined(cls, parts: Sequence[_Bounds]) -> Self:
        """All of them."""
        return cls(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.least for part in parts]),
            np.concatenate([part.most for part in parts]),
        )


def _rest(lengths: NDArray[np.float64] | np.floating[Any]) -> NDArray[np.float64]:
    """What is left of unit vectors of which parts of these lengths are known."""
    return np.asarray(np.sqrt(np.maximum(0.0, 1.0 - lengths**2)))


def larger(table: NDArray[Any], room: int, count: int) -> NDArray[Any]:
    """The same table with more room; what is not used yet takes no memory."""
    made = np.empty((room, *table.shape[1:]), table.dtype)
    made[:count] = table[:count]
    return made
