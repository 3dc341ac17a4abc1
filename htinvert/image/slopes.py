"""Derivatives of an image's fit, most of them without an image of their own.

Derivatives with respect to what only moves pixels are the image's own gradient along the motion
(Lucas & Kanade, IJCAI 674 (1981)), so that a step costs one image and not one for each parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from htinvert.core import Floats, Signal
from htinvert.evaluation.optimize import STEP, Box
from htinvert.forward.scene import PIXELS, Pixels, Window
from htinvert.metrics.linear import gain_of

Slopes = tuple[NDArray[np.floating], NDArray[np.floating]]
GRADIENT = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / 12.0  # of a cubic through five pixels


def jacobian(
    box: Box,
    point: Floats,
    patch: Floats,
    *,
    model: Callable[[Floats], Any],
    simulate: Callable[[Floats], Signal],
    slopes: Callable[[Floats], Slopes] | None = None,
) -> Floats:
    """Derivatives of what a simulation leaves of ``patch``, shape (pixels, n), at a point of a box.

    Of the motion of pixels from the image's gradient, else by differences; gain and offset, which
    are linear, are projected out (variable projection: Kaufman, BIT 15, 49 (1975)). ``patch`` has
    zero mean and unit norm; ``model`` and ``simulate`` answer for a point. ``slopes`` answers the
    slopes of the image there by column and by row [1/px], by five pixels where it is not given.
    """
    image = simulate(point).data.astype(float)
    moving = _motions(box, point, model)
    by_column, by_row = (slopes or _of_five_pixels)(image)
    columns = []
    for index in range(len(point)):
        if index in moving:
            across, down = moving[index]
            column = -(by_column * across + by_row * down)
        else:
            beside = _beside(point, index)
            column = (simulate(beside).data - image) / (beside[index] - point[index])
        columns.append(column.ravel())
    changes = np.stack(columns, axis=1)
    changes -= changes.mean(axis=0)
    unit = image.ravel() - image.mean()
    gain = max(gain_of(unit, patch), 0.0)
    changes -= np.outer(unit, unit @ changes / max(float(unit @ unit), 1e-300))
    return np.asarray(-gain * changes)


def _of_five_pixels(image: Floats) -> Slopes:
    across, down = (correlate1d(image, GRADIENT, axis, mode="nearest") for axis in (1, 0))
    return across, down


def _motions(
    box: Box, point: Floats, model: Callable[[Floats], Any]
) -> dict[int, tuple[Floats, Floats]]:
    """How far each pixel's content moves, (across, down) [px], by index of the parameter.

    Over the parameter's whole range, to first order.
    """
    start = model(point)
    if not isinstance(start, Pixels):
        return {}
    here = start.window(np.zeros(2))
    rows, columns = np.indices(here.shape, dtype=float)
    found = {}
    for index, name in enumerate(box.names):
        if name not in PIXELS and name != "sampling":
            continue
        beside = _beside(point, index)
        step = beside[index] - point[index]
        offset, turn = _affine(here, model(beside).window(np.zeros(2)))
        offset, turn = offset / step, (turn - np.eye(2)) / step
        across = offset[0] + turn[0, 0] * columns + turn[0, 1] * rows
        down = offset[1] + turn[1, 0] * columns + turn[1, 1] * rows
        found[index] = across, down
    return found


def _beside(point: Floats, index: int) -> Floats:
    """A point a little farther along one parameter, inside of the box."""
    moved = point.copy()
    moved[index] += STEP if point[index] < 0.5 else -STEP
    return moved


def _affine(before: Window, after: Window) -> tuple[Floats, NDArray[np.floating]]:
    """Where a pixel's content goes between two windows: offset (2,) and matrix (2, 2) [px]."""
    inverse = np.linalg.inv(after.per_pixel)
    offset = inverse @ (before.origin - after.origin)
    return np.asarray(offset, dtype=float), np.asarray(inverse @ before.per_pixel, dtype=float)
