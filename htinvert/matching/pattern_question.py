"""What is asked of a library: measured patterns, the instrument that saw them, where to begin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, Signal, UserError
from htinvert.forward.cbed.detector import (
    HALOS,
    DetectorGeometry,
    angles,
    brought_together,
    copies,
)
from htinvert.matching.pattern_library import SCALE, PatternLibrary
from htinvert.matching.pattern_noise import Noise
from htinvert.matching.pattern_nuisances import PLACE, UNEVEN

NAMES = (
    *("level", "thickness", "tilt_x", "tilt_y"),
    *("rotation", "center_x", "center_y", "scale", "ellipticity", "blur"),
)
UNITS = ("1", "Å", "mrad", "mrad", "degrees", "mrad", "mrad", "1", "1", "mrad")
STEPS = np.array([0.1, 1.0, 0.1, 0.1, 0.2, 0.05, 0.05, 0.003, 0.002, 0.05])
FARTHEST = 3.0  # standard deviations of a nuisance
ROOM = np.array([0, 0, 0, 0, 8.0, 6.0, 6.0, 0.08, 0.02, 3.0])
"""How far the instrument may be from what is stated."""
WIDTHS = (0.1, 0.2, 0.35, 0.6, 1.0, 1.8)
"""Of the broader copies [semiangles]: sums of such Gaussians are halos and tails of many shapes."""
OWN = (0, len(WIDTHS))
"""Copies with a factor of their own in each strip: gain, and what was scattered diffusely."""
QUARTERS = 4  # groups of directions between lattice vectors
STARTS = 3


@dataclass(frozen=True, eq=False)
class Question:
    """Measured patterns (rows, ky, kx) and a library to ask; without ``noise`` that of counting.

    A point holds :data:`NAMES`, then the library's nuisances in standard deviations, or none.
    Raises :class:`UserError` where rows or units do not agree.
    """

    library: PatternLibrary
    observed: Signal
    noise: Noise | None = None

    def __post_init__(self) -> None:
        shape, rows = self.observed.data.shape, self.library.mean.shape[0]
        if len(shape) != 3 or shape[0] != rows:
            raise UserError(
                f"the library has {rows} strips but the data have shape {shape}; give patterns "
                f"(strip, ky, kx) of {rows} strips"
            )

    @property
    def data(self) -> Floats:
        """Counts, NaN where nothing was measured."""
        return self.observed.data.astype(float)

    @property
    def semiangle(self) -> float:
        """Of the bright disk [px]."""
        return self.library.semiangle / _pixel(self)

    @property
    def weights(self) -> Floats:
        """One over the noise of counting of each pixel."""
        if self.noise is not None:
            return self.noise.weights
        return np.asarray(1.0 / np.sqrt(np.maximum(self.data, 1.0) + 1.0))

    def columns(self, point: Floats, widths: tuple[float, ...] = WIDTHS) -> Floats:
        """Sharp patterns and broader copies on the detector, shape (rows, 1 + widths, ky, kx)."""
        patterns = self.library.patterns(point[:4], point[len(NAMES) :])
        return self.seen(patterns, point, widths)

    def seen(self, patterns: Floats, point: Floats, halos: tuple[float, ...]) -> Floats:
        """Patterns (n, down, right) and broader copies by the instrument of a point."""
        step, blur = self.library.step, float(point[9])
        down, right = ((n - 1) / 2 * s for n, s in zip(patterns.shape[1:], step, strict=True))
        there = self.directions(point)
        # beyond the library's last direction its faint rim goes on
        directions = (np.clip(there[0], -right, right), np.clip(there[1], -down, down))
        widths = tuple(h * self.library.semiangle for h in halos)
        return copies(
            patterns, step, directions, blur=blur, widths=widths, before=self.library.blurred
        )

    def directions(self, point: Floats) -> tuple[Floats, Floats]:
        """Of the pixels by the instrument of a point, to the right and down [mrad]."""
        ky, kx = self.observed.axes[-2:]
        x = angles(kx, self.observed.data.shape[-1], self.library.beam_energy)
        y = angles(ky, self.observed.data.shape[-2], self.library.beam_energy)
        rotation, center_x, center_y, scale, ellipticity, blur = map(float, point[4 : len(NAMES)])
        geometry = DetectorGeometry(
            rotation=rotation,
            center=(center_x, center_y),
            scale=scale,
            ellipticity=ellipticity,
            blur=blur,
        )
        return geometry.directions(*np.meshgrid(x, y))

    def groups(self, point: Floats) -> NDArray[np.int_]:
        """Numbers of pixels that may err alike however far apart, shape (rows, ky, kx).

        What comes from one direction along the boundary stays by itself, lattice vectors apart,
        and goes to all directions across: quarters of a lattice vector, in each strip.
        """
        part = self.directions(point)[0] / self.library.lattice % 1.0
        rows = np.arange(len(self.observed.data))[:, None, None]
        return np.asarray(QUARTERS * rows + (QUARTERS * part).astype(int) % QUARTERS)

    def matched(self, point: Floats) -> Floats:
        """The best patterns at a point: what is linear in the instrument is solved for."""
        return brought_together(self.columns(point), self.data, self.weights, own=OWN)

    def left(self, matched: Floats) -> Floats:
        """What patterns leave of measured pixels, in units of noise, flat."""
        left = ((matched - self.data) * self.weights)[np.isfinite(self.data)]
        return left if self.noise is None else self.noise.even(left)

    def residual(self, point: Floats) -> Floats:
        """Misfit of each measured pixel, flat, as independent ones count, then the nuisances."""
        left = self.left(self.matched(point))
        if self.noise is not None:
            left = left / np.sqrt(self.noise.alike)
        return np.concatenate([left, point[len(NAMES) :]])

    def uneven(self, point: Floats) -> Floats:
        """How measured pixels change, in units of noise, where lines of a scan are off.

        By each wave of displacements in each strip, one width of it, shape (n, p).
        """
        here, doubts = point[:4], self.library.nuisances
        patterns = self.library.patterns(here, point[len(NAMES) :])
        ways = [self.library.uneven.change(here, way) / SCALE for way in np.eye(len(UNEVEN))]
        for name, prior in doubts.priors.items():
            if name == "place":  # all lines of a strip together
                way = np.array([float(other == name) / prior for other in doubts.priors])
                ways.append(doubts.change(here, way) / SCALE)
        seen, step = np.isfinite(self.data), PLACE / 5
        before, found = self.matched(point)[seen], []
        for way in ways:
            for row in range(len(patterns)):
                moved = patterns.copy()
                moved[row] += step * way[row]
                columns = self.seen(moved, point, WIDTHS)
                after = brought_together(columns, self.data, self.weights, own=OWN)[seen]
                found.append((after - before) / step * self.weights[seen])
        return np.array(found)

    def bounds(self) -> tuple[Floats, Floats]:
        """Least and largest values of a point with nuisances."""
        axes = self.library.axes
        most = np.full(len(self.library.nuisances.priors), FARTHEST)
        lower = np.array([*(axis[0] for axis in axes), *(-ROOM[4:]), *-most])
        upper = np.array([*(axis[-1] for axis in axes), *ROOM[4:], *most])
        lower[7] += 1.0
        upper[7] += 1.0
        lower[9] = 0.05
        return lower, upper


def begin(question: Question) -> list[Floats]:
    """Where descents begin: the nodes of the library that fit best by the stated instrument.

    Gain, halo and background of each strip are taken out in closed form; a second start lies at
    another thickness or tilt.
    """
    misfit = node_misfits(question)
    starts: list[Floats] = []
    taken: list[tuple[int, ...]] = []
    for flat in np.argsort(misfit, axis=None):
        place = np.unravel_index(int(flat), misfit.shape)
        here = tuple(int(p) for p in place[1:])
        if any(max(abs(a - b) for a, b in zip(here, o, strict=True)) < 2 for o in taken):
            continue
        taken.append(here)
        values = [axis[p] for axis, p in zip(question.library.axes, place, strict=True)]
        starts.append(np.array([*values, *stated(question)[4:]]))
        if len(starts) == STARTS:
            break
    return starts


def stated(question: Question) -> Floats:
    """A point in the middle of the library, with the instrument as it is stated."""
    middle = [float(axis[len(axis) // 2]) for axis in question.library.axes]
    return np.array([*middle, 0.0, 0.0, 0.0, 1.0, 0.0, 0.5 * _pixel(question)])


def _pixel(question: Question) -> float:
    """Step of the detector's pixels [mrad]."""
    first, second = angles(question.observed.axes[-1], 2, question.library.beam_energy)
    return float(abs(second - first))


