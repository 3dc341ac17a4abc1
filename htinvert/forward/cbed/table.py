"""Where plane waves of every direction go in a crystal: one table for every aperture and thickness.

An average over whole cells is incoherent in the incoming direction, for terms between beams that
differ by a lattice vector average out. So a position-averaged pattern is a plain sum over the
aperture, a tilt of the specimen a shift of the aperture, and one table serves all of them. One
period of the crystal is a matrix between beams, multislice's steps multiplied: the same physics as
in a cell of waves, without any transform. Sturkey, Proc. Phys. Soc. 80, 321 (1962).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Floats, UserError
from htinvert.forward.cbed.cell import Cell
from htinvert.forward.cross_section import wavelength

MOST_BEAMS = 1600  # in one matrix

Integers = NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class ScatteringTable:
    """Intensities from incoming to outgoing directions, both on one grid.

    Attributes:
        step: of the grid (right, down) [1/Å].
        incoming: grid numbers of incoming directions, shape (m, 2).
        entries: for each intensity the row of ``incoming`` and the outgoing grid numbers,
            shape (e, 3).
        periods: thicknesses in periods of the crystal, shape (t,).
        values: intensities [1], shape (t, e); over all outgoing ones they sum to what passes.
    """

    step: tuple[float, float]
    incoming: Integers
    entries: Integers
    periods: Integers
    values: NDArray[np.float32]

    def pattern(
        self, weights: Floats, values: NDArray[np.floating], shape: tuple[int, int]
    ) -> Floats:
        """Intensity over outgoing directions (down, right), shape (2 ny + 1, 2 nx + 1).

        ``weights`` are those of incoming directions, shape (m,); ``values`` intensities of one
        thickness, shape (e,), and ``shape`` (ny, nx), the reach on the grid.
        """
        ny, nx = shape
        used = weights[self.entries[:, 0]] > 0
        row, x, y = self.entries[used].T
        inside = (np.abs(x) <= nx) & (np.abs(y) <= ny)
        place = (y + ny) * (2 * nx + 1) + x + nx
        sums = np.bincount(
            place[inside],
            weights=(weights[row] * values[used])[inside],
            minlength=(2 * ny + 1) * (2 * nx + 1),
        )
        return np.asarray(sums.reshape(2 * ny + 1, 2 * nx + 1))


def scattering_table(
    cell: Cell,
    *,
    divisions: tuple[int, int],
    reach: float,
    outer: float,
    periods: Sequence[int],
) -> ScatteringTable:
    """The table of a crystal for incoming directions up to ``reach`` [1/Å].

    Args:
        cell: slices of one period.
        divisions: grid steps (right, down) per reciprocal lattice vector.
        reach: of incoming directions.
        outer: of outgoing ones [1/Å].
        periods: thicknesses, rising, >= 0.

    Raises:
        UserError: where the cell holds too many beams for a matrix.
    """
    count = np.pi * cell.limit**2 * cell.size[0] * cell.size[1]
    if count > MOST_BEAMS:
        raise UserError(
            f"cbed: the cell of {cell.size[0]:.1f} x {cell.size[1]:.1f} Å across the beam holds "
            f"{count:.0f} beams, more than {MOST_BEAMS}; give a smaller cell or lower band"
        )
    spectra = fft.fft2(cell.slices) / np.prod(cell.slices.shape[1:])
    incoming: list[Integers] = []
    entries: list[Integers] = []
    values: list[NDArray[np.float32]] = []
    done: set[tuple[int, int]] = set()
    for offset in np.ndindex(divisions):
        if offset in done:
            continue
        beams, matrix = _one_period(cell, spectra, np.divide(offset, divisions))
        places = beams * divisions + offset
        length = np.linalg.norm(places / divisions / cell.size, axis=1)
        inward, outward = np.flatnonzero(length <= reach), np.flatnonzero(length <= outer)
        found = _through(matrix, inward, outward, periods)
        for turn in cell.symmetries:
            x, y = turn @ offset % divisions
            if (x, y) in done:
                continue
            done.add((int(x), int(y)))
            there = places @ turn.T
            rows = np.broadcast_to(
                sum(map(len, incoming)) + np.arange(len(inward)), found.shape[1:]
            )
            out = (np.broadcast_to(c[:, None], found.shape[1:]) for c in there[outward].T)
            entries.append(np.stack([rows, *out], axis=-1).reshape(-1, 3))
            values.append(found.reshape(len(periods), -1))
            incoming.append(there[inward])
    step = (1 / (divisions[0] * cell.size[0]), 1 / (divisions[1] * cell.size[1]))
    return ScatteringTable(
        step,
        np.concatenate(incoming),
        np.concatenate(entries),
        np.asarray(periods),
        np.concatenate(values, axis=1),
    )


def _one_period(
    cell: Cell, spectra: NDArray[np.complex64], offset: Floats
) -> tuple[Integers, NDArray[np.complex64]]:
    """Beams within the band, shape (b, 2), and the matrix of one period between them."""
    nx, ny = spectra.shape[1:]
    h, k = np.meshgrid(np.arange(-(nx // 2), nx // 2 + 1), np.arange(-(ny // 2), ny // 2 + 1))
    beams = np.stack([h.ravel(), k.ravel()], axis=1)
    squared = (((beams + offset) / cell.size) ** 2).sum(axis=1)
    inside = squared <= cell.limit**2
    beams, squared = beams[inside], squared[inside]
    apart = beams[:, None] - beams[None]
    passed = (np.abs(apart[..., 0]) <= nx // 2) & (np.abs(apart[..., 1]) <= ny // 2)
    depth = cell.period / len(spectra)
    step = np.exp(-1j * np.pi * wavelength(cell.beam_energy) * depth * squared)
    matrix = np.eye(len(beams), dtype=np.complex64)
    for spectrum in spectra:
        through = spectrum[apart[..., 0] % nx, apart[..., 1] % ny] * passed
        matrix = (step.astype(np.complex64)[:, None] * through) @ matrix
    return beams, matrix


def _through(
    matrix: NDArray[np.complex64], inward: Integers, outward: Integers, periods: Sequence[int]
) -> NDArray[np.float32]:
    """Intensities after so many periods, shape (t, outgoing, incoming)."""
    waves = np.eye(len(matrix), dtype=np.complex64)[:, inward]
    powers: dict[int, NDArray[np.complex64]] = {1: matrix}
    found = np.empty((len(periods), len(outward), len(inward)), dtype=np.float32)
    done = 0
    for place, count in enumerate(periods):
        for bit in (1 << n for n in range(int(count - done).bit_length())):
            if bit not in powers:
                powers[bit] = powers[bit // 2] @ powers[bit // 2]
            if (count - done) & bit:
                waves = powers[bit] @ waves
        done = count
        found[place] = np.abs(waves[outward]) ** 2
    return found
