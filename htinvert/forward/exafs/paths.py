"""Scattering paths as arrays, and their sum: chi(k) of any number of them at once.

``chi(k) = sum N f(k) / (k (R + dR)^2) exp(-2 R Im p - 2 p^2 s) sin(2 k R + phase + 2 p (dR - 2 s /
R - 2 p^2 c / 3))`` with the complex momentum p of the photoelectron and cumulants s and c, as larch
and IFEFFIT have it: M. Newville, J. Phys.: Conf. Ser. 430, 012007 (2013); J. J. Rehr & R. C.
Albers, Rev. Mod. Phys. 72, 621 (2000).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from htinvert.core import Floats

LEGS = 4  # most of a path
PER_EV = 0.2624682917  # 1/Å² per eV: 2 m / hbar²
BIN = 0.05  # Å: paths of one sort whose lengths differ by less become one
SHELL = 1.25  # times the shortest distance to an element: its first shell
SAME = 0.1  # Å: a path that comes back to an atom, which moves otherwise than two
LEAST = 1e-6  # 1/Å², of k² above the edge


@dataclass(frozen=True, eq=False)
class Paths:
    """n paths on FEFF's grid of m wave numbers.

    Attributes:
        k: wave numbers [1/Å], shape (m,).
        amplitude: effective scattering amplitude [Å], shape (n, m).
        phase: besides 2 k R [rad], shape (n, m).
        momentum: complex, of the photoelectron [1/Å], shape (n, m), or (1, m) if all have it.
        degeneracy: how many of each there are; of an average, per absorber; shape (n,).
        length: half the way there and back [Å], shape (n,).
        norman: average Norman radius [bohr], shape (n,).
        places: of the atoms, the absorber first [Å], shape (n, 4, 3).
        numbers: their atomic numbers, 0 where a path has fewer, shape (n, 4).
    """

    k: Floats
    amplitude: Floats
    phase: Floats
    momentum: NDArray[np.complex128]
    degeneracy: Floats
    length: Floats
    norman: Floats
    places: Floats
    numbers: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.length)

    @property
    def legs(self) -> NDArray[np.intp]:
        """Number of legs of each path, shape (n,)."""
        return np.asarray((self.numbers > 0).sum(axis=1))

    @functools.cached_property
    def sorts(self) -> tuple[str, ...]:
        """``Cu1`` for single scattering in copper's first shell, ``Cu`` beyond it, ``*`` else."""
        nearest = self.nearest
        found = []
        for numbers, legs, length in zip(self.numbers, self.legs, self.length, strict=True):
            symbol = chemical_symbols[numbers[1]]
            first = "1" if length <= SHELL * nearest[symbol] else ""
            found.append(f"{symbol}{first}" if legs == 2 else "*")
        return tuple(found)

    @functools.cached_property
    def nearest(self) -> Mapping[str, float]:
        """Shortest distance [Å] to each element that scatters."""
        found: dict[str, float] = {}
        for number, length in zip(self.numbers[:, 1], self.length, strict=True):
            symbol = chemical_symbols[number]
            found[symbol] = min(float(length), found.get(symbol, np.inf))
        return found

    @functools.cached_property
    def stretch(self) -> Floats:
        """Length of each path above the mean of its first shell [Å], 0 beyond; shape (n,)."""
        sorts, found = np.array(self.sorts), np.zeros(len(self))
        for sort in {sort for sort in self.sorts if sort.endswith("1")}:
            shell = np.flatnonzero(sorts == sort)
            mean = np.average(self.length[shell], weights=self.share[shell])
            found[shell] = self.length[shell] - mean
        return found

    @property
    def share(self) -> Floats:
        """How much each path matters [1/Å], shape (n,)."""
        return np.asarray(np.abs(self.degeneracy) * self.amplitude.max(axis=1) / self.length**2)

    @classmethod
    def stacked(cls, parts: Sequence[Paths], weights: Sequence[float] | None = None) -> Paths:
        """Those of several runs, each with degeneracies times its weight."""
        if weights is None:
            weights = [1.0] * len(parts)
        joined = {
            field.name: np.concatenate([_whole(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in ("k", "degeneracy")
        }
        momentum = joined["momentum"]
        if (momentum == momentum[0]).all():
            joined["momentum"] = momentum[:1]
        degeneracy = np.concatenate(
            [weight * part.degeneracy for part, weight in zip(parts, weights, strict=True)]
        )
        return cls(k=parts[0].k, degeneracy=degeneracy, **joined)

    def at(self, places: NDArray[np.intp]) -> Paths:
        """Those of some places, in that order."""
        arrays: dict[str, Any] = {
            field.name: getattr(self, field.name)[places]
            for field in fields(self)
            if field.name not in ("k", "momentum")
        }
        if len(self.momentum) > 1:
            arrays["momentum"] = self.momentum[places]
        return replace(self, **arrays)

    def merged(self) -> Paths:
        """Far fewer paths of nearly the same sum, as :func:`averaged` makes them."""
        return averaged([self], [1.0])

    @functools.cached_property
    def bundled(self) -> Bundled:
        """Those that are alike added up, for averages over absorbers."""
        marks = self._marks()
        _, first, group = np.unique(marks, return_index=True, return_inverse=True)
        group, count = group.ravel(), len(first)
        share = self.share
        middle = BIN * (np.floor(self.length / BIN) + 0.5)
        excess = (self.length - middle)[:, None]
        size = self.degeneracy[:, None] * self.amplitude * (middle / self.length)[:, None] ** 2
        size *= np.exp(-2.0 * self.length[:, None] * self.momentum.imag)
        angle = (self.phase + 2.0 * excess * self.k).astype(np.float32)  # fast, and right to 1e-6
        turned = size * np.cos(angle) + 1j * (size * np.sin(angle))
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(count))
        return Bundled(
            marks=marks[first],
            sums=np.add.reduceat(turned[order], starts, axis=0),
            share=_added(group, share, count),
            length=_added(group, share * self.length, count),
            norman=_added(group, share * self.norman, count),
            leaders=self.at(_largest(group, share, count)),
        )

    def _marks(self) -> NDArray[np.int64]:
        """Equal for paths that are alike in atoms, shape and length, shape (n,)."""
        ways = self.places - np.roll(self.places, -1, axis=1)
        longest = np.linalg.norm(ways, axis=2).max(axis=1) / self.length
        marks = np.floor(self.length / BIN).astype(np.int64)
        marks = 64 * marks + np.floor(longest * 20.0 + 0.01).astype(np.int64)
        for one, other in ((1, 3), (0, 2)):
            apart = np.abs(self.places[:, one] - self.places[:, other]).max(axis=1)
            marks = 2 * marks + (apart < SAME)
        for numbers in np.sort(self.numbers[:, 1:], axis=1).T:
            marks = 128 * marks + numbers
        return marks


@dataclass(frozen=True, eq=False)
class Bundled:
    """Paths of one absorber in g groups of like ones.

    Attributes:
        marks: equal for like groups, also of other absorbers, shape (g,).
        sums: complex amplitudes at the middle of the bin of length [Å], less what the electrons
            lose on their ways in potentials of their own, shape (g, m).
        share: how much the paths matter, shape (g,).
        length: the sum of theirs times that [Å], shape (g,).
        norman: the sum of Norman radii times that [bohr], shape (g,).
        leaders: of each group the path that matters most.
    """

    marks: NDArray[np.int64]
    sums: NDArray[np.complex128]
    share: Floats
    length: Floats
    norman: Floats
    leaders: Paths


def averaged(parts: Sequence[Paths], weights: Sequence[float]) -> Paths:
    """Paths of absorbers with weights, those alike in atoms, shape and length added up as one.

    Complex amplitudes are added as they are, each with the phase of its length in excess of the
    group's, so that nothing is lost at the parameters of FEFF.
    """
    some = [part.bundled for part in parts]
    owner = np.repeat(np.arange(len(some)), [len(one.marks) for one in some])
    weight = np.asarray(weights, dtype=float)[owner]
    _, group = np.unique(np.concatenate([one.marks for one in some]), return_inverse=True)
    group, count = group.ravel(), int(group.max()) + 1
    share = weight * np.concatenate([one.share for one in some])
    mean, norman = (
        _added(group, weight * np.concatenate(values), count) / _added(group, share, count)
        for values in ([one.length for one in some], [one.norman for one in some])
    )
    leader = _largest(group, share, count)
    led = _gathered(some, owner, leader)
    middle = BIN * (np.floor(led.length / BIN) + 0.5)
    excess = (middle - mean)[:, None]
    turn = -led.phase + 2.0 * excess * led.k
    sums = np.zeros((count, len(led.k)), dtype=complex)
    for which, one in enumerate(some):  # of one absorber each group is there but once
        sums[group[owner == which]] += weights[which] * one.sums
    sums *= np.exp(1j * turn)
    size = (mean / middle)[:, None] ** 2 * np.exp(2.0 * mean[:, None] * led.momentum.imag)
    return replace(
        led,
        amplitude=size * np.abs(sums),
        phase=led.phase + np.unwrap(np.angle(sums), axis=1),
        degeneracy=np.ones(count),
        length=mean,
        norman=norman,
    )


def _added(group: NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Sum of the values of each of so many groups."""
    return np.asarray(np.bincount(group, values, count), dtype=float)


def _gathered(some: Sequence[Bundled], owner: NDArray[np.intp], leader: NDArray[np.intp]) -> Paths:
    """The leading path of each group, wherever it is from."""
    by_owner = np.argsort(leader, kind="stable")  # leaders of one absorber stand side by side
    at, whose = leader[by_owner], owner[leader[by_owner]]
    starts = np.searchsorted(owner, np.arange(len(some)))
    found = [one.leaders.at(at[whose == which] - starts[which]) for which, one in enumerate(some)]
    return Paths.stacked([part for part in found if len(part)]).at(np.argsort(by_owner))


def _whole(part: Paths, name: str) -> NDArray[np.generic]:
    """An array with one row per path."""
    array = getattr(part, name)
    if name != "momentum":
        return np.asarray(array)
    return np.broadcast_to(array, part.amplitude.shape)


def _largest(group: NDArray[np.intp], share: Floats, count: int) -> NDArray[np.intp]:
    """The path with the largest share of each group."""
    order = np.lexsort((share, group))
    last = np.searchsorted(group[order], np.arange(count), side="right") - 1
    return np.asarray(order[last])


def chi(
    paths: Paths,
    k: tuple[float, float, int],
    *,
    sigma2: Floats,
    e0: float = 0.0,
    zoom: float = 1.0,
    third: Floats | None = None,
) -> Floats:
    """The sum of paths at so many wave numbers: first, step [1/Å], count; shape (count,).

    Args:
        paths: of one absorber, or of many with weights.
        k: from the edge that the data have.
        sigma2: mean squared variation of each path's length [Å²], shape (n,).
        e0: of FEFF's edge above that of the data [eV].
        zoom: factor on all lengths [1].
        third: cumulant of the distribution of each path's length [Å³], shape (n,); none if None.
    """
    at = _interpolated(paths, k, e0)
    excess = (zoom - 1.0) * paths.length
    moved = excess - 2.0 * sigma2 / paths.length
    s, u = sigma2[:, None], moved[:, None]
    size = at.decay - 2.0 * s * at.square_real
    size -= 2.0 * u * at.imaginary
    angle = at.angle + 2.0 * u * at.real
    angle -= 2.0 * s * at.square_imaginary
    if third is not None:
        cube = (at.real + 1j * at.imaginary) ** 3 * (4.0 / 3.0) * third[:, None]
        size += cube.imag
        angle -= cube.real
    np.exp(size, out=size)
    size *= np.sin(angle.astype(np.float32))  # ten times as fast, and right to 1e-5
    size *= at.strength
    return np.asarray(zoom**-2.0 * size.sum(axis=0))


@dataclass(frozen=True, eq=False)
class _At:
    """Of every path what does not depend on sigma2 and zoom, at the wave numbers asked for."""

    strength: Floats
    decay: Floats
    angle: Floats
    real: Floats
    imaginary: Floats
    square_real: Floats
    square_imaginary: Floats


@functools.lru_cache(maxsize=4)
def _interpolated(paths: Paths, k: tuple[float, float, int], e0: float) -> _At:
    q, weights = _onto(tuple(paths.k), k, e0)
    amplitude, phase = paths.amplitude @ weights, paths.phase @ weights
    real = np.ascontiguousarray(paths.momentum.real) @ weights
    imaginary = 1.0 / ((1.0 / paths.momentum.imag) @ weights)
    length = paths.length[:, None]
    return _At(
        strength=paths.degeneracy[:, None] * amplitude / (q * length**2),
        decay=-2.0 * length * imaginary,
        angle=2.0 * q * length + phase,
        real=real,
        imaginary=imaginary,
        square_real=real**2 - imaginary**2,
        square_imaginary=2.0 * real * imaginary,
    )


@functools.lru_cache(maxsize=4)
def _onto(grid: tuple[float, ...], k: tuple[float, float, int], e0: float) -> tuple[Floats, Floats]:
    """Wave numbers from FEFF's edge, and what brings values on its grid to them."""
    first, step, count = k
    square = (first + step * np.arange(count)) ** 2 - PER_EV * e0
    square[np.abs(square) < LEAST] = LEAST
    q = np.sign(square) * np.sqrt(np.abs(square))
    return q, _spline(grid)(q).T


@functools.lru_cache(maxsize=4)
def _spline(grid: tuple[float, ...]) -> CubicSpline:
    """Cubic splines of the unit vectors, so that any function on the grid is one product away."""
    return CubicSpline(np.array(grid), np.eye(len(grid)))
