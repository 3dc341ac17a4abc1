"""What is known only about: motion, strength of the potential, strips' places, lines of a scan.

A library holds how its patterns change with each, on fewer levels and tilts than its own, so that
a fit can let them go within what is known before. Patterns are nearly linear in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats

MOTION = 0.15
"""Relative standard deviation of an element's displacement: published B factors of one compound
differ by about a third, films and shared sites more."""
STRENGTH = 0.01
"""The same of the potential: parametrizations and bonding make it differ by a percent."""
PLACE = 0.05
"""The same of where strips lie, in widths of a strip: half a pixel of a scan, 0.2 Å of a cell."""
_ACROSS = (np.arange(12) + 0.5) / 12
UNEVEN = tuple(
    tuple((2.0**1.5 * np.pi * wave * part(2.0 * np.pi * wave * _ACROSS)).tolist())
    for wave in (1, 2, 3, 4)  # intensities have twice the band of the aperture
    for part in (np.sin, np.cos)
)
"""What places weigh in a strip where the lines of a scan are off, per width of a strip that each
such wave of displacements is (rms): noise of the scan is equally much of each."""
CHANGE_COMPONENTS, SUBSET = {"": 80, "uneven": 300}, 900
"""Principal components of changes, of how many: what lines of a scan change differs from level,
thickness and tilt to the next by more."""
_NOTHING = 1e-6  # of the largest variance

Axes = tuple[Floats, Floats, Floats, Floats]


@dataclass(frozen=True, eq=False)
class Nuisances:
    """How patterns change with each nuisance, per standard deviation of its prior.

    Attributes:
        priors: relative standard deviation of each, by name.
        axes: values of level, thickness [Å], tilt to the right and down [mrad].
        components: shape (c, rows, down, right).
        coefficients: shape (levels, thicknesses, tilts x, tilts y, nuisances, c).
    """

    priors: Mapping[str, float]
    axes: Axes
    components: NDArray[np.float32]
    coefficients: NDArray[np.float32]

    def change(self, point: Floats, values: Floats) -> Floats:
        """What is added to patterns, shape (rows, down, right).

        ``point`` is level, thickness, tilt x, tilt y; ``values`` are in standard deviations.
        """
        mixed = np.asarray(values, np.float32) @ between(self.axes, self.coefficients, point)
        return np.asarray(np.tensordot(mixed, self.components, 1))


def between(axes: Axes, values: NDArray[Any], point: Floats) -> NDArray[Any]:
    """Values (levels, thicknesses, tilts x, tilts y, ...) at a point, cubic in between."""
    found = [_weights(axis, float(x)) for axis, x in zip(axes, point, strict=True)]
    near = values[tuple(slice(place, place + len(weights)) for place, weights in found)]
    for _, weights in found:
        near = np.tensordot(weights.astype(np.float32), near, 1)
    return near


def _weights(axis: Floats, x: float) -> tuple[int, Floats]:
    """First index and weights of a cubic through four points of an axis; fewer where it ends.

    Lagrange's, held at the axis' ends.
    """
    count = min(4, len(axis))
    x = float(np.clip(x, axis[0], axis[-1]))
    place = int(np.searchsorted(axis, x, side="right")) - 1
    place = int(np.clip(place - (count - 2) // 2, 0, len(axis) - count))
    nodes = axis[place : place + count]
    weights = np.ones(count)
    for i, node in enumerate(nodes):
        for other in np.delete(nodes, i):
            weights[i] *= (x - other) / (node - other)
    return place, weights


def fewer_levels(count: int) -> list[int]:
    """Numbers of the levels at which changes are simulated: the first and the last."""
    return sorted({0, count - 1})


def fewer_tilts(tilts: tuple[tuple[int, int], ...]) -> list[int]:
    """Numbers of every second tilt to the right and down, none among them."""
    columns, rows = (sorted(set(values)) for values in zip(*tilts, strict=True))
    steps = [columns[min(1, len(columns) - 1)] or 1, rows[1] - rows[0] if len(rows) > 1 else 1]
    return [
        place
        for place, tilt in enumerate(tilts)
        if not any(n // step % 2 for n, step in zip(tilt, steps, strict=True))
    ]


def reduced(
    changes: NDArray[np.float16], mirrored: int, components: int
) -> tuple[NDArray[np.float32], ...]:
    """Principal components (c, rows, down, right) of changes, and their coefficients.

    ``changes`` have shape (nuisances, levels, thicknesses, tilts, rows, down, right), the tilts
    ``mirrored`` of each to the right; coefficients those of :class:`Nuisances`, tilts to the left
    mirrored.
    """
    *many, tilts, rows, down, right = changes.shape
    flat = changes.reshape(-1, rows, down, right)
    picked = np.random.default_rng(0).permutation(len(flat))[:SUBSET]
    some = flat[np.sort(picked)].astype(np.float32)
    sample = np.concatenate([some, some[..., ::-1]]).reshape(2 * len(some), -1)
    values, vectors = np.linalg.eigh(sample @ sample.T)
    most = max(1, min(components, int((values > _NOTHING * values.max()).sum())))
    values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
    basis = (vectors / np.sqrt(np.maximum(values, 1e-30))).T @ sample
    both = []
    for turned in (flat, flat[..., ::-1]):
        parts = np.array_split(turned, max(1, len(turned) // 200))
        found = [part.reshape(len(part), -1).astype(np.float32) @ basis.T for part in parts]
        both.append(np.concatenate(found).reshape(*many, mirrored, tilts // mirrored, most))
    seen = np.concatenate([both[1][..., :0:-1, :, :], both[0]], axis=-3)
    return basis.reshape(most, rows, down, right), np.moveaxis(seen, 0, -2)
