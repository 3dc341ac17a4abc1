"""Errors of least squares where neighboring pixels share their noise, against many draws."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from htinvert.image.correlated import correlated_errors

SHAPE = (60, 70)


def drawn(rng: np.random.Generator, width: float) -> tuple[np.ndarray, np.ndarray]:
    """A Jacobian of two lattices, and a residual that hangs together over ``width`` px."""
    y, x = np.indices(SHAPE)
    jacobian = np.stack([np.sin(x), np.sin(0.3 * y) * np.cos(0.4 * x)], axis=-1).reshape(-1, 2)
    noise = gaussian_filter(rng.normal(size=SHAPE), width, mode="wrap") if width else None
    return jacobian, (rng.normal(size=SHAPE) if noise is None else noise).ravel()


def test_the_stated_error_is_the_scatter_of_the_estimate() -> None:
    """200 draws know their scatter to 5 %; the triangle takes some 10 % off what hangs together."""
    for width in (0.0, 1.5):
        stated, off = [], []
        for seed in range(200):
            jacobian, residual = drawn(np.random.default_rng(seed), width)
            off.append(np.linalg.lstsq(jacobian, residual, rcond=None)[0])
            stated.append(correlated_errors(jacobian, residual, SHAPE, (15.0, 15.0)))
        ratio = np.mean(stated, axis=0) / np.std(off, axis=0)
        np.testing.assert_allclose(ratio, 1.0, atol=0.25)


def test_lines_of_a_scan_that_lie_off_count_as_lines() -> None:
    """Each line moved by 0.1 px, as the slope there says; unlike lines take some 15 % off."""
    y, x = np.indices(SHAPE)
    slope = np.sin(0.7 * x) * np.exp(np.sin(0.6 * y))
    jacobian = np.stack([slope, slope * (y / 30 - 1), slope * (y > 30)], axis=-1).reshape(-1, 3)
    stated, off = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        moved = 0.1 * rng.normal(size=(SHAPE[0], 1)) * slope + 0.1 * rng.normal(size=SHAPE)
        off.append(np.linalg.lstsq(jacobian, moved.ravel(), rcond=None)[0])
        residual = moved.ravel() - jacobian @ off[-1]
        stated.append(correlated_errors(jacobian, residual, SHAPE, (15.0, 15.0)))
    ratio = np.median(stated, axis=0) / np.std(off, axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.25)


def test_a_direction_in_which_nothing_changes_has_the_error_of_its_range() -> None:
    jacobian, residual = drawn(np.random.default_rng(0), 1.5)
    jacobian = np.column_stack([jacobian, np.zeros(len(residual))])
    errors = correlated_errors(jacobian, residual, SHAPE, (15.0, 15.0))
    np.testing.assert_allclose(errors[2], 12**-0.5, rtol=1e-6)  # of a value from 0 to 1
    assert errors[0] < 0.1
