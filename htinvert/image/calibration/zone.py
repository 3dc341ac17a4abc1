"""The spots that a crystal seen along a zone axis should give, by kinematic structure factors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, UserError

Zone = tuple[int, int, int]

_FINEST = 2.0  # 1/Å: no image resolves 0.5 Å here
_WEAKEST = 0.03  # of the forward amplitude: thinner spots are as good as forbidden
_Z_POWER = 1.7  # of the atomic number, HAADF intensity (Pennycook, Ultramicroscopy 30, 58 (1989))
_MOST = 400


@dataclass(frozen=True, eq=False)
class SpotPattern:
    """Reciprocal lattice of a phase across a zone axis, shortest vectors first.

    Attributes:
        phase: the phase's name.
        zone: zone axis [uvw] in the cell of the given structure.
        beam: the zone axis as a Cartesian unit vector, toward the viewer.
        up: Cartesian direction that points to the top where nothing is rotated.
        indices: Miller indices hkl, shape (m, 3).
        vectors: (right, down) [1/Å], shape (m, 2).
        amplitude: structure factor over its forward value [1], shape (m,).
    """

    phase: str
    zone: Zone
    beam: Floats
    up: Floats
    indices: NDArray[np.int_]
    vectors: Floats
    amplitude: Floats

    @property
    def name(self) -> str:
        """Phase and zone axis, such as ``CdTe [110]``."""
        return f"{self.phase} {axis_name(self.zone)}"

    @property
    def lengths(self) -> Floats:
        """Length of each vector [1/Å], shape (m,)."""
        return np.hypot(*self.vectors.T)

    def mirrored(self) -> SpotPattern:
        """The same crystal seen from behind."""
        return replace(self, beam=-self.beam, vectors=self.vectors * [-1, 1])

    @property
    def signature(self) -> tuple[tuple[float, float], ...]:
        """What zone axes that look alike have in common."""
        lines = np.round(np.stack([self.lengths, self.amplitude], axis=1)[:40], 4)
        return tuple(sorted((float(length), float(f)) for length, f in lines))


def axis_name(zone: Zone) -> str:
    """Write a zone axis as in ``[1-10]``."""
    return "[" + "".join(map(str, zone)) + "]"


def pattern(phase: Atoms, zone: Zone, *, name: str) -> SpotPattern:
    """Spots of ``phase``, an ideal crystal, along the zone axis [uvw] of its own cell.

    Up is the first of z, y, x that is not along the beam. Raises
    :class:`~htinvert.core.UserError` for a zone axis of zeros or a phase without two directions of
    repetition across it.
    """
    if not any(zone):
        raise UserError(f"zone axis {axis_name(zone)} has no direction; give such as 1,1,0")
    atoms = _completed(phase)
    return _across(atoms, _indices(atoms), zone, name)


def _across(atoms: Atoms, indices: NDArray[np.int_], zone: Zone, name: str) -> SpotPattern:
    """What of the spots of these indices shows along a zone axis."""
    beam = np.array(zone) @ atoms.cell.array
    beam = beam / np.linalg.norm(beam)
    up = next(axis for axis in np.eye(3)[::-1] if abs(axis @ beam) < 0.999)
    top = up - (up @ beam) * beam
    top /= np.linalg.norm(top)
    indices = indices[indices @ np.array(zone) == 0]
    factor = _structure_factor(atoms, indices)
    kept = factor > _WEAKEST
    kept &= factor >= np.sort(factor)[max(len(factor) - _MOST, 0)]
    indices, factor = indices[kept], factor[kept]
    vectors = indices @ atoms.cell.reciprocal() @ np.stack([np.cross(top, beam), -top], axis=1)
    if len(vectors) == 0 or np.linalg.matrix_rank(vectors, tol=1e-6) < 2:
        raise UserError(
            f"{name} along {axis_name(zone)} does not repeat in two directions; "
            "give another zone axis or a periodic cell"
        )
    order = np.lexsort((-factor, np.round((vectors**2).sum(axis=1), 6)))
    return SpotPattern(name, zone, beam, up, indices[order], vectors[order], factor[order])


def low_index_patterns(phase: Atoms, *, name: str, highest: int = 2) -> Iterator[SpotPattern]:
    """Patterns of the zone axes with indices up to ``highest``; of those that look alike, one.

    A phase that does not repeat in one direction, such as a monolayer, has that zone axis only.
    """
    seen, atoms = set(), _completed(phase)
    indices = _indices(atoms)
    for zone in _zones(phase, highest):
        try:
            found = _across(atoms, indices, zone, name)
        except UserError:
            continue
        if found.signature not in seen:
            seen.add(found.signature)
            yield found


def _zones(phase: Atoms, highest: int) -> list[Zone]:
    """Zone axes with coprime indices, one of each and its opposite, simple ones first."""
    if not phase.pbc.all():
        axes: list[Zone] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
        return [axis for axis, repeats in zip(axes, phase.pbc, strict=True) if not repeats]
    span = range(-highest, highest + 1)
    zones = [(u, v, w) for u in span for v in span for w in span if gcd(u, v, w) == 1]
    zones = [zone for zone in zones if next(i for i in zone if i) > 0]
    zones.sort(key=lambda z: (sum(map(abs, z)), sum(i < 0 for i in z), [-i for i in z]))
    return zones


def _completed(phase: Atoms) -> Atoms:
    """The phase with a third cell vector where it, such as ``ase.build.mx2``, has none."""
    atoms = Atoms(phase.numbers, phase.positions, cell=phase.cell, pbc=phase.pbc)
    if atoms.cell.rank < 3:
        atoms.cell = atoms.cell.complete()
    return atoms


def _indices(atoms: Atoms) -> NDArray[np.int_]:
    """All hkl but 000 up to the finest spacing, shape (m, 3)."""
    highest = np.floor(atoms.cell.lengths() * _FINEST).astype(int)
    axes = [np.arange(-n, n + 1) for n in highest]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ atoms.cell.reciprocal(), axis=1)
    return np.asarray(grid[(lengths <= _FINEST) & grid.any(axis=1)])


def _structure_factor(atoms: Atoms, indices: NDArray[np.int_]) -> Floats:
    """|F| over its forward value for columns of intensity Z^1.7, shape (m,)."""
    weights = atoms.numbers.astype(float) ** _Z_POWER
    phases = indices @ atoms.get_scaled_positions(wrap=False).T
    return np.asarray(np.abs(np.exp(-2j * np.pi * phases) @ weights) / weights.sum())
