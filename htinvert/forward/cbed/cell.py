"""The rectangular unit that a specimen repeats across the beam, cut into slices along it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.forward import multislice
from htinvert.forward.cbed.sites import kinds_of, mean_phase
from htinvert.forward.cross_section import wavelength
from htinvert.forward.multislice import Supercell
from htinvert.forward.slab import Slab, crop, cut_slab, slices_through
from htinvert.forward.view import Direction

_PARALLEL = 1e-3  # Å off a right angle
_MULTIPLES = 6  # of lattice vectors that are tried for a rectangle


@dataclass(frozen=True, eq=False)
class Cell:
    """What slices of one period do to a wave, in the frame of the rectangle's own sides.

    Attributes:
        slices: transmission functions, shape (slices, nx, ny), band limited to two thirds.
        size: sides (right, down) [Å].
        period: along the beam [Å].
        turn: of the rectangle against the image's right, toward its down [degrees].
        beam_energy: [eV].
        symmetries: turns and mirrors that leave it as it is up to a shift, shape (m, 2, 2).
    """

    slices: NDArray[np.complex64]
    size: tuple[float, float]
    period: float
    turn: float
    beam_energy: float
    symmetries: NDArray[np.int_]

    @property
    def limit(self) -> float:
        """Highest spatial frequency [1/Å] that passes."""
        return min(n / side for n, side in zip(self.slices.shape[1:], self.size, strict=True)) / 3


def make_cell(
    atoms: Atoms,
    *,
    beam: Direction,
    up: Direction,
    beam_energy: float,
    rms_displacement: float | Mapping[str, float],
    outer: float,
    slice_thickness: float,
    strength: float = 1.0,
) -> Cell:
    """Slices of one period of a crystal, for angles up to ``outer`` [mrad].

    ``slice_thickness`` is the most that a slice holds [Å]. Motion and shared sites count by their
    mean, see :mod:`htinvert.forward.cbed.sites`; ``strength`` multiplies the potential.

    Raises:
        UserError: where the structure does not repeat in both directions across the beam, has no
            rectangular unit of moderate size, or names no displacement of an element.
    """
    labels, kinds = kinds_of(atoms, rms_displacement)
    labeled = atoms.copy()
    labeled.numbers = labels
    slab = cut_slab(labeled, beam=beam, up=up, thickness=0.0)
    if len(slab.across) < 2:
        raise UserError(
            "cbed needs a structure that repeats in both directions across the beam; set pbc and "
            "the cell, or choose another beam"
        )
    sides = _rectangle(slab.across)
    size = np.linalg.norm(sides, axis=1)
    frame = sides / size[:, None]
    turned = Slab(
        slab.numbers,
        np.column_stack([slab.positions[:, :2] @ frame.T, slab.positions[:, 2]]),
        np.column_stack([slab.across[:, :2] @ frame.T, slab.across[:, 2]]),
        slab.depth,
        slab.period,
    )
    numbers, positions = crop(turned, np.full(2, -1e-4), size)
    pixels = multislice.pixels_of(size, wavelength(beam_energy) / (3e-3 * outer))
    count = slices_through(turned, slice_thickness)
    width, height = map(float, size)
    box = Supercell(numbers, positions, (width, height, slab.depth), pixels, count)
    slices = multislice.transmission_slices(
        box, beam_energy, mean_phase(kinds, beam_energy, strength)
    )
    turn = float(np.degrees(np.arctan2(frame[0, 1], frame[0, 0])))
    symmetries = _symmetries(numbers, positions, size)
    return Cell(slices, box.size[:2], slab.depth, turn, beam_energy, symmetries)


def _symmetries(numbers: NDArray[np.int_], positions: Floats, size: Floats) -> NDArray[np.int_]:
    """Turns and mirrors of the rectangle that map every atom onto one of its kind and depth."""
    found = []
    same = (numbers[:, None] == numbers) & (
        np.abs(positions[:, 2, None] - positions[:, 2]) < _PARALLEL
    )
    anchor = int(np.argmin(same.sum(axis=1)))
    for swap, first, second in product((False, True), (1, -1), (1, -1)):
        if swap and abs(size[0] - size[1]) > _PARALLEL:
            continue
        turn = np.diag([first, second])[:, ::-1] if swap else np.diag([first, second])
        moved = positions[:, :2] @ turn.T
        for other in np.flatnonzero(same[anchor]):
            shifted = moved - moved[anchor] + positions[other, :2]
            apart = shifted[:, None] - positions[:, :2]
            apart -= size * np.round(apart / size)
            if ((np.abs(apart).max(axis=-1) < _PARALLEL) & same).any(axis=1).all():
                found.append(turn)
                break
    return np.array(found)


def _rectangle(across: Floats) -> Floats:
    """The smallest pair of lattice vectors at a right angle, (right, down) [Å], shape (2, 2).

    Of equal ones the first is the one nearest to the right, the second turned from it downward.
    """
    steps = np.array(list(product(range(-_MULTIPLES, _MULTIPLES + 1), repeat=2)))
    vectors = (steps[steps.any(axis=1)] @ across)[:, :2]
    lengths = np.linalg.norm(vectors, axis=1)
    best: tuple[float, float] = (np.inf, np.inf)
    found = None
    for first, length in zip(vectors, lengths, strict=True):
        if first[0] < abs(first[1]) - _PARALLEL:
            continue  # the one nearer to the right is the first
        aside = np.abs(vectors @ first) / length
        cross = first[0] * vectors[:, 1] - first[1] * vectors[:, 0]
        right = np.flatnonzero((aside < _PARALLEL) & (cross > 0))
        if right.size:
            other = right[np.argmin(lengths[right])]
            rank = (round(float(length * lengths[other]), 3), abs(float(first[1] / length)))
            if rank < best:
                best, found = rank, np.array([first, vectors[other]])
    if found is None:
        raise UserError(
            "cbed finds no rectangular unit across the beam; choose a beam along a zone axis, or "
            "give the structure in an orthogonal cell"
        )
    return found
