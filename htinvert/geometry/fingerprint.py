"""A fingerprint that tells like structures from unlike ones, searched among many at once."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from htinvert.geometry.distances import MANY_PAIRS, distances, near_pairs
from htinvert.geometry.roles import motion, region_mask, rigid_bodies

FINGERPRINT_CUTOFF = 6.0  # Å

FINGERPRINT_STEP = 0.05  # Å

FINGERPRINT_WIDTH = 0.15  # Å, standard deviation of the smearing

RECENT = 1024  # fingerprints that are kept for whoever asks next

# Difference below which structures are of one family: relaxations into one minimum stay below it,
# an exchange of two elements in a boundary layer lies above.
LIKE = 2e-3


def fingerprint(atoms: Atoms) -> NDArray[np.float64]:
    """:func:`smeared_distances`, read-only; the last few structures are not computed again.

    A campaign and each of its generators ask for the same one, one after the other.
    """
    key = b"".join(
        part.tobytes()
        for part in (
            *(atoms.numbers, atoms.positions, atoms.get_tags(), atoms.cell.array, atoms.pbc),
            motion(atoms),
        )
    )
    found = _recent.get(key)
    if found is None:
        found = smeared_distances(atoms)
        found.setflags(write=False)
        while len(_recent) >= RECENT:
            del _recent[next(iter(_recent))]
        _recent[key] = found
    return found


_recent: dict[bytes, NDArray[np.float64]] = {}  # fingerprints by all that they depend on


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
    ends = np.sort(np.stack([atoms.numbers[first], atoms.numbers[second]]), axis=0)
    fade = 0.5 * (1.0 + np.cos(np.pi * r / FINGERPRINT_CUTOFF)) / np.maximum(r, 0.5)
    size = round(FINGERPRINT_CUTOFF / FINGERPRINT_STEP)
    place = r / FINGERPRINT_STEP
    low = np.minimum(place.astype(int), size - 1)
    species = np.unique(atoms.numbers)
    pairs = [(a, b) for i, a in enumerate(species) for b in species[i:]]
    rows = np.zeros((len(pairs), size + 1))
    for row, (a, b) in zip(rows, pairs, strict=True):
        used = (ends[0] == a) & (ends[1] == b)
        share = (place - low)[used]
        np.add.at(row, low[used], (1.0 - share) * fade[used])
        np.add.at(row, low[used] + 1, share * fade[used])
    width = FINGERPRINT_WIDTH / FINGERPRINT_STEP
    vector = gaussian_filter1d(rows, width, axis=1, mode="constant").ravel()
    return np.asarray(vector / (np.linalg.norm(vector) or 1.0))


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
