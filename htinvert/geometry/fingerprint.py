"""A fingerprint that tells like structures from unlike ones, searched among many at once."""

from __future__ import annotations

from functools import cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from htinvert.geometry.distances import MANY_PAIRS, distances, near_pairs
from htinvert.geometry.roles import motion, region_mask, rigid_bodies

FINGERPRINT_CUTOFF = 6.0  # Å

FINGERPRINT_STEP = 0.05  # Å

FINGERPRINT_WIDTH = 0.15  # Å, standard deviation of the smearing

SIZE = round(FINGERPRINT_CUTOFF / FINGERPRINT_STEP) + 1  # numbers of a pair of elements

RECENT = 16 * 2**20  # bytes of fingerprints that are kept for whoever asks next

# Difference below which structures are of one family: relaxations into one minimum stay below it,
# an exchange of two elements in a boundary layer lies above.
LIKE = 2e-3


def fingerprint(atoms: Atoms) -> NDArray[np.float64]:
    """:func:`smeared_distances`, read-only; the last few structures are not computed again.

    A campaign and each of its generators ask for the same one, one after the other, and a campaign
    once more when a candidate comes back that nothing has moved.
    """
    parts = (atoms.numbers, atoms.positions, atoms.get_tags(), atoms.cell.array, atoms.pbc)
    key = b"".join(part.tobytes() for part in parts)
    if atoms.constraints:
        key += motion(atoms).tobytes()
    return _recent.of(key, atoms)


class _Recent:
    """Fingerprints by all that they depend on; the oldest go first."""

    def __init__(self) -> None:
        self._known: dict[bytes, NDArray[np.float64]] = {}
        self._size = 0

    def of(self, key: bytes, atoms: Atoms) -> NDArray[np.float64]:
        """The fingerprint of a structure with this key."""
        found = self._known.get(key)
        if found is not None:
            return found
        found = smeared_distances(atoms)
        found.setflags(write=False)
        self._known[key] = found
        self._size += _size(key, found)
        while self._size > RECENT and len(self._known) > 1:
            oldest = next(iter(self._known))
            self._size -= _size(oldest, self._known.pop(oldest))
        return found


def _size(key: bytes, vector: NDArray[np.float64]) -> int:
    return len(key) + vector.nbytes + 300


_recent = _Recent()


def smeared_distances(atoms: Atoms) -> NDArray[np.float64]:
    """Smeared distances of the region's atoms, by pair of elements; flat, unit length.

    The radial form of Oganov & Valle, J. Chem. Phys. 130, 104504 (2009), restricted to pairs with
    at least one atom of the region (all pairs where it is empty, but for those inside of one rigid
    grain or the frozen one, which tell nothing) and weighted by 1/r so that near neighbors count
    most. Unchanged by translation, rotation, mirroring and order of atoms.
    """
    mask = region_mask(atoms)
    chosen = np.flatnonzero(mask) if mask.any() else np.arange(len(atoms))
    first, second, r = _pairs(atoms, chosen, inside=not mask.any())
    fade = 0.5 * (1.0 + np.cos(np.pi * r / FINGERPRINT_CUTOFF)) / np.maximum(r, 0.5)
    place = r / FINGERPRINT_STEP
    low = np.minimum(place.astype(int), SIZE - 2)
    share = place - low
    row, count = _pair_of(atoms.numbers, first, second)
    cell = row * SIZE + low
    length = count * SIZE
    rows = np.bincount(cell, (1.0 - share) * fade, length)
    rows += np.bincount(cell + 1, share * fade, length)
    vector = (rows.reshape(count, SIZE) @ _smearing()).ravel()
    return np.asarray(vector / (np.sqrt(vector @ vector) or 1.0))


@cache
def _smearing() -> NDArray[np.float64]:
    """What a row of distances is multiplied by to be smeared by a Gaussian, shape (SIZE, SIZE)."""
    width = FINGERPRINT_WIDTH / FINGERPRINT_STEP
    return np.asarray(gaussian_filter1d(np.eye(SIZE), width, axis=1, mode="constant"))


def _pair_of(
    numbers: NDArray[np.integer], first: NDArray[np.intp], second: NDArray[np.intp]
) -> tuple[NDArray[np.intp], int]:
    """Which pair of elements each pair of atoms is, and how many there are of these."""
    kinds = sorted(set(numbers.tolist()))
    many = len(kinds)
    if many == 1:
        return np.zeros(len(first), np.intp), 1
    which = np.searchsorted(kinds, numbers)
    one, other = which[first], which[second]
    low, high = np.minimum(one, other), np.maximum(one, other)
    return low * many - low * (low - 1) // 2 + high - low, many * (many + 1) // 2


def _pairs(
    atoms: Atoms, chosen: NDArray[np.intp], *, inside: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Atoms i of the chosen, their neighbors j, distances [Å]; where ``inside``, of no one body."""
    if len(chosen) * len(atoms) > MANY_PAIRS:
        first, second, apart = near_pairs(atoms, cutoff=FINGERPRINT_CUTOFF, chosen=chosen)
        near = (apart > 1e-9) & (apart < FINGERPRINT_CUTOFF)
        first, second, apart = first[near], second[near], apart[near]
    else:
        table = distances(atoms.positions[chosen], atoms, cutoff=FINGERPRINT_CUTOFF)
        near = (table > 1e-9) & (table < FINGERPRINT_CUTOFF)
        row, second, _ = np.nonzero(near)
        first, apart = chosen[row], table[near]
    if inside and rigid_bodies(atoms):
        held = motion(atoms)
        loose = (held[first] != held[second]) | (held[first] <= 0)
        first, second, apart = first[loose], second[loose], apart[loose]
    return first, second, apart


def difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Cosine distance of two fingerprints, 0 for alike ones to 1; 1 where their elements differ."""
    if first.shape != second.shape:
        return 1.0
    return max(0.0, 1.0 - float(first @ second))


class Fingerprints:
    """A few fingerprints by number, compared with all at once."""

    def __init__(self) -> None:
        self._rows: dict[int, NDArray[np.float64]] = {}  # by length; a table with room to grow
        self._numbers: dict[int, list[int]] = {}
        self._count = 0

    def add(self, vector: NDArray[np.float64], number: int | None = None) -> None:
        """Remember a fingerprint under a number, that of how many came before unless given."""
        length = len(vector)
        numbers = self._numbers.setdefault(length, [])
        rows = self._rows.get(length, np.empty((16, length)))
        if len(numbers) == len(rows):
            rows = np.concatenate([rows, np.empty_like(rows)])
        rows[len(numbers)] = vector
        self._rows[length] = rows
        numbers.append(self._count if number is None else number)
        self._count += 1

    def first_like(self, vector: NDArray[np.float64], *, within: float) -> int | None:
        """Number of the first fingerprint whose :func:`difference` is below ``within``, if any."""
        numbers = self._numbers.get(len(vector), [])
        if not numbers:
            return None
        alike = 1.0 - self._rows[len(vector)][: len(numbers)] @ vector < within
        return numbers[int(np.argmax(alike))] if alike.any() else None
