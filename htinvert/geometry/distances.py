"""Distances in periodic cells, and which of them are too short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from htinvert.core import Region
from htinvert.geometry.heights import period

MANY_PAIRS = 200_000  # from which on only near pairs are looked at, where tables are handy
SOME_PAIRS = 1_000  # from which on a search for near pairs is faster than a table
RATIO_CUTOFF = 3.0  # Å, or what the largest atoms' covalent sum needs


def covalent_distances(
    symbols: Iterable[str], *, ratio: float = 0.7
) -> dict[frozenset[str], float]:
    """Shortest sensible distance [Å] of every pair of elements: ``ratio`` times the covalent sum.

    Radii of Cordero et al., Dalton Trans. 2832 (2008); 0.7 is the customary ratio in genetic
    algorithms (Vilhelmsen & Hammer, J. Chem. Phys. 141, 044711 (2014)).
    """
    names = sorted(set(symbols))
    radius = {name: float(covalent_radii[atomic_numbers[name]]) for name in names}
    return {frozenset((a, b)): ratio * (radius[a] + radius[b]) for a in names for b in names}


def distances(points: NDArray[np.float64], atoms: Atoms, *, cutoff: float) -> NDArray[np.float64]:
    """Distances [Å] from ``points``, shape (m, 3), to the atoms and their periodic images.

    Returns shape (m, n, images); all distances up to ``cutoff`` [Å] are among them. Along a cell
    vector more than twice the cutoff high the nearest image is the one of the rounded fraction.
    """
    if not atoms.pbc.any():
        return np.asarray(cdist(points, atoms.positions)[:, :, None])
    basis = basis_of(atoms)
    fractions = (points[:, None] - atoms.positions) @ basis.inverse
    fractions -= np.round(fractions) * atoms.pbc
    high = basis.heights
    reach = np.where(2.0 * cutoff <= high, 0, np.ceil(cutoff / high + 0.5)) * atoms.pbc
    ranges = [np.arange(-n, n + 1) for n in reach]
    images = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    vectors = (fractions[:, :, None] + images) @ basis.vectors
    return np.asarray(np.sqrt(np.einsum("mnik,mnik->mni", vectors, vectors)))


def distance_outside(
    points: NDArray[np.float64], region: Region, atoms: Atoms
) -> NDArray[np.float64]:
    """How far outside of a region points, shape (m, 3) [Å], lie: shape (m,) [Å], 0 inside.

    The nearest of a point's images counts, by the cell of ``atoms``.
    """
    return _outside(nearest_image(points, region, atoms), region)


def nearest_image(points: NDArray[np.float64], region: Region, atoms: Atoms) -> NDArray[np.float64]:
    """Of each point, shape (m, 3) [Å], the periodic image that is nearest to a region."""
    points = np.asarray(points, dtype=float)
    axis = region.dimension
    if not region.box:
        if (rise := period(atoms, np.eye(3)[axis])) is None:
            return points
        middle = 0.5 * (region.lower + region.upper)
        return np.asarray(points - np.rint((points[:, axis] - middle) / rise[axis])[:, None] * rise)
    middles = points.copy()  # no image is nearer along an axis without bounds
    for bounded, pair in region.bounds.items():
        middles[:, bounded] = 0.5 * sum(pair)
    basis = basis_of(atoms)
    fractions = (points - middles) @ basis.inverse
    fractions -= np.rint(fractions) * atoms.pbc
    ranges = [(0, -1, 1) if periodic else (0,) for periodic in atoms.pbc]
    steps = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
    images = (fractions + steps[:, None]) @ basis.vectors + middles
    best = _outside(images, region).argmin(axis=0)
    return np.asarray(images[best, np.arange(len(points))])


def _outside(points: NDArray[np.float64], region: Region) -> NDArray[np.float64]:
    """How far outside of a region's bounds points, shape (..., 3) [Å], lie as they are."""
    excess = np.zeros_like(points)
    for axis, (lower, upper) in region.bounds.items():
        excess[..., axis] = np.maximum(lower - points[..., axis], points[..., axis] - upper)
    return np.asarray(np.linalg.norm(np.maximum(excess, 0.0), axis=-1))


