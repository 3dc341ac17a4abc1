"""Images as data URIs, for a page: in gray, differences in red and blue."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Signal
from htinvert.evaluation.placed import Placed
from htinvert.image.place import fused, round_bar

QUALITY = 90  # of WebP: 2 of 255 levels rms are lost in a noisy micrograph
LARGEST = 640  # px a side of an experiment on the page
ONE_OF_MANY = 256  # px a side of a family's pictures there: three of each of sixty
SHADES = 16  # of either color of a difference


def panels(placed: Placed) -> dict[str, str]:
    """Fused image, simulation alone and residual over the whole field, as data URIs."""
    low, high = display_range(placed.observed.data)
    return {
        "fused": gray(fused(placed), low, high),
        "simulated": gray(placed.framed(placed.matched), low, high),
        "residual": diverging(placed.framed(placed.residual), high - low),
    }


def experiment(observed: Signal) -> str:
    """The experiment as a data URI."""
    return gray(observed.data.astype(float), *display_range(observed.data), largest=LARGEST)


def bar(observed: Signal) -> dict[str, Any]:
    """A bar of a round length of about a fifth of the field: pixels and label."""
    step = observed.sampling[1]
    pixels, label = round_bar(observed.data.shape[1] * step, step)
    return {"pixels": pixels, "label": label}


def display_range(data: NDArray[np.floating]) -> tuple[float, float]:
    """Values that are shown black and white: all but half a percent at either end lie between."""
    low, high = np.nanpercentile(data, (0.5, 99.5))
    return float(low), float(high)


def gray(data: NDArray[np.float64], low: float, high: float, *, largest: int | None = None) -> str:
    """An image in gray between two values, transparent where it is not finite.

    Thinned to ``largest`` pixels a side, by default to those of one of many pictures.
    """
    data = thinned(data, largest or ONE_OF_MANY)
    level = np.clip((np.nan_to_num(data) - low) / max(high - low, 1e-30), 0.0, 1.0)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = 255 * level[..., None]
    pixels[..., 3] = 255 * np.isfinite(data)
    return picture(pixels)


def diverging(data: NDArray[np.float64], span: float) -> str:
    """Differences in red (positive) and blue, white at 0; transparent where not finite."""
    data = thinned(data, ONE_OF_MANY)
    level = np.clip(np.nan_to_num(data) / max(span, 1e-30), -1.0, 1.0)[..., None]
    level = np.round(level * SHADES) / SHADES
    red, blue, white = np.array([178, 24, 43]), np.array([33, 102, 172]), np.full(3, 247)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = white + np.abs(level) * (np.where(level > 0, red, blue) - white)
    pixels[..., 3] = 255 * np.isfinite(data)
    return picture(pixels, lossless=True)


def thinned(data: NDArray[np.float64], largest: int) -> NDArray[np.float64]:
    """Averages over boxes, so that no side has more than ``largest`` pixels; NaN where all are."""
    from PIL import Image

    scale = largest / max(data.shape)
    if scale >= 1.0:
        return data
    size = (max(1, round(data.shape[1] * scale)), max(1, round(data.shape[0] * scale)))
    known = np.isfinite(data)
    parts = (np.where(known, data, 0.0), known)
    total, share = (
        np.asarray(
            Image.fromarray(part.astype(np.float32)).resize(size, Image.Resampling.BOX), float
        )
        for part in parts
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > 0.0, total / share, np.nan)


def picture(pixels: NDArray[np.float64], *, lossless: bool = False) -> str:
    """RGBA values, shape (ny, nx, 4), as a data URI.

    WebP with a little loss takes a quarter of a PNG, which noise fills, but it smears colors over
    two pixels. The files beside a page and the run keep all. PNG where this machine's Pillow
    writes no WebP.
    """
    from PIL import Image, features

    image = Image.fromarray(np.round(pixels).astype(np.uint8), "RGBA")
    target = io.BytesIO()
    kind = "webp" if features.check("webp") else "png"
    how = {"lossless": lossless, "quality": QUALITY, "alpha_quality": 100, "method": 4}
    image.save(target, format=kind, optimize=True, **how)
    return f"data:image/{kind};base64," + base64.b64encode(target.getvalue()).decode()
