"""A whole micrograph, however large, as a structure is looked for in it: small, and in pieces.

Pixels are averaged in whole blocks before anything is made of them, so that nothing but the image
itself grows with it.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Signal, UserError
from htinvert.matching.target import SMALLEST, TILE, WHOLE, resampled

MOST = 10  # tiles along each side
FIELD = 600.0  # Å: the largest part that is searched place by place
Box = tuple[int, int, int, int]


def binned(image: Signal, step: float) -> Signal:
    """The image averaged over whole blocks of at most ``step`` [Å]; itself where that is one pixel.

    Rows and columns that do not fill a block are left out at both ends.
    """
    blocks = [max(1, int(step / own + 1e-6)) for own in image.sampling]
    if max(blocks) == 1:
        return image
    (down, right), (ny, nx) = (
        blocks,
        (n // b for n, b in zip(image.data.shape, blocks, strict=True)),
    )
    top, left = (image.data.shape[0] - ny * down) // 2, (image.data.shape[1] - nx * right) // 2
    data = np.zeros((ny, nx), np.float32)
    for row, column in product(range(down), range(right)):  # no copy larger than what comes out
        rows = slice(top + row, top + row + down * ny, down)
        data += image.data[rows, left + column : left + column + right * nx : right]
    data /= down * right
    y, x = image.sampling
    return Signal.image(data, (y * down, x * right))


def squares(image: Signal, step: float) -> Signal:
    """The image in square pixels of ``step`` [Å] or its own, blocks averaged first."""
    return resampled(binned(image, step / 1.5), step)


def tile_boxes(image: Signal) -> list[Box]:
    """Top, bottom, left, right [px] of overlapping tiles; one, where the image is small."""
    spans = []
    for size, step in zip(image.data.shape, image.sampling, strict=True):
        side = size * step
        if side <= WHOLE:
            spans.append([(0, size)])
            continue
        count = min(int(np.ceil((side - TILE) / (TILE / 2))) + 1, MOST)
        width = int(TILE / step)
        starts = np.linspace(0, size - width, count).astype(int)
        spans.append([(int(start), int(start) + width) for start in starts])
    return [(*rows, *columns) for rows, columns in product(*spans)]


def part(image: Signal, box: Box) -> Signal:
    """A part of an image, not copied."""
    return Signal(image.data[box[0] : box[1], box[2] : box[3]], image.axes)


def around(image: Signal, middle: NDArray[np.floating], side: float) -> Box:
    """A box of ``side`` [Å] or the image's, as near to ``middle`` (row, column) as fits."""
    found: list[int] = []
    for size, step, at in zip(image.data.shape, image.sampling, middle, strict=True):
        width = min(size, max(8, round(side / step)))
        start = int(np.clip(round(float(at) - width / 2), 0, size - width))
        found += [start, start + width]
    return found[0], found[1], found[2], found[3]


def check_usable(image: Signal) -> None:
    """Raise :class:`UserError` for an image that is constant, not finite or too small."""
    if not np.isfinite(image.data).all():
        raise UserError("the image has pixels that are not finite numbers; mask or crop them")
    if np.ptp(image.data) == 0:
        raise UserError("the image is the same everywhere; there is nothing to find")
    y, x = (n * step for n, step in zip(image.data.shape, image.sampling, strict=True))
    if min(y, x) < SMALLEST:
        raise UserError(
            f"the image covers {y:.1f} x {x:.1f} Å; {SMALLEST:g} Å to each side are needed, check "
            "the pixel size or give a larger part"
        )