def limits(
    first: Iterable[str], second: Iterable[str], min_distance: Mapping[frozenset[str], float]
) -> NDArray[np.float64]:
    """Shortest allowed distances [Å], shape (len(first), len(second))."""
    rows, row = kinds_of(first)
    columns, column = kinds_of(second)
    least = [[min_distance.get(frozenset((a, b)), 0.0) for b in columns] for a in rows]
    table = np.array(least, dtype=float).reshape(len(rows), len(columns))
    return np.asarray(table[row[:, None], column])


def kinds_of(symbols: Iterable[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The different ones of some symbols, and which of these each is, shape (n,)."""
    kinds: dict[str, int] = {}
    which = [kinds.setdefault(symbol, len(kinds)) for symbol in symbols]
    return list(kinds), np.array(which, dtype=np.intp)


def clearance(
    points: NDArray[np.float64],
    symbol: str,
    atoms: Atoms,
    min_distance: Mapping[frozenset[str], float],
    *,
    count: int | None = None,
) -> NDArray[np.bool_]:
    """At which of ``points``, shape (m, 3) [Å], an atom is far enough from the first ``count``.

    Or from all others, where that is None.
    """
    return room(points, symbol, atoms, min_distance, count=count) >= 1.0


def room(
    points: NDArray[np.float64],
    symbol: str,
    atoms: Atoms,
    min_distance: Mapping[frozenset[str], float],
    *,
    most: float = 1.0,
    count: int | None = None,
) -> NDArray[np.float64]:
    """Least ratio of an atom's distances at ``points``, shape (m, 3) [Å], to those allowed.

    Shape (m,); up to ``most``, beyond which atoms are not looked for: infinite there. With
    ``count`` only the first so many atoms count.
    """
    least = _least(symbol, atoms.numbers[:count], min_distance)
    cutoff = most * float(least.max(initial=0.0)) * (1.0 + 1e-9)
    ratio = np.full(len(points), np.inf)
    if cutoff <= 0.0:
        return ratio
    least = np.maximum(least, 1e-9)
    if len(points) * len(least) <= SOME_PAIRS and not atoms.pbc.any():
        ratio = (cdist(points, atoms.positions[:count]) / least).min(axis=1)
    else:
        index, places = with_images(atoms, cutoff)
        index, places = index[index < len(least)], places[index < len(least)]
        near = cKDTree(wrapped(points, atoms)).sparse_distance_matrix(
            cKDTree(places), cutoff, output_type="ndarray"
        )
        np.minimum.at(ratio, near["i"], near["v"] / least[index[near["j"]]])
    return np.where(ratio <= most, ratio, np.inf)


def _least(
    symbol: str, numbers: NDArray[np.integer], min_distance: Mapping[frozenset[str], float]
) -> NDArray[np.float64]:
    """Shortest allowed distances [Å] of an atom to those of these elements, shape (n,)."""
    plain = numbers.tolist()
    table = {n: min_distance.get(frozenset((symbol, chemical_symbols[n])), 0.0) for n in set(plain)}
    return np.array([table[number] for number in plain], dtype=float)


def clashes(
    atoms: Atoms, mask: NDArray[np.bool_], min_distance: Mapping[frozenset[str], float]
) -> bool:
    """True where an atom of ``mask``, shape (n,), is closer to another than allowed."""
    chosen = np.flatnonzero(mask)
    symbols = atoms.get_chemical_symbols()
    if len(chosen) * len(atoms) > SOME_PAIRS:
        return _any_clash(atoms, chosen, symbols, min_distance)
    allowed = limits([symbols[i] for i in chosen.tolist()], symbols, min_distance)
    if not allowed.size:
        return False
    apart = distances(atoms.positions[chosen], atoms, cutoff=float(allowed.max()))
    own = apart[np.arange(len(chosen)), chosen]
    apart[np.arange(len(chosen)), chosen] = np.where(own > 1e-9, own, np.inf)  # itself
    return bool((apart < allowed[:, :, None]).any())


def _any_clash(
    atoms: Atoms,
    chosen: NDArray[np.intp],
    symbols: Sequence[str],
    min_distance: Mapping[frozenset[str], float],
) -> bool:
    """What :func:`clashes` says, by the pairs that are near alone."""
    kinds, which = kinds_of(symbols)
    allowed = limits(kinds, kinds, min_distance)
    first, second, apart = near_pairs(atoms, cutoff=float(allowed.max()), chosen=chosen)
    return bool((apart < allowed[which[first], which[second]]).any())


def shortest_ratio(atoms: Atoms) -> float:
    """Smallest ratio of a distance to the sum of covalent radii, infinite where nothing is near.

    Exact where it is at most 1, among all atoms and their periodic images. Time and memory grow
    with the number of atoms, not with that of their pairs.
    """
    radii = np.asarray(covalent_radii)[atoms.numbers]
    cutoff = max(RATIO_CUTOFF, 2.0 * float(radii.max(initial=0.0)))
    first, second, apart = near_pairs(atoms, cutoff=cutoff)
    return float(np.min(apart / (radii[first] + radii[second]), initial=np.inf))


def near_pairs(
    atoms: Atoms, *, cutoff: float, chosen: NDArray[np.intp] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pairs of atoms, images of one among them, at most ``cutoff`` [Å] apart: i, j, distance.

    Each pair is listed once or more, with ``chosen`` those whose first is one of these. Neighbors
    are found by a k-d tree (Maneewongvatana & Mount, 1999) of the atoms and those of their images
    around the cell that are near enough to be met.
    """
    some = np.arange(len(atoms)) if chosen is None else chosen
    if len(some) * len(atoms) <= SOME_PAIRS and not atoms.pbc.any():
        table = cdist(atoms.positions[some], atoms.positions)
        near = table <= cutoff
        near[np.arange(len(some)), some] = False
        first, second = np.nonzero(near)
        return some[first], second, table[near]
    index, places = with_images(atoms, cutoff)
    found = cKDTree(places[some]).sparse_distance_matrix(
        cKDTree(places), cutoff, output_type="ndarray"
    )
    found = found[some[found["i"]] != found["j"]]  # an atom itself; its images come later
    return some[found["i"]], index[found["j"]], found["v"]


def with_images(atoms: Atoms, cutoff: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Atoms wrapped into the cell, then their images within ``cutoff`` [Å] of it: index, place."""
    index = np.arange(len(atoms))
    if not atoms.pbc.any():
        return index, atoms.positions
    basis = basis_of(atoms)
    fractions = wrapped(atoms.positions, atoms) @ basis.inverse
    reach = cutoff / basis.heights * (1.0 + 1e-9) + 1e-9
    for axis in np.flatnonzero(atoms.pbc):
        parts = [(index, fractions)]
        for n in range(1, int(reach[axis]) + 2):
            for step in (n, -n):
                moved = fractions[:, axis] + step
                near = (moved >= -reach[axis]) & (moved <= 1.0 + reach[axis])
                image = fractions[near].copy()
                image[:, axis] += step
                parts.append((index[near], image))
        index, fractions = (np.concatenate(some) for some in zip(*parts, strict=True))
    return index, fractions @ basis.vectors


def wrapped(points: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """Points, shape (m, 3) [Å], moved into the cell along its periodic vectors."""
    if not atoms.pbc.any():
        return points
    basis = basis_of(atoms)
    return np.asarray(points - np.floor(points @ basis.inverse) * atoms.pbc @ basis.vectors)


@dataclass(frozen=True, eq=False)
class Basis:
    """A cell's vectors, completed where there are fewer than three, and what follows from them.

    Attributes:
        vectors: shape (3, 3) [Å].
        inverse: of them: ``points @ inverse`` are fractions.
        heights: distance [Å] between opposite faces, along each vector.
    """

    vectors: NDArray[np.float64]
    inverse: NDArray[np.float64]
    heights: NDArray[np.float64]


def basis_of(atoms: Atoms) -> Basis:
    """The basis of a structure, read-only: a search asks for one again and again."""
    return _basis(atoms.cell.array.tobytes())


def heights(atoms: Atoms) -> NDArray[np.float64]:
    """Distance [Å] between opposite faces of the cell, along each of its three vectors."""
    return basis_of(atoms).heights


@lru_cache(maxsize=64)
def _basis(cell: bytes) -> Basis:
    """The basis of the cell with these bytes."""
    vectors = Cell(np.frombuffer(cell).reshape(3, 3)).complete().array
    inverse = np.linalg.inv(vectors)
    high = 1.0 / np.linalg.norm(inverse, axis=0)
    for array in (vectors, inverse, high):
        array.setflags(write=False)
    return Basis(vectors, inverse, high)
