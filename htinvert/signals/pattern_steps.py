"""Steps of ``prepare`` that are the same for every diffraction pattern of a scan.

Rows and columns are those of the detector, the last two axes; a scan's axes come before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from htinvert.core import Axis, Signal, UserError
from htinvert.image.prepare import Box, resolved_box

Count = Annotated[int, Field(ge=1)]
Radius = Annotated[float, Field(ge=0)]


def crop(pattern: Signal, box: Box) -> Signal:
    """Keep rows top to bottom and columns left to right [px]; negative ones count from the end."""
    shape = pattern.data.shape[-2:]
    top, bottom, left, right = resolved_box(box, shape, step="crop", what="pattern")
    ky, kx = pattern.axes[-2:]
    axes = (
        replace(ky, origin=ky.origin + top * ky.step),
        replace(kx, origin=kx.origin + left * kx.step),
    )
    return _with(pattern, pattern.data[..., top:bottom, left:right], axes)


def center(pattern: Signal, by: Literal["mass", "symmetry"] = "mass") -> Signal:
    """Put the zero of both axes at the center of the mean pattern; no pixel is resampled.

    ``mass`` is the center of mass of what lies above half of the maximum, as of a bright disk;
    ``symmetry`` the point about which the pattern is most like itself turned by 180 degrees (the
    highest self-convolution, to a quarter pixel).
    """
    image = np.nan_to_num(mean_pattern(pattern))
    if by == "mass":
        weight = np.where(image >= 0.5 * image.max(), image, 0.0)
        if not weight.sum() > 0.0:
            raise UserError("center finds nothing bright; crop or subtract first")
        middle = [
            float((weight.sum(axis=1 - i) * np.arange(n)).sum() / weight.sum())
            for i, n in enumerate(image.shape)
        ]
    else:
        middle = _symmetric(image)
    axes = tuple(
        replace(axis, origin=-axis.step * place)
        for axis, place in zip(pattern.axes[-2:], middle, strict=True)
    )
    return _with(pattern, pattern.data, axes)


def mask(
    pattern: Signal,
    inner: Radius = 0.0,
    outer: Radius | None = None,
    boxes: list[Box] | None = None,
) -> Signal:
    """Leave out what is nearer to the center than ``inner`` or farther than ``outer``, and boxes.

    Radii are in the axes' unit, boxes top, bottom, left, right [px]. What is left out counts as not
    measured: NaN.
    """
    y, x = (pattern.coordinates(i) for i in (-2, -1))
    radius = np.hypot(y[:, None], x[None, :])
    hidden = (radius < inner) | (radius > (np.inf if outer is None else outer))
    for top, bottom, left, right in boxes or []:
        hidden[top : bottom or None, left : right or None] = True
    if hidden.all():
        raise UserError("mask leaves nothing of the pattern; give other radii or boxes")
    return _with(pattern, np.where(hidden, np.nan, pattern.data), pattern.axes[-2:])


def binned(pattern: Signal, factor: Count) -> Signal:
    """Add up squares of ``factor`` x ``factor`` px; rows and columns that are over are dropped."""
    rows, columns = (n // factor for n in pattern.data.shape[-2:])
    if min(rows, columns) < 2:
        raise UserError(f"bin {factor} leaves {rows} x {columns} px; give a smaller factor")
    part = pattern.data[..., : rows * factor, : columns * factor].astype(float)
    shape = (*part.shape[:-2], rows, factor, columns, factor)
    axes = tuple(
        replace(axis, step=axis.step * factor, origin=axis.origin + axis.step * (factor - 1) / 2)
        for axis in pattern.axes[-2:]
    )
    return _with(pattern, part.reshape(shape).sum(axis=(-3, -1)), axes)


def subtract(pattern: Signal, level: float | Literal["border"] = "border") -> Signal:
    """Subtract a dark level in counts, or of each pattern the median of its outermost pixels."""
    data = pattern.data.astype(float)
    if level == "border":
        edge = np.ones(data.shape[-2:], dtype=bool)
        edge[1:-1, 1:-1] = False
        return _with(pattern, data - np.nanmedian(data[..., edge], axis=-1)[..., None, None])
    return _with(pattern, data - level)


def mean_pattern(pattern: Signal) -> NDArray[np.float64]:
    """One pattern, shape (ny, nx): the mean over a scan's axes."""
    data = pattern.data.astype(float)
    return data.reshape(-1, *data.shape[-2:]).mean(axis=0)


def _symmetric(image: NDArray[np.float64]) -> list[float]:
    """Center of inversion [px]: the maximum of the self-convolution, refined by a parabola."""
    shape = [2 * n for n in image.shape]
    values = image - image.mean()
    self_convolved = np.fft.irfft2(np.fft.rfft2(values, s=shape) ** 2, s=shape)
    peak = np.unravel_index(int(np.argmax(self_convolved)), self_convolved.shape)
    found = []
    for axis, place in enumerate(peak):
        row = np.take(self_convolved, peak[1 - axis], axis=1 - axis)
        left, top, right = (row[(place + d) % len(row)] for d in (-1, 0, 1))
        curvature = left - 2 * top + right
        shift = 0.5 * (left - right) / curvature if curvature < 0 else 0.0
        found.append(float(place + shift) / 2.0)
    return found


def _with(pattern: Signal, data: NDArray[Any], axes: tuple[Axis, ...] | None = None) -> Signal:
    """Other data and detector axes with the same scan."""
    every = pattern.axes[:-2] + (axes or pattern.axes[-2:])
    return Signal(np.ascontiguousarray(data, dtype=np.float32), every, pattern.quantity)
