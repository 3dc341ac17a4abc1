"""From the residual of a registered image to a field that says where atoms are missing.

The image of a structure is simulated again with the parameters that its evaluation has fitted,
placed where the registration puts it, and brought to the observed one by gain and offset of least
squares. What is left, smoothed by the width of the probe and divided by what one atom would
give, is a number of missing atoms per position across the beam. Copies of a position in the window,
as a periodic cell has them, are averaged, so noise falls with their number. A channel takes part
whose forward model has a method ``view`` (:class:`htinvert.forward.view.View`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.core import Channel, EvaluationFailed, Floats, Infeasible, Signal
from htinvert.declaration.abilities import Blurred, HasView, Shifted
from htinvert.evaluation.fit import adjusted, scores_of
from htinvert.forward.view import View
from htinvert.generators.operators.guided import Guide, Look
from htinvert.metrics.linear import gain_and_offset
from htinvert.metrics.patch import window

FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))  # full width at half maximum in standard deviations
SOURCE_SIZE = 1.0  # Å, width of the smoothing for models that do not say theirs
KEPT = 0.8  # share of the pixels, those that fit best, that decide on gain and offset
REFITS = 3

Parameters = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Residual:
    """What is missing, in atoms, at each pixel of a simulated image, shape (ny, nx)."""

    missing: Floats
    view: View
    cell: Floats
    pbc: NDArray[np.bool_]

    def __call__(self, points: Floats) -> Floats:
        """Missing atoms at positions [Å], shape (k, 3): the mean over the copies in the window."""
        if not len(points):
            return np.zeros(0)
        copies = points[:, None] + self._translations()
        pixels = self.view.pixels(copies.reshape(-1, 3))
        shape = np.array(self.missing.shape)
        inside = ((pixels >= 0) & (pixels <= shape - 1)).all(axis=1)
        values = np.zeros(len(pixels))
        values[inside] = map_coordinates(self.missing, pixels[inside].T, order=1)
        count = inside.reshape(len(points), -1).sum(axis=1)
        return np.asarray(values.reshape(len(points), -1).sum(axis=1) / np.maximum(count, 1))

    def _translations(self) -> Floats:
        """Lattice vectors [Å] that bring the cell to all of the window, shape (m, 3)."""
        corners = np.array([[0, 0], self.missing.shape]) - 1
        reach = float(np.linalg.norm(np.diff(self.view.lines(corners.astype(float)), axis=0)))
        flat = self.cell @ self.view.frame[:2].T
        counts = [
            int(np.ceil(reach / length)) + 1 if periodic and length > 1e-3 else 0
            for length, periodic in zip(np.linalg.norm(flat, axis=1), self.pbc, strict=True)
        ]
        steps = [np.arange(-count, count + 1) for count in counts]
        grid = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
        shifts = grid @ self.cell
        beyond = np.linalg.norm(shifts @ self.view.frame[:2].T, axis=1)
        largest = reach + float(np.linalg.norm(flat, axis=1).max())
        return np.asarray(shifts[beyond <= largest])


@dataclass(frozen=True, eq=False)
class Residuals:
    """Compares structures with all channels that show where in an image a position appears.

    ``residuals(parameters)`` is a :data:`htinvert.generators.operators.guided.Look`,
    ``Atoms -> Guide``, at the fitted forward parameters, by channel, of an evaluation. The fields
    of several channels are averaged.
    """

    channels: tuple[Channel, ...]

    def __post_init__(self) -> None:
        seen = tuple(channel for channel in self.channels if isinstance(channel.forward, HasView))
        object.__setattr__(self, "channels", seen)

    def __bool__(self) -> bool:
        return bool(self.channels)

    def __call__(self, parameters: Parameters) -> Look:
        """How to look at structures under these parameters."""
        return partial(look, channels=self.channels, parameters=parameters)


@dataclass(frozen=True, eq=False)
class Overlay:
    """A channel's observation where the image of a structure was found in it.

    Attributes:
        forward: the model with the fitted parameters, shifted to the pixels of ``observed``.
        observed: what the image is compared with, shape (ny, nx).
        sigma: of the smoothing (y, x) [px].
        unit: smoothed peak of one atom of the element that counts as 1.
    """

    forward: Any
    observed: Floats
    sigma: Floats
    unit: float

    def residual(self, atoms: Atoms) -> Residual:
        """What the observation lacks or has too much of, in atoms of the element that counts."""
        image = self.forward(atoms).data.astype(float)
        missing = _smoothed(_explained(image, self.observed) - image, self.sigma)
        view: View = self.forward.view(atoms)
        return Residual(missing / self.unit, view, atoms.cell.complete().array, atoms.pbc)


def look(atoms: Atoms, *, channels: tuple[Channel, ...], parameters: Parameters) -> Guide:
    """Compare ``atoms`` with the channels. Raises Infeasible where one cannot be simulated."""
    if not len(atoms):
        raise Infeasible("nothing is left of the structure that could be found in the image")
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    number = int(numbers[np.argmax(counts)])
    with _comparable():
        found = [
            registered(channel, atoms, parameters.get(channel.name, {}), number=number)
            for channel in channels
        ]
    return _guide(atoms, found, number)


def _guide(atoms: Atoms, found: Sequence[Overlay], number: int) -> Guide:
    """What to do about a structure, by observations in which its like has been found."""
    with _comparable():
        fields = [one.residual(atoms) for one in found]
    rms = float(np.sqrt(np.mean([(field.missing**2).mean() for field in fields])))
    return Guide(
        lambda points: np.mean([field(points) for field in fields], axis=0),
        number,
        rms,
        again=lambda changed: _guide(changed, found, number),
    )


@contextmanager
def _comparable() -> Iterator[None]:
    try:
        yield
    except EvaluationFailed as failure:
        raise Infeasible(f"the structure cannot be compared: {failure}") from failure


def registered(
    channel: Channel, atoms: Atoms, parameters: Mapping[str, float], *, number: int
) -> Overlay:
    """Find a structure in the channel's observation, by its metric."""
    forward: Any = adjusted(channel.forward, parameters)
    simulated = forward(atoms)
    detail = next(iter(scores_of(channel, simulated).values())).detail
    start = int(detail.get("row", 0)), int(detail.get("column", 0))
    forward = _refined(forward, detail, simulated)
    ny, nx = shape = simulated.data.shape
    observed = channel.observed.data[window(start, shape)].astype(float)
    view: View = forward.view(atoms)
    width = forward.source_size if isinstance(forward, Blurred) else SOURCE_SIZE
    sigma = width / FWHM / np.array(simulated.sampling)
    middle = view.lines(np.array([[(ny - 1) / 2, (nx - 1) / 2]]))
    one = Atoms(chemical_symbols[number], middle, cell=atoms.cell, pbc=atoms.pbc)
    unit = float(_smoothed(forward(one).data.astype(float), sigma).max())
    return Overlay(forward, observed, sigma, unit)


