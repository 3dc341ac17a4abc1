"""The specimen that a beam goes through: a crystal of some thickness, its atoms out of place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.forward.view import Direction, view_frame

MOTION = "atoms at their places in the mean of phonons"  # with the engine's: versions of images
_PARALLEL = 1e-3  # Å: a repeat vector off the beam by so little runs along it
_SAME = 1e-4  # Å: coordinates as close as that are one; of a repeat vector, the part of it


@dataclass(frozen=True, eq=False)
class Slab:
    """Atoms of one lateral unit through the whole thickness, as the beam sees them.

    Attributes:
        numbers: atomic numbers, shape (n,).
        positions: (right, down, depth below the entrance surface) [Å], shape (n, 3).
        across: lateral repeat vectors, (right, down, deeper) [Å], shape (0 to 2, 3), one per row.
        depth: thickness [Å].
        period: repeat along the beam [Å]; where there is none, the thickness.
    """

    numbers: NDArray[np.int_]
    positions: Floats
    across: Floats
    depth: float
    period: float


def cut_slab(atoms: Atoms, *, beam: Direction, up: Direction, thickness: float) -> Slab:
    """Turn a structure into the beam's frame and repeat it to about ``thickness`` [Å].

    The entrance surface lies in the widest gap between atomic layers. A structure that is not
    periodic along the beam is taken as it is, with half an Å of vacuum on either side. The slab is
    the same however the structure is written: in which order its atoms stand, and in which cell.

    Raises:
        UserError: where no repeat vector runs along the beam but one has a part along it.
    """
    frame = view_frame(beam, up)
    vectors = [v @ frame.T for v, p in zip(atoms.cell, atoms.pbc, strict=True) if p and v.any()]
    along = [v for v in vectors if np.linalg.norm(v[:2]) <= _PARALLEL]
    period = float(abs(along[0][2])) if along else 0.0
    across = _across([v for v in vectors if np.linalg.norm(v[:2]) > _PARALLEL], period)
    if not along and (np.abs(across[:, 2]) > _PARALLEL).any():
        raise UserError(
            f"multislice needs a repeat vector of the cell along the beam but beam is {beam} and "
            "none runs there; orient the structure so that one does"
        )
    positions = _in_one_unit(atoms.positions @ frame.T * [1, 1, -1], across)
    depths = positions[:, 2]
    if not along:
        positions[:, 2] -= depths.min(initial=0.0) - 0.5
        depth = float(np.ptp(depths)) + 1.0 if len(atoms) else 1.0
        order = _by_place(atoms.numbers, positions)
        return Slab(atoms.numbers[order], positions[order], across, depth, depth)
    repeats = max(1, round(thickness / period))
    positions[:, 2] = (depths - _widest_gap(depths, period)) % period
    order = _by_place(atoms.numbers, positions)
    layers = np.repeat(np.arange(repeats), len(atoms)) * period
    positions = np.tile(positions[order], (repeats, 1))
    positions[:, 2] += layers
    numbers = np.tile(atoms.numbers[order], repeats)
    return Slab(numbers, positions, across, repeats * period, period)


def _across(vectors: list[Floats], period: float) -> Floats:
    """Lateral repeat vectors (right, down, deeper), the more horizontal one first, shape (k, 3).

    Of the way that they go deeper, whole periods do not count.
    """
    rows = np.array(vectors).reshape(-1, 3) * [1, 1, -1]
    if period:
        rows[:, 2] -= period * np.round(rows[:, 2] / period - 1e-6)  # half a period: always down
        rows[np.abs(rows[:, 2]) < _PARALLEL, 2] = 0.0
    return rows[np.argsort(-np.abs(rows[:, 0]), kind="stable")]


def _in_one_unit(positions: Floats, across: Floats) -> Floats:
    """Positions (n, 3) [Å] moved by whole repeat vectors into the unit at the origin."""
    parts = positions[:, :2] @ np.linalg.pinv(across[:, :2].T).T
    return positions - np.floor(parts + _SAME) @ across


def _by_place(numbers: NDArray[np.int_], positions: Floats) -> NDArray[np.intp]:
    """The order of atoms by depth, then down, then right, shape (n,): it names each atom's kick."""
    right, down, depth = (_levels(column) for column in positions.T)
    return np.lexsort([numbers, right, down, depth])


def _levels(values: Floats) -> NDArray[np.intp]:
    """The rank of each value among those that differ, shape (n,)."""
    order = np.argsort(values)
    ranks = np.empty(len(values), dtype=np.intp)
    ranks[order] = np.cumsum(np.diff(values[order], prepend=values[order][:1]) > _SAME)
    return ranks


def _widest_gap(depths: Floats, period: float) -> float:
    """Depth [Å] in the middle of the widest gap between layers of one period."""
    ordered = np.sort((depths + _SAME) % period - _SAME)  # one layer stays one at the cell's end
    gaps = np.diff(ordered, append=ordered[:1] + period)
    widest = int(np.argmax(gaps > gaps.max(initial=0.0) - _SAME)) if len(gaps) else 0
    return float(ordered[widest] + gaps[widest] / 2) if len(gaps) else 0.0


