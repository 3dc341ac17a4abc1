"""Steps that ``prepare`` may name for curves: range, background, normalize, rebin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.polynomial import Polynomial
from pydantic import Field

from htinvert.core import Floats, Signal, UserError

Positive = Annotated[float, Field(gt=0)]
Limits = tuple[float | None, float | None]


def cut(curve: Signal, limits: Limits) -> Signal:
    """Keep the points from the lower to the upper limit, in the axis's unit; null for none."""
    x = curve.coordinates()
    lower = -np.inf if limits[0] is None else limits[0]
    upper = np.inf if limits[1] is None else limits[1]
    slack = 1e-6 * curve.axes[0].step
    (inside,) = np.nonzero((x >= lower - slack) & (x <= upper + slack))
    if len(inside) < 2:
        axis = curve.axes[0]
        raise UserError(
            f"range {list(limits)} leaves {len(inside)} points of a curve that goes from {x[0]:g} "
            f"to {x[-1]:g} {axis.unit}; give limits inside"
            + (", or the unit, such as axis: r [nm]" if axis.unit == "Å" else "")
        )
    axis = replace(curve.axes[0], origin=float(x[inside[0]]))
    return replace(curve, data=curve.data[inside[0] : inside[-1] + 1].copy(), axes=(axis,))


def background(
    curve: Signal, degree: Annotated[int, Field(ge=0, le=9)] = 1, limits: Limits = (None, None)
) -> Signal:
    """Subtract the polynomial that fits best, by least squares, between the limits."""
    x, y = curve.coordinates(), curve.data.astype(float)
    part = cut(curve, limits)
    if len(part.data) <= degree:
        raise UserError(f"background of degree {degree} needs more points than {len(part.data)}")
    fitted = Polynomial.fit(part.coordinates(), part.data.astype(float), degree)
    return _with(curve, y - fitted(x))


def normalize(
    curve: Signal,
    by: Literal["maximum", "area", "mean"] = "maximum",
    limits: Limits = (None, None),
) -> Signal:
    """Divide by the maximum, the mean, or the area under the curve, between the limits."""
    part = cut(curve, limits).data.astype(float)
    sizes: Mapping[str, Callable[[Floats], float]] = {
        "maximum": lambda values: float(np.nanmax(values)),
        "mean": lambda values: float(np.nanmean(values)),
        "area": lambda values: float(np.nansum(values) * curve.axes[0].step),
    }
    size = sizes[by](part)
    if not size > 0.0:
        raise UserError(f"normalize finds a {by} of {size:g}; choose another way or other limits")
    return replace(_with(curve, curve.data.astype(float) / size), quantity="")


def rebin(curve: Signal, step: Positive) -> Signal:
    """Resample to another step: averages where it is coarser, linear interpolation where finer."""
    x = curve.coordinates()
    count = int(np.floor((x[-1] - x[0]) / step + 1e-9)) + 1
    if count < 2:
        raise UserError(f"rebin {step:g} leaves fewer than two points; give a smaller step")
    axis = curve.axes[0]
    grid, values = evenly(x, curve.data.astype(float), step)
    return Signal.curve(grid, values, name=axis.name, unit=axis.unit, quantity=curve.quantity)


def evenly(x: Floats, y: Floats, step: float) -> tuple[Floats, Floats]:
    """An even grid from the first of rising x, shape (n,), and the values there.

    Where the step is coarser than those of x a new point is the mean over a step around it, of
    straight lines between the old ones; else, and at both ends, it is interpolated.
    """
    count = int(np.floor((x[-1] - x[0]) / step + 1e-9)) + 1
    grid = x[0] + step * np.arange(count)
    values = np.interp(grid, x, y)
    if step > 1.01 * float(np.median(np.diff(x))):
        upper = _integral(x, y, grid[1:-1] + 0.5 * step)
        values[1:-1] = (upper - _integral(x, y, grid[1:-1] - 0.5 * step)) / step
    return grid, values


def _integral(x: Floats, y: Floats, ends: Floats) -> Floats:
    """Integral of straight lines through the points from the first to each of ``ends``."""
    whole = np.concatenate([[0.0], np.cumsum(0.5 * (y[1:] + y[:-1]) * np.diff(x))])
    place = np.clip(np.searchsorted(x, ends) - 1, 0, len(x) - 2)
    rest = ends - x[place]
    return np.asarray(whole[place] + 0.5 * (y[place] + np.interp(ends, x, y)) * rest)


STEPS: Mapping[str, Callable[..., Signal]] = {
    "range": cut,
    "background": background,
    "normalize": normalize,
    "rebin": rebin,
}
PLACING = ("range",)


def _with(curve: Signal, values: Floats) -> Signal:
    return replace(curve, data=np.ascontiguousarray(values, dtype=np.float32))