def node_misfits(question: Question, point: Floats | None = None) -> Floats:
    """Misfit of every pattern of the library under one instrument, shape of its axes."""
    library = question.library
    here = stated(question) if point is None else point
    rows, total = library.mean.shape[0], 0.0
    coefficients = library.coefficients.reshape(-1, library.coefficients.shape[-1])
    nodes = np.column_stack([np.ones(len(coefficients)), coefficients])  # the mean counts whole
    misfit = np.zeros(len(nodes))
    for row in range(rows):
        weight = question.weights[row]
        data = np.where(np.isfinite(question.data[row]), question.data[row], 0.0)
        weight = np.where(np.isfinite(question.data[row]), weight, 0.0)
        mean = question.seen(library.mean[row][None].astype(float), here, HALOS)[0] * weight
        parts = question.seen(library.components[:, row].astype(float), here, ())[:, 0] * weight
        halo = np.stack([*mean[1:], weight]).reshape(len(HALOS) + 1, -1)
        plain = np.linalg.qr(halo.T)[0]
        target = (data * weight).ravel()
        target = target - plain @ (plain.T @ target)
        columns = np.stack([mean[0], *parts]).reshape(len(parts) + 1, -1).T
        columns = columns - plain @ (plain.T @ columns)
        gain = np.maximum(nodes @ (columns.T @ target), 0.0)
        power = ((nodes @ np.linalg.qr(columns)[1].T) ** 2).sum(axis=1)
        misfit -= gain**2 / np.maximum(power, 1e-30)
        total += float(target @ target)
    return np.asarray((misfit + total).reshape(library.coefficients.shape[:-1]))
