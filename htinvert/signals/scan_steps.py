"""Steps of ``prepare`` on a scan that stays in its file: nothing is read that is not needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from htinvert.core import Axis, Signal, UserError
from htinvert.evaluation.steps import parse_step
from htinvert.signals import pattern_steps
from htinvert.signals.defects import find_defects, find_shadow
from htinvert.signals.disk import find_disk
from htinvert.signals.scan import PatternScan

Vector = tuple[float, float]
Counts = Annotated[int, Field(ge=1)]


def prepare_scan(scan: PatternScan, steps: Iterable[Mapping[str, Any]]) -> PatternScan:
    """Apply steps in order. Raises :class:`UserError` naming the step that is wrong or unfit."""
    for number, step in enumerate(steps, 1):
        name, given = parse_step(step, STEPS)
        try:
            if name in ON_SCANS:
                scan = ON_SCANS[name](scan, **given)
            else:
                scan = scan.then(partial(EACH[name], **given))
        except UserError as error:
            raise UserError(f"prepare, step {number}: {error}") from error
    return scan


def center(
    scan: PatternScan, by: Literal["mass", "symmetry", "disk", "frame"] = "mass"
) -> PatternScan:
    """Put the zero of both axes at the center of the mean pattern; no pixel is resampled.

    ``mass`` is the center of mass of what lies above half of the maximum, as of a bright disk;
    ``symmetry`` the point about which the pattern is most like itself turned by 180 degrees (the
    highest self-convolution, to a quarter pixel); ``disk`` that of the circle with the sharpest
    edge; ``frame`` the middle pixel, n // 2, as of what is simulated. The mean is that of at most
    16 x 16 places.
    """
    if by == "disk":
        found = find_disk(middle_pattern(scan))
        return centered(scan, (found.row, found.column))
    if by == "frame":
        return centered(scan, tuple(n // 2 for n in scan.pattern.data.shape[-2:]))
    sample = scan.sample()
    axes = pattern_steps.center(sample, by).axes[-2:]
    return scan.then(partial(_with_axes, axes=axes))


def repair(scan: PatternScan) -> PatternScan:
    """Leave out dead, hot and saturated pixels of the detector: they count as not measured, NaN.

    Found in at most 16 x 16 patterns, see :func:`htinvert.signals.defects.find_defects`.
    """
    return hidden(scan, find_defects(scan.sample()).every)


def beam_stop(scan: PatternScan) -> PatternScan:
    """Leave out what a beam stop shades: dark where the pixel opposite of the center is bright."""
    mean = middle_pattern(scan)
    shadow = find_shadow(mean, middle_of(scan))
    if not shadow.any():
        raise UserError("beam_stop finds no shadow that reaches in from the border; leave it out")
    return hidden(scan, shadow)


def average(scan: PatternScan, box: tuple[int, ...] | None = None) -> PatternScan:
    """The mean pattern of a scan, or of its part first to last along each scan axis (last out)."""
    before = len(scan.places)
    if not before:
        raise UserError("average needs a scan of patterns, and this is one pattern; leave it out")
    if box is not None and len(box) != 2 * before:
        raise UserError(f"average takes first and last of {before} axes; give {2 * before} numbers")
    return _held(scan.region(box).mean(), scan)


def cells(scan: PatternScan, a: Vector, b: Vector, origin: Vector = (0.0, 0.0)) -> PatternScan:
    """The mean pattern of each unit cell: a scan of cells, rows along ``b``, columns along ``a``.

    Args:
        scan: the scan, of two axes.
        a: the cell's vector along a row of cells, (right, down) in places of the scan.
        b: the other one, from one row of cells to the next.
        origin: a corner of a cell, (right, down) in places of the scan.

    Cells that are not wholly in the scan are left out; what remains are those of the largest block
    of rows and columns without a gap.
    """
    if len(scan.places) != 2:
        raise UserError("cells needs a scan of two axes; leave it out")
    index, axes = _cells_of(scan, np.array([a, b]), np.array(origin))
    shape = (int(index[..., 0].max()) + 1, int(index[..., 1].max()) + 1)
    flat = np.where((index < 0).any(axis=-1), -1, index[..., 0] * shape[1] + index[..., 1])
    one = scan.pattern
    total, count = np.zeros((shape[0] * shape[1], *one.data.shape)), np.zeros(shape[0] * shape[1])
    for part, block in scan.blocks():
        which = flat[part].ravel()
        values = block.data.reshape(-1, *one.data.shape)
        np.add.at(total, which[which >= 0], values[which >= 0])
        count += np.bincount(which[which >= 0], minlength=len(count))
    mean = (total / count[:, None, None]).reshape(*shape, *one.data.shape)
    return _held(Signal(mean.astype(np.float32), (*axes, *one.axes)), scan)


def centered(scan: PatternScan, middle: tuple[float, ...]) -> PatternScan:
    """The scan with the zero of its detector's axes at a place (row, column) [px]."""
    axes = tuple(
        replace(axis, origin=-axis.step * place)
        for axis, place in zip(scan.pattern.axes, middle, strict=True)
    )
    return scan.then(partial(_with_axes, axes=axes))


