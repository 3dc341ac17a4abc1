"""Patterns of strips across a boundary: position averages along it, coherent across it.

Along the boundary the specimen repeats, and the average over whole cells is incoherent in the
incoming direction, as in a crystal. Across it waves stay coherent: places of the probe are phase
factors on a small scattering matrix, one per incoming direction along the boundary. One pass gives
every thickness, a tilt is a shift of the aperture. The idea is PRISM's (Ophus, Adv. Struct. Chem.
Imaging 3, 13 (2017)) with the averages done by hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Floats
from htinvert.forward.cbed.cell import Cell
from htinvert.forward.cross_section import wavelength

PLACES = 6  # of the probe across a strip; intensities have twice the band of the aperture


@dataclass(frozen=True, kw_only=True)
class Strips:
    """What is recorded across a boundary.

    Attributes:
        centers: of the strips, down in the image [Å], shape (rows,).
        width: of each [Å].
        semiangle: of the aperture [mrad].
        divisions: steps of directions along the boundary per reciprocal lattice vector.
        tilts: of the beam in steps of the grid (right, down), whole numbers, shape (n, 2).
        outer: largest angle from the aperture's middle that is kept [mrad].
        periods: thicknesses in periods, rising.
        weights: of the places across a strip, as many as there are, in any number of sets.
    """

    centers: tuple[float, ...]
    width: float
    semiangle: float
    divisions: int
    tilts: tuple[tuple[int, int], ...]
    outer: float
    periods: tuple[int, ...]
    weights: tuple[tuple[float, ...], ...] = ((1.0,) * PLACES,)

    def step(self, cell: Cell) -> tuple[float, float]:
        """Of the grid of directions (right, down) [mrad]."""
        mrad = wavelength(cell.beam_energy) * 1e3
        return mrad / cell.size[0] / self.divisions, mrad / cell.size[1]

    def reach(self, cell: Cell) -> tuple[int, int]:
        """Steps (right, down) from the aperture's middle to the end of what is kept."""
        right, down = self.step(cell)
        return int(self.outer / right), int(self.outer / down)


def strip_patterns(
    cell: Cell, strips: Strips, *, beneath: tuple[int, Cell] | None = None
) -> NDArray[np.float32]:
    """Intensities about the aperture's middle, of a beam of 1.

    After so many periods of ``cell`` the beam goes on through those of ``beneath``, of one size.
    Shape (periods, tilts, rows, 2 ny + 1, 2 nx + 1): down, right; all rows of each set of weights
    follow one another. Directions are those of :meth:`Strips.step`.
    """
    found = np.zeros(_shape(cell, strips), dtype=np.float32)
    columns, farthest, whole = _incoming(cell, strips)
    mirrored = _mirrored(cell) and (beneath is None or _mirrored(beneath[1]))
    for offset in range(strips.divisions):
        some = _sent(columns, offset, strips, mirrored)
        for place, waves, downs in _waves(cell, strips, offset, some, farthest, beneath):
            for column, wave, down in zip(some, waves, downs, strict=True):
                _add(found[place], cell, strips, column, offset, wave, down)
                if mirrored and column:
                    other = -offset % strips.divisions
                    turned = wave[:, ::-1] if offset else np.roll(wave[:, ::-1], 1, axis=1)
                    _add(found[place], cell, strips, -column, other, turned, down)
    return found / np.float32(whole)


def _mirrored(cell: Cell) -> bool:
    """Whether a mirror takes right to left, so that directions to the left are known by it."""
    return any(np.array_equal(turn, np.diag([-1, 1])) for turn in cell.symmetries)


def _sent(columns: range, offset: int, strips: Strips, mirrored: bool) -> list[int]:
    """Columns of an offset that have to go through the specimen."""
    least = 0 if mirrored else columns[0]
    return [k for k in columns if k >= least and (k - offset) % strips.divisions == 0]


def _shape(cell: Cell, strips: Strips) -> tuple[int, ...]:
    nx, ny = strips.reach(cell)
    counts = (len(strips.periods), len(strips.tilts), len(strips.weights) * len(strips.centers))
    return (*counts, 2 * ny + 1, 2 * nx + 1)


def _incoming(cell: Cell, strips: Strips) -> tuple[range, float, float]:
    """Columns of incoming directions, their largest angle [mrad], and the beam's intensity."""
    (sx, sy), tilts = strips.step(cell), np.array(strips.tilts)
    farthest = strips.semiangle + max(float(np.hypot(*(tilts * (sx, sy)).T).max()), 0.0)
    along, across = int(farthest / sx) + 1, int(farthest / sy) + 1
    columns, rows = range(-along, along + 1), np.arange(-across, across + 1)
    whole = _aperture(strips, (sx, sy), np.array(columns)[:, None], rows)
    return columns, farthest, float((whole**2).sum() * len(strips.weights[0]))


