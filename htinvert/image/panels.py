"""Images as PNG data URIs, for a page: in gray, differences in red and blue."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Signal
from htinvert.evaluation.placed import Placed
from htinvert.image.place import fused, round_bar

LARGEST = 640  # px: larger images are thinned for the page; files keep all


def panels(placed: Placed) -> dict[str, str]:
    """Fused image, simulation alone and residual over the whole field, as PNG data URIs."""
    low, high = display_range(placed.observed.data)
    return {
        "fused": gray(fused(placed), low, high),
        "simulated": gray(placed.framed(placed.matched), low, high),
        "residual": diverging(placed.framed(placed.residual), high - low),
    }


def experiment(observed: Signal) -> str:
    """The experiment as a PNG data URI."""
    return gray(observed.data.astype(float), *display_range(observed.data))


def bar(observed: Signal) -> dict[str, Any]:
    """A bar of a round length of about a fifth of the field: pixels and label."""
    step = observed.sampling[1]
    pixels, label = round_bar(observed.data.shape[1] * step, step)
    return {"pixels": pixels, "label": label}


def display_range(data: NDArray[np.floating]) -> tuple[float, float]:
    """Values that are shown black and white: all but half a percent at either end lie between."""
    low, high = np.nanpercentile(data, (0.5, 99.5))
    return float(low), float(high)


def gray(data: NDArray[np.float64], low: float, high: float) -> str:
    """An image in gray between two values, transparent where it is not finite."""
    level = np.clip((np.nan_to_num(data) - low) / max(high - low, 1e-30), 0.0, 1.0)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = 255 * level[..., None]
    pixels[..., 3] = 255 * np.isfinite(data)
    return png(pixels)


def diverging(data: NDArray[np.float64], span: float) -> str:
    """Differences in red (positive) and blue, white at 0; transparent where not finite."""
    level = np.clip(np.nan_to_num(data) / max(span, 1e-30), -1.0, 1.0)[..., None]
    red, blue, white = np.array([178, 24, 43]), np.array([33, 102, 172]), np.full(3, 247)
    pixels = np.empty((*data.shape, 4))
    pixels[..., :3] = white + np.abs(level) * (np.where(level > 0, red, blue) - white)
    pixels[..., 3] = 255 * np.isfinite(data)
    return png(pixels)


def png(pixels: NDArray[np.float64]) -> str:
    """RGBA values, shape (ny, nx, 4), as a PNG data URI; thinned where larger than a page needs."""
    from PIL import Image

    image = Image.fromarray(np.round(pixels).astype(np.uint8), "RGBA")
    if max(image.size) > LARGEST:
        scale = LARGEST / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX)
    target = io.BytesIO()
    image.save(target, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()