def slices_through(slab: Slab, thickest: float) -> int:
    """Slices through a slab, whole fractions of its repeat, none thicker than ``thickest`` [Å]."""
    return ceil(slab.period / thickest - 1e-6) * round(slab.depth / slab.period)


def check_motion(phonons: int, rms_displacement: float | Mapping[str, float]) -> None:
    """Refuse a static lattice with a :class:`UserError`: its signal is wrong even in sign.

    The high-angle signal of a static lattice falls with thickness, that of a thermal one rises
    (Loane, Xu & Silcox 1991).
    """
    motion = rms_displacement
    values = list(motion.values()) if isinstance(motion, Mapping) else [motion]
    if phonons == 0 or not values or not min(values) > 0:
        raise UserError(
            "multislice of a static lattice is refused: without thermal motion the high-angle "
            "signal falls with thickness instead of rising; set phonons to 1 or more and "
            "rms_displacement above 0 Å (about 0.05 to 0.12 at room temperature)"
        )
    if max(values) > 1:
        raise ValueError(f"rms_displacement is {max(values)} Å but must be at most 1")


def configurations(
    slab: Slab, *, rms_displacement: float | Mapping[str, float], seed: int, count: int
) -> Iterator[Slab]:
    """Frozen-phonon configurations: independent Gaussian displacements (Einstein's model).

    Loane, Xu & Silcox, Acta Cryst. A 47, 267 (1991). Each atom's mean over the configurations is
    taken out and the rest scaled, so that every configuration alone is as likely as any, and in
    the mean of them every atom is in its place (for two of them antithetic variates: Hammersley &
    Morton, Proc. Camb. Phil. Soc. 52, 449 (1956)). Otherwise a column of 4 atoms, 0.1 Å each, would
    be 0.035 Å off in the mean of two, the same in all images of a seed, and a fit would read it as
    a distortion. One configuration is left as it is drawn.

    Args:
        slab: the specimen, its atoms in their places.
        rms_displacement: per direction [Å], one number or one per element.
        seed: of the displacements.
        count: of configurations.
    """
    width = displacements(slab.numbers, rms_displacement)[:, None]

    def drawn(number: int) -> Floats:
        return np.random.default_rng([seed, number]).normal(size=slab.positions.shape)

    middle, scale = np.zeros_like(slab.positions), 1.0
    if count > 1:
        middle, scale = sum(map(drawn, range(count)), middle) / count, (count / (count - 1)) ** 0.5
    for number in range(count):
        kicks = (drawn(number) - middle) * scale * width
        positions = slab.positions + kicks
        positions[:, 2] = np.clip(positions[:, 2], 0.0, slab.depth * (1 - 1e-9))
        yield replace(slab, positions=positions)


def displacements(
    numbers: NDArray[np.int_], rms_displacement: float | Mapping[str, float]
) -> Floats:
    """Rms displacement of each atom per direction [Å], shape (n,).

    Raises:
        UserError: for an element that is not named.
    """
    if not isinstance(rms_displacement, Mapping):
        return np.full(len(numbers), float(rms_displacement))
    table = {atomic_numbers[symbol]: value for symbol, value in rms_displacement.items()}
    missing = sorted(set(numbers.tolist()) - set(table))
    if missing:
        raise UserError(
            f"rms_displacement names no value for {chemical_symbols[missing[0]]}; add one [Å]"
        )
    return np.array([table[number] for number in numbers.tolist()], dtype=float)


def crop(slab: Slab, lower: Floats, size: Floats) -> tuple[NDArray[np.int_], Floats]:
    """Numbers (m,) and positions (m, 3) from the corner ``lower`` of a box of lateral ``size`` [Å].

    The slab is repeated along its lateral vectors as far as the box reaches.
    """
    corners = lower + size * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    shifts = np.zeros((1, 3))
    if len(slab.across):
        inverse = np.linalg.pinv(slab.across[:, :2].T)
        reach = corners @ inverse.T
        held = slab.positions[:, :2] @ inverse.T
        first = np.floor(reach.min(axis=0) - held.max(axis=0)).astype(int)
        last = np.ceil(reach.max(axis=0) - held.min(axis=0)).astype(int)
        ranges = [np.arange(low, high + 1) for low, high in zip(first, last, strict=True)]
        counts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(ranges))
        shifts = counts @ slab.across
    numbers, positions = [], []
    for shift in shifts:
        moved = slab.positions + shift - [*lower, 0.0]
        if shift[2]:
            moved[:, 2] %= slab.depth
        inside = ((moved[:, :2] >= 0) & (moved[:, :2] < size)).all(axis=1)
        numbers.append(slab.numbers[inside])
        positions.append(moved[inside])
    return np.concatenate(numbers), np.concatenate(positions)