def scaled(scan: PatternScan, radius: float) -> PatternScan:
    """The scan centered and calibrated by the radius [mrad] of its bright disk.

    Raises :class:`UserError` where no disk is seen.
    """
    found = find_disk(middle_pattern(scan))
    step = radius / found.radius
    axes = (
        Axis("ky", "mrad", step, -step * found.row),
        Axis("kx", "mrad", step, -step * found.column),
    )
    return scan.then(partial(_with_axes, axes=axes))


def middle_pattern(scan: PatternScan) -> NDArray[np.float64]:
    """The mean pattern of at most 16 x 16 places, dead and hot pixels NaN."""
    sample = scan.sample()
    mean = sample.data.mean(axis=0, dtype=float)
    mean[find_defects(sample).bad] = np.nan
    return mean


def middle_of(scan: PatternScan) -> tuple[float, float]:
    """Row and column [px] where the axes are zero."""
    y, x = scan.pattern.axes
    return -y.origin / y.step, -x.origin / x.step


def hidden(scan: PatternScan, mask: NDArray[np.bool_]) -> PatternScan:
    """The scan with pixels of the detector that were not measured: NaN."""
    return scan.then(partial(_hidden, mask=mask)) if mask.any() else scan


def _hidden(pattern: Signal, *, mask: NDArray[np.bool_]) -> Signal:
    data = pattern.data.copy()
    data[..., mask] = np.nan
    return replace(pattern, data=data)


def _with_axes(pattern: Signal, *, axes: tuple[Axis, ...]) -> Signal:
    return replace(pattern, axes=(*pattern.axes[:-2], *axes))


def _held(found: Signal, scan: PatternScan) -> PatternScan:
    """What was made of a scan, as one that lies in memory."""
    return PatternScan(found.data, found.axes, scan.name)


def _cells_of(
    scan: PatternScan, vectors: NDArray[np.float64], origin: NDArray[np.float64]
) -> tuple[NDArray[np.intp], tuple[Axis, Axis]]:
    """Cell (row, column) of each place, (ny, nx, 2), negative in none; axes of the cells."""
    area = abs(float(np.linalg.det(vectors)))
    if area < 4.0:
        raise UserError(
            f"cells of {area:.3g} places have no mean pattern; give a and b (right, down) in "
            "places of the scan, such as a: [16, 0] and b: [0, 16]"
        )
    rows, columns = np.indices(scan.places)
    across = np.stack([columns, rows], axis=-1) - origin
    index = np.floor(across @ np.linalg.inv(vectors) + 1e-9).astype(int)[..., ::-1]
    low = index.reshape(-1, 2).min(axis=0)
    index = index - low
    shape = index.reshape(-1, 2).max(axis=0) + 1
    filled = np.zeros(shape, dtype=bool)
    height, width = scan.places
    for row, column in np.ndindex(*shape):
        corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) + (np.array([column, row]) + low[::-1])
        ends = corners @ vectors + origin
        inside = (ends > -0.75).all() and (ends <= np.array([width, height]) + 0.25).all()
        filled[row, column] = inside
    top, bottom, left, right = _largest(filled)
    if bottom <= top:
        raise UserError("not one of the cells is wholly in the scan; check a, b and origin")
    index = index - np.array([top, left])
    outside = (index < 0) | (index >= np.array([bottom - top, right - left]))
    index[outside.any(axis=-1)] = -1
    steps = [
        float(np.hypot(*(vector * [scan.axes[1].step, scan.axes[0].step])))
        for vector in (vectors[1], vectors[0])
    ]
    return index, (Axis("y", "Å", steps[0]), Axis("x", "Å", steps[1]))


def _largest(filled: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the largest block without a gap."""
    best, most = (0, 0, 0, 0), 0
    for top in range(len(filled)):
        every = np.ones(filled.shape[1], dtype=bool)
        for bottom in range(top + 1, len(filled) + 1):
            every &= filled[bottom - 1]
            edges = np.flatnonzero(np.diff(np.concatenate([[0], every.astype(int), [0]])))
            for left, right in zip(edges[::2], edges[1::2], strict=True):
                if (size := int((bottom - top) * (right - left))) > most:
                    best, most = (top, bottom, int(left), int(right)), size
    return best


EACH: Mapping[str, Callable[..., Signal]] = {
    "crop": pattern_steps.crop,
    "mask": pattern_steps.mask,
    "bin": pattern_steps.binned,
    "subtract": pattern_steps.subtract,
}  # on every pattern alike
ON_SCANS: Mapping[str, Callable[..., PatternScan]] = {
    "center": center,
    "repair": repair,
    "beam_stop": beam_stop,
    "average": average,
    "cells": cells,
}
STEPS: Mapping[str, Callable[..., Any]] = {**EACH, **ON_SCANS}
