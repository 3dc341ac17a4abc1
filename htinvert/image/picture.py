"""Pictures: PNG, JPEG and BMP, with all their bits and without their transparency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.image.record import FileAxis, Record

NOTE = "a picture has no pixel size and few gray levels, prefer the instrument's own file"
SIXTEEN_COLORED = (b"\x10\x02", b"\x10\x04", b"\x10\x06")  # bits and color type, 8 to pillow


def read_picture(path: Path) -> list[Record]:
    """The picture as one sees it: indices become colors, a photograph's orientation is applied."""
    raw = path.read_bytes()
    if path.suffix.lower() == ".png" and raw[24:26] in SIXTEEN_COLORED:
        pixels = _sixteen_bits(raw)
    else:
        pixels = _eight_bits(path)
    colors = pixels.ndim == 3
    return [Record("", pixels, (FileAxis("y"), FileAxis("x")), colors, notes=(NOTE,))]


def _eight_bits(path: Path) -> NDArray[Any]:
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        shown: Any = ImageOps.exif_transpose(picture)
        if shown.mode in ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
            shown = shown.convert("RGB")
        return np.asarray(shown)


def _sixteen_bits(raw: bytes) -> NDArray[Any]:
    """Colors, or gray and transparency, of 16 bits each."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("it is damaged")
    return np.asarray(pixels[..., 2::-1] if pixels.ndim == 3 else pixels)
