"""What an absorbing atom has around it, and when two of them have the same."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats, UserError
from htinvert.forward.memo import fingerprint
from htinvert.forward.pdf.pairs import images

SAME = 1e-3  # Å: neighborhoods whose distances agree so well are one
CROWD = 1.5  # Å, over which atoms count as around another
Item = TypeVar("Item")
OFFSET = 3.17e-4  # Å, so that distances of symmetry do not lie where rounding changes


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Atoms around an absorber, itself the first of them.

    Attributes:
        numbers: atomic numbers, shape (n,).
        positions: from the absorber [Å], shape (n, 3).
        key: equal for neighborhoods that are equal up to a turn, a mirror and the order of atoms.
    """

    numbers: NDArray[np.intp]
    positions: Floats
    key: bytes


def absorber_of(atoms: Atoms, symbol: str | None) -> str:
    """Symbol of the absorbing element of a structure; of one element it need not be named.

    Raises :class:`UserError` where it must be, or the structure has no such atom.
    """
    symbols = sorted(set(atoms.get_chemical_symbols()))
    if symbol is None and len(symbols) == 1:
        return symbols[0]
    if symbol is None:
        raise UserError(f"name the absorber, one of {', '.join(symbols)}")
    if symbol not in symbols:
        raise UserError(
            f"the structure holds {', '.join(symbols)} but no {symbol}, the absorber; name an "
            "element of it, or check the data's"
        )
    return symbol


def neighborhoods(atoms: Atoms, number: int, radius: float) -> list[Neighborhood]:
    """The neighborhood within ``radius`` [Å] of every atom with this atomic number, in order."""
    points, owners = images(atoms, radius)
    absorbers, found = np.flatnonzero(atoms.numbers == number), []
    near = cKDTree(points).query_ball_point(points[absorbers], radius)
    for absorber, inside in zip(absorbers, near, strict=True):
        mine = np.array([absorber, *(place for place in inside if place != absorber)])
        numbers = np.concatenate([[number], atoms.numbers[owners[mine[1:]]]])
        positions = points[mine] - points[absorber]
        found.append(Neighborhood(numbers, positions, _key(numbers, positions)))
    return found


def spread(ordered: Sequence[Item], count: int | None) -> list[Item]:
    """So many of them, evenly spread; all where None, or where they are not more."""
    if count is None or count >= len(ordered):
        return list(ordered)
    places = (np.arange(count) + 0.5) * len(ordered) / count
    return [ordered[int(place)] for place in places]


def ordered(hood: Neighborhood) -> Neighborhood:
    """Its atoms nearest first; of those equally near the one with most around it.

    FEFF makes an element's potential from the first of its atoms, which must not depend on how the
    structure is turned.
    """
    numbers, positions = hood.numbers, hood.positions
    distances = np.linalg.norm(positions, axis=1)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    crowd = np.exp(-apart / CROWD) @ numbers
    keys = (*np.round(positions.T, 3), numbers, -np.round(crowd, 3), np.round(distances, 2))
    order = np.lexsort(keys)
    order = np.concatenate([[0], order[order != 0]])
    return replace(hood, numbers=numbers[order], positions=positions[order])


def _key(numbers: NDArray[np.intp], positions: Floats) -> bytes:
    """Of the distances [Å] of all pairs, by element, and of those from the absorber."""
    first, second = _couples(len(numbers))
    ways = positions[first] - positions[second]
    apart = np.sqrt(np.einsum("ij,ij->i", ways, ways))
    one, other = numbers[first], numbers[second]
    low, high = np.minimum(one, other), np.maximum(one, other)
    pairs = (1000 * low + high + 1_000_000 * (first == 0)) * 100_000
    pairs = pairs + np.floor((apart + OFFSET) / SAME).astype(np.int64)
    return fingerprint({"absorber": int(numbers[0])}, np.sort(pairs))


@functools.lru_cache(maxsize=32)
def _couples(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Numbers of each two of so many atoms."""
    return np.triu_indices(count, 1)
