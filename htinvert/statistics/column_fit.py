"""Compiled loop over the columns of an image: each fitted in its window, others taken off.

A column is A ((1 - w) exp(-r² / 2 s²) + w exp(-r² / 2 (WIDE s)²)) on a background; pixels weigh by
a variance v0 + v1 times the model, as counted electrons have it, and at least v2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WIDE = 2.2  # width of a column's tails over that of its core
STEP = 0.6  # px that a column moves at most at once


def fit_windows(
    image: Any,
    model: Any,
    columns: Any,
    shapes: Any,
    kinds: Any,
    variance: Any,
    expected: Any,
    hold: Any,
    half: Any,
    free: Any,
    errors: Any,
) -> None:
    """Improve ``columns`` (n, 4), amplitude, y, x and background, in place; ``model`` has all.

    ``shapes`` (k, 2) are width and share of tails of each kind, ``expected`` (n, 2) where columns
    should be, to which ``hold`` [1/px²] ties them, ``half`` the windows' half width, ``free`` 3, or
    4 to fit the background, too. Variances and the covariance of y and x go to
    ``errors`` (n, 5): amplitude, y, x, background; the last is that of y and x.
    """
    ny, nx = image.shape
    normal, right, slope = np.zeros((4, 4)), np.zeros(4), np.ones(4)
    for c in range(len(columns)):
        amplitude, y, x, ground = columns[c]
        s, w = shapes[kinds[c]]
        top, bottom = max(0, int(y) - half), min(ny, int(y) + half + 2)
        left, end = max(0, int(x) - half), min(nx, int(x) + half + 2)
        if bottom - top < 3 or end - left < 3:
            continue
        normal[:], right[:] = 0.0, 0.0
        normal[1, 1] = normal[2, 2] = hold
        right[1], right[2] = hold * (expected[c, 0] - y), hold * (expected[c, 1] - x)
        for i in range(top, bottom):
            for j in range(left, end):
                r2 = (i - y) ** 2 + (j - x) ** 2
                if r2 > half * half:
                    continue
                core = (1.0 - w) * np.exp(-0.5 * r2 / (s * s))
                tail = w * np.exp(-0.5 * r2 / (s * s * WIDE * WIDE))
                pull = amplitude * (core + tail / (WIDE * WIDE)) / (s * s)
                slope[0], slope[1], slope[2] = core + tail, pull * (i - y), pull * (j - x)
                noise = variance[0] + variance[1] * (model[i, j] + ground)
                weight = 1.0 / max(noise, variance[2])
                left_over = image[i, j] - model[i, j] - ground
                for a in range(free):
                    right[a] += weight * slope[a] * left_over
                    for b in range(free):
                        normal[a, b] += weight * slope[a] * slope[b]
        inverse = np.linalg.inv(normal[:free, :free] + 1e-300 * np.eye(free))
        step = inverse @ right[:free]
        errors[c, :free] = np.diag(inverse)
        errors[c, 4] = inverse[1, 2]
        if free > 3:
            columns[c, 3] = ground + step[3]
        columns[c, 0] = max(amplitude + step[0], 0.0)
        columns[c, 1] = y + min(max(step[1], -STEP), STEP)
        columns[c, 2] = x + min(max(step[2], -STEP), STEP)


def taken_up(model: Any, columns: Any, shapes: Any, kinds: Any, spread: Any, errors: Any) -> Any:
    """How much of each pixel's noise the fits of :func:`fit_windows` take up, shape (ny, nx).

    ``spread`` is the variance of the pixels; only that of a column's y and x are taken as coupled.
    """
    taken, (ny, nx), half = np.zeros_like(model), model.shape, int(3.0 * shapes[:, 0].max()) + 1
    for c in range(len(columns)):
        amplitude, y, x, _ = columns[c]
        s, w = shapes[kinds[c]]
        for i in range(max(0, int(y) - half), min(ny, int(y) + half + 2)):
            for j in range(max(0, int(x) - half), min(nx, int(x) + half + 2)):
                r2 = (i - y) ** 2 + (j - x) ** 2
                core = (1.0 - w) * np.exp(-0.5 * r2 / (s * s))
                tail = w * np.exp(-0.5 * r2 / (s * s * WIDE * WIDE))
                pull = amplitude * (core + tail / (WIDE * WIDE)) / (s * s)
                down, right = pull * (i - y), pull * (j - x)
                share = (core + tail) ** 2 * errors[c, 0] + 2.0 * down * right * errors[c, 4]
                share += down**2 * errors[c, 1] + right**2 * errors[c, 2]
                taken[i, j] += share / spread[i, j]
    return taken


def draw_columns(model: Any, columns: Any, shapes: Any, kinds: Any, half: Any) -> None:
    """Add all columns to ``model``, in place."""
    ny, nx = model.shape
    for c in range(len(columns)):
        amplitude, y, x, _ = columns[c]
        s, w = shapes[kinds[c]]
        for i in range(max(0, int(y) - half - 1), min(ny, int(y) + half + 3)):
            for j in range(max(0, int(x) - half - 1), min(nx, int(x) + half + 3)):
                r2 = (i - y) ** 2 + (j - x) ** 2
                if r2 <= half * half:
                    model[i, j] += amplitude * (
                        (1.0 - w) * np.exp(-0.5 * r2 / (s * s))
                        + w * np.exp(-0.5 * r2 / (s * s * WIDE * WIDE))
                    )