def seconds_of(cell: Cell, strips: Strips) -> float:
    """Processor seconds of :func:`strip_patterns`, from a small part of it that is done now.

    One of ``divisions`` of the directions goes through one period, and makes one thickness.
    """
    columns, farthest, _ = _incoming(cell, strips)
    mirrored = _mirrored(cell)
    some = _sent(columns, 0, strips, mirrored)
    found = np.zeros(_shape(cell, strips)[1:], dtype=np.float32)
    through, added = [], []
    for _ in range(2):  # the first finds caches cold
        begun = time.process_time()
        ((_, waves, downs),) = _waves(cell, replace(strips, periods=(1,)), 0, some, farthest)
        between = time.process_time()
        for column, wave, down in zip(some, waves, downs, strict=True):
            _add(found, cell, strips, column, 0, wave, down)
        through.append(between - begun)
        added.append(time.process_time() - between)
    each = min(through) * strips.periods[-1] + min(added) * len(strips.periods) * (1 + mirrored)
    return each * strips.divisions


def _aperture(
    strips: Strips,
    step: tuple[float, float],
    columns: NDArray[np.int_] | int,
    rows: NDArray[np.int_],
) -> Floats:
    """Amplitudes [1] at grid numbers from the aperture's middle.

    Intensity falls over one step at its edge, so that the disk is as large as that of a sharp one:
    one of 0.7 % less would be taken for another scale, and that for another thickness.
    """
    radius = np.hypot(np.multiply(columns, step[0]), rows * step[1])
    return np.sqrt(np.clip((strips.semiangle - radius) / min(step) + 0.5, 0.0, 1.0))


def _waves(
    cell: Cell,
    strips: Strips,
    offset: int,
    columns: list[int],
    farthest: float,
    beneath: tuple[int, Cell] | None = None,
) -> Iterator[tuple[int, list[NDArray[np.complex64]], list[NDArray[np.int_]]]]:
    """For each thickness: waves of each column (rows in, beams right, down), and the rows in."""
    width, height = cell.size
    px, py = cell.slices.shape[1:]
    sx, sy = strips.step(cell)
    kx = (fft.fftfreq(px, 1 / px) + offset / strips.divisions) / width
    ky = fft.fftfreq(py, 1 / py) / height
    squared = kx[:, None] ** 2 + ky**2
    depth = cell.period / len(cell.slices)
    free = np.exp(-1j * np.pi * wavelength(cell.beam_energy) * depth * squared)
    free = np.where(squared <= cell.limit**2, free, 0.0).astype(np.complex64)
    downs = []
    starts = []
    for column in columns:
        most = np.sqrt(max((farthest + sy) ** 2 - (column * sx) ** 2, 0.0)) / sy
        rows = np.arange(-int(most), int(most) + 1)
        start = np.zeros((len(rows), px, py), dtype=np.complex64)
        start[np.arange(len(rows)), (column - offset) // strips.divisions % px, rows % py] = 1.0
        downs.append(rows)
        starts.append(start)
    spectra = np.concatenate(starts)
    ends = np.cumsum([len(rows) for rows in downs])[:-1]
    batch = 32
    done = 0
    for place, count in enumerate(strips.periods):
        for period in range(done, count):
            here = beneath[1] if beneath and period >= beneath[0] else cell
            for slice_ in here.slices:
                for first in range(0, len(spectra), batch):
                    part = slice(first, first + batch)
                    wave = fft.ifft2(spectra[part], overwrite_x=True)
                    wave *= slice_
                    spectra[part] = fft.fft2(wave, overwrite_x=True) * free
        done = count
        yield place, np.split(spectra, ends), downs


def _add(
    found: NDArray[np.float32],
    cell: Cell,
    strips: Strips,
    column: int,
    offset: int,
    wave: NDArray[np.complex64],
    rows: NDArray[np.int_],
) -> None:
    """Add what one incoming column of directions gives to patterns (tilts, strips, down, right)."""
    px, py = wave.shape[1:]
    (nx, ny), step = strips.reach(cell), strips.step(cell)
    tilts = np.array(strips.tilts)
    down = np.arange(-ny + tilts[:, 1].min(), ny + tilts[:, 1].max() + 1)
    beams = np.arange(-(px // 2), px // 2 + 1)
    out = beams * strips.divisions + offset
    kept = (out >= -nx + tilts[:, 0].min()) & (out <= nx + tilts[:, 0].max())
    beams, out = beams[kept], out[kept]
    matrix = wave[:, beams % px][:, :, down % py].reshape(len(rows), -1)
    count = len(strips.weights[0])
    across = (np.arange(count) + 0.5) / count - 0.5
    places = (np.array(strips.centers)[:, None] + strips.width * across).ravel()
    phases = np.exp(-2j * np.pi * np.outer(places, rows) / cell.size[1])
    for index, tilt in enumerate(strips.tilts):
        amplitude = _aperture(strips, step, column - tilt[0], rows - tilt[1])
        used = np.flatnonzero(amplitude)
        if not used.size:
            continue
        probes = (phases[:, used] * amplitude[used]).astype(np.complex64)
        waves = probes @ matrix[used]
        seen = (waves.real**2 + waves.imag**2).reshape(len(strips.centers), count, -1)
        seen = np.einsum("wp,rpk->wrk", np.array(strips.weights, np.float32), seen)
        seen = seen.reshape(-1, len(beams), len(down))
        right = out - tilt[0]
        inside = np.abs(right) <= nx
        first = int(tilt[1] - ny - down[0])
        part = seen[:, inside, first : first + 2 * ny + 1]
        found[index][:, :, right[inside] + nx] += part.transpose(0, 2, 1)
