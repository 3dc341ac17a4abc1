"""Pictures of a page are small, and yet what they show."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image, features

from htinvert.image.panels import ONE_OF_MANY, diverging, gray, picture, thinned

webp = pytest.mark.skipif(not features.check("webp"), reason="Pillow writes no WebP here")


def decoded(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"), float)


def noisy() -> np.ndarray:
    """Columns of atoms with counting noise, transparent at the left."""
    y, x = np.mgrid[:160, :120]
    columns = 100 * (1 + np.cos(x / 2)) * (1 + np.cos(y / 2)) / 4 + 5
    image = np.random.default_rng(1).poisson(columns).astype(float)
    image[:, :10] = np.nan
    return image


@webp
def test_a_noisy_image_takes_a_third_and_loses_a_few_levels() -> None:
    image = noisy()
    uri = gray(image, 0.0, 120.0)
    assert uri.startswith("data:image/webp;base64,")
    exact = np.clip(np.nan_to_num(image) / 120.0, 0, 1) * 255
    shown = decoded(uri)
    lost = shown[:, 10:, 0] - exact[:, 10:]
    assert np.sqrt(np.mean(lost**2)) < 4.0  # of 255 levels; counting noise itself is 10
    png = io.BytesIO()
    Image.fromarray(np.round(exact).astype(np.uint8)).convert("RGBA").save(png, "png")
    assert 3 * len(uri) * 3 / 4 < 1.5 * len(png.getvalue())
    assert (shown[:, :9, 3] == 0).all() and (shown[:, 11:, 3] == 255).all()


def test_without_webp_it_is_a_png(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    assert picture(np.full((4, 4, 4), 255.0)).startswith("data:image/png;base64,")


@webp
def test_sixty_large_families_fit_into_eight_megabytes() -> None:
    """Of three pictures each, beside the viewer's half of one."""
    y, x = np.mgrid[:700, :700]
    columns = 100 * (1 + np.cos(x / 4)) * (1 + np.cos(y / 4)) / 4 + 5
    image = np.random.default_rng(1).poisson(columns).astype(float)
    one = 2 * len(gray(image, 0.0, 120.0)) + len(diverging((image - columns) / 3, 100.0))
    assert 61 * one < 7.0e6


def test_thinning_averages_what_is_known() -> None:
    data = np.arange(4.0 * ONE_OF_MANY**2).reshape(2 * ONE_OF_MANY, 2 * ONE_OF_MANY)
    data[:2, :2] = np.nan
    data[2, 2] = np.nan
    small = thinned(data, ONE_OF_MANY)
    assert small.shape == (ONE_OF_MANY, ONE_OF_MANY)
    assert np.isnan(small[0, 0])
    np.testing.assert_allclose(small[1, 1], np.nanmean(data[2:4, 2:4]))
    np.testing.assert_allclose(small[5, 7], data[10:12, 14:16].mean())
