"""What a detector makes of patterns: blur and splines as of scipy, one blur for all strips."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from htinvert.forward.cbed.detector import brought, brought_together, copies

RNG = np.random.default_rng(5)


def test_copies_are_blurred_and_read_as_by_scipy() -> None:
    density = RNG.random((2, 21, 25))
    x, y = np.meshgrid(1.9 * np.arange(-8, 8) + 0.3, 1.7 * np.arange(-7, 7) - 0.2)
    seen = copies(density, (1.3, 1.1), (x, y), blur=0.9, widths=(2.0,))
    for pattern, both in zip(density, seen, strict=True):
        for width, found in zip((0.9, np.hypot(0.9, 2.0)), both, strict=True):
            blurred = gaussian_filter(pattern, (width / 1.3, width / 1.1), mode="constant")
            at = [y / 1.3 + 10.0, x / 1.1 + 12.0]
            expected = map_coordinates(blurred, at, order=3, mode="constant")
            assert np.abs(found - expected).max() < 1e-6, "single precision of scipy's poles"


def test_what_a_grid_has_blurred_already_is_not_blurred_again() -> None:
    density = gaussian_filter(RNG.random((31, 31)), 2.5)
    x, y = np.meshgrid(np.arange(-5.0, 6.0), np.arange(-5.0, 6.0))
    plain = copies(density, (1.0, 1.0), (x, y), blur=1.5)
    binned = gaussian_filter(density, (0.9, 0.0), mode="constant")
    again = copies(binned, (1.0, 1.0), (x, y), blur=1.5, before=(0.9, 0.0))
    assert again == pytest.approx(plain, rel=1e-3)


def test_one_blur_holds_for_all_strips_and_a_gain_for_each() -> None:
    columns, weights = RNG.random((3, 4, 6, 7)), RNG.uniform(0.5, 2.0, (3, 6, 7))
    own, shared = np.array([[2.0, 0.3], [1.5, 0.0], [1.0, 0.2]]), np.array([0.4, 0.1])
    truth = np.einsum("ncyx,nc->nyx", columns[:, [0, 3]], own) + 0.7
    truth += np.einsum("ncyx,c->nyx", columns[:, [1, 2]], shared)
    data = truth.copy()
    data[1, 2, 3] = np.nan
    found = brought_together(columns, data, weights, own=(0, 3))
    assert found == pytest.approx(truth, abs=1e-9)
    changed = truth.copy()
    changed[0] += 0.4 * columns[0, 1]  # a tail that only one strip has is not explained
    found = brought_together(columns, changed, weights, own=(0, 3))
    assert np.abs(found - changed).max() > 0.05
    alone = brought(columns[0], changed[0], weights[0])[0]
    assert alone == pytest.approx(changed[0], abs=1e-9)