def _smoothed(image: Floats, sigma: Floats) -> Floats:
    return np.asarray(gaussian_filter(image, sigma, mode="nearest"))


def _refined(forward: Any, detail: Mapping[str, float], simulated: Signal) -> Any:
    """The forward model shifted by the part of a pixel that the registration found."""
    if not (isinstance(forward, Shifted) and "row_refined" in detail):
        return forward
    dy, dx = simulated.sampling
    shifts = {
        "shift_x": forward.shift_x + dx * (detail["column_refined"] - detail["column"]),
        "shift_y": forward.shift_y + dy * (detail["row_refined"] - detail["row"]),
    }
    moved: Any = forward
    return replace(moved, **shifts)


def _explained(image: Floats, observed: Floats) -> Floats:
    """The observed image in units of the simulated one: gain and offset of least squares.

    The pixels that fit worst, where atoms are missing, are left out (least trimmed squares:
    Rousseeuw, J. Am. Stat. Assoc. 79, 871 (1984), by a few concentration steps).
    """
    x, y = image.ravel(), observed.ravel()
    keep = np.ones(len(x), dtype=bool)
    for _ in range(REFITS + 1):
        gain, offset = gain_and_offset(x[keep], y[keep])
        error = np.abs(y - gain * x - offset)
        keep = error <= np.quantile(error, KEPT)
    if not gain > 0.0:
        raise EvaluationFailed("the simulated image does not resemble the observed one")
    return np.asarray((observed - offset) / gain)
