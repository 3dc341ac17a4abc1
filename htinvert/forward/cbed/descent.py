"""Least squares for a few nonlinear parameters, what is linear solved for inside.

Derivatives by differences; steps bounded, and damped as Marquardt did, more until the misfit falls
(J. Soc. Indust. Appl. Math. 11, 431 (1963)). Golub & Pereyra, Inverse Problems 19, R1 (2003).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from htinvert.core import Floats

MOST = 10.0  # difference steps that one step goes at most
_DAMPING, _LESS, _MORE, _TRIES = 1e-3, 0.1, 10.0, 4
_ENOUGH = 1e-4  # part of the misfit that a step must gain to go on


def descend(
    residual: Callable[[Floats], Floats],
    point: Floats,
    steps: Floats,
    *,
    lower: Floats,
    upper: Floats,
    count: int,
    free: NDArray[np.bool_] | None = None,
) -> tuple[Floats, float, Floats]:
    """The point after at most ``count`` steps, its sum of squares, and the last slopes.

    Args:
        residual: of a point, any shape that stays the same.
        point: where to begin, shape (n,).
        steps: for differences, in each parameter's unit, shape (n,); no step is longer than ten.
        lower: least values, shape (n,).
        upper: largest values, shape (n,).
        count: of steps.
        free: which parameters move, shape (n,) of truth values; all where None.

    Returns:
        point, misfit and slopes (residuals, free parameters) per difference step.
    """
    moving = np.flatnonzero(np.ones(len(point), bool) if free is None else free)
    here, slopes = residual(point).ravel(), np.empty((0, len(moving)))
    damping = _DAMPING
    for _ in range(count):
        signs = np.where(point + steps <= upper, 1.0, -1.0)
        columns = []
        for index in moving:
            moved = point.copy()
            moved[index] += signs[index] * steps[index]
            columns.append((residual(moved).ravel() - here) * signs[index])
        slopes = np.column_stack(columns)
        low = np.clip((lower - point) / steps, -MOST, -1e-9)[moving]
        high = np.clip((upper - point) / steps, 1e-9, MOST)[moving]
        misfit = float(here @ here)
        size = np.linalg.norm(slopes, axis=0)
        size = np.diag(np.maximum(size, 1e-6 * size.max()))
        reduced = np.linalg.qr(np.column_stack([slopes, -here]))[1]  # in as many rows as columns
        for _try in range(_TRIES):
            wanted = np.zeros(len(point))
            wanted[moving] = lsq_linear(
                np.vstack([reduced[:, :-1], np.sqrt(damping) * size]),
                np.concatenate([reduced[:, -1], np.zeros(len(moving))]),
                bounds=(low, high),
                method="bvls",
            ).x
            tried = np.clip(point + wanted * steps, lower, upper)
            there = residual(tried).ravel()
            if there @ there < misfit:
                damping *= _LESS
                break
            damping *= _MORE
        else:
            break
        point, here = tried, there
        if 1.0 - (there @ there) / misfit < _ENOUGH:
            break
    return point, float(here @ here), slopes
