"""Pre-processing declared in the YAML: each step takes an image and returns one with right axes.

A step is a function of this module, named in :data:`STEPS`; its parameters after the image are
what the YAML may say. A value that is no mapping is the first of them: ``rotate: 66`` is
``rotate: {angle: 66}``. Rows count from the top; negative numbers count from the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from htinvert.core import Signal, UserError
from htinvert.evaluation.steps import apply_steps

Box = tuple[int, int, int, int]
Positive = Annotated[float, Field(gt=0)]
Length = Annotated[int, Field(gt=0)]


def crop(image: Signal, box: Box) -> Signal:
    """Keep rows top to bottom and columns left to right [px], the second of each left out.

    A negative number counts from the end, and so does 0 as bottom or right.
    """
    top, bottom, left, right = resolved_box(box, image.data.shape, step="crop")
    return _like(image, image.data[top:bottom, left:right])


def center(image: Signal, shape: tuple[Length, Length]) -> Signal:
    """Keep the central part, ``shape`` is height and width [px]."""
    (height, width), (rows, columns) = shape, image.data.shape
    if height > rows or width > columns:
        raise UserError(
            f"center {list(shape)} is larger than the image, which is {rows} x {columns} px; "
            "give a smaller height and width"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    return _like(image, image.data[top : top + height, left : left + width])


def rotate(
    image: Signal, angle: Annotated[float, Field(allow_inf_nan=False)], order: Literal[1, 3] = 3
) -> Signal:
    """Rotate counter-clockwise as seen [degrees] about the center; keep the largest full rectangle.

    ``order`` 3 interpolates by a cubic spline, 1 linearly, which smooths. Multiples of 90 degrees
    are exact. Pixels that are not square keep their size, the rotation is one in Å.
    """
    if angle % 90 == 0:
        turns = round(angle / 90)
        steps = image.sampling[::-1] if turns % 2 else image.sampling
        return _like(image, np.rot90(image.data, turns), steps)
    from scipy.ndimage import affine_transform

    step = np.array(image.sampling)
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    before = np.array(image.data.shape)
    height, width = (before - 1) * step  # between the centers of the outermost pixels
    extent = _inscribed(height, width, abs(cosine), abs(sine)) / step
    after = np.floor(extent + 1e-9).astype(int) + 1
    # The same parity puts the new pixels where a rotation that keeps the frame has them.
    after -= (after - (before if abs(cosine) > abs(sine) else before[::-1])) % 2
    if after.min() < 1:
        raise UserError(f"rotate {angle:g} leaves nothing of the image; crop it less beforehand")
    turn = np.array([[cosine, sine], [-sine, cosine]]) * step / step[:, None]
    offset = (before - 1) / 2 - turn @ ((after - 1) / 2)
    turned = affine_transform(
        image.data.astype(float), turn, offset, tuple(after), order=order, mode="nearest"
    )
    return _like(image, turned)


def flip(image: Signal, direction: Literal["left-right", "up-down"]) -> Signal:
    """Mirror the image."""
    return _like(image, np.flip(image.data, axis=1 if direction == "left-right" else 0))


def flatten(image: Signal, by: Literal["plane", "rows"]) -> Signal:
    """Subtract the least-squares plane, or from each row its median; the mean stays.

    ``rows`` takes out the offsets between scan lines of a scanning probe, and with them all
    contrast that is constant along rows.
    """
    data = image.data.astype(float)
    if by == "rows":
        background = np.median(data, axis=1, keepdims=True)
    else:
        y, x = (np.linspace(-1, 1, n) for n in data.shape)
        columns = np.stack(np.broadcast_arrays(1.0, y[:, None], x[None, :]), axis=-1).reshape(-1, 3)
        solution, *_ = np.linalg.lstsq(columns, data.ravel(), rcond=None)
        background = (columns @ solution).reshape(data.shape)
    return _like(image, data - background + background.mean())


def wiener(
    image: Signal,
    size: Annotated[int, Field(ge=3)] = 5,
    noise: Annotated[float, Field(ge=0)] | None = None,
) -> Signal:
    """Smooth where the image is flat, by the local Wiener filter in windows of ``size`` [px].

    ``noise`` is the noise's variance in squared intensity; left out, the mean local variance.
    The formula is scipy.signal.wiener's (Lim, Two-dimensional signal and image processing, 1990,
    p. 548), with the image mirrored at its edges, where scipy's fades to zero.
    """
    from scipy.ndimage import uniform_filter

    data = image.data.astype(float) - image.data.mean(dtype=float)
    mean = uniform_filter(data, size)
    variance = np.maximum(uniform_filter(data**2, size) - mean**2, 0)
    level = float(variance.mean()) if noise is None else noise
    gain = np.maximum(variance - level, 0) / np.maximum(np.maximum(variance, level), 1e-300)
    return _like(image, mean + gain * (data - mean) + image.data.mean(dtype=float))


def clahe(image: Signal, limit: Annotated[float, Field(gt=0, le=1)]) -> Signal:
    """Equalize the local contrast, limited to ``limit`` (0 none, 1 all); intensities become 0 to 1.

    Contrast-limited adaptive histogram equalization in an 8 x 8 grid of tiles (Zuiderveld,
    Graphics Gems IV, 1994). Intensities mean nothing quantitative afterwards.
    """
    from skimage.exposure import equalize_adapthist

    data = image.data.astype(float)
    span = np.ptp(data)
    if span == 0:
        raise UserError("clahe finds no contrast in a constant image; check the steps before it")
    return _like(image, equalize_adapthist((data - data.min()) / span, clip_limit=limit))


def rescale(image: Signal, factor: Positive) -> Signal:
    """Resample to ``factor`` times as many pixels along each axis, cubic, smoothed when fewer.

    The pixel size follows from the numbers of pixels, so that the field of view stays.
    """
    from skimage.transform import resize

    before = image.data.shape
    after = tuple(max(round(n * factor), 1) for n in before)
    if min(after) < 2 or max(after) > 32768:
        raise UserError(
            f"rescale {factor:g} makes an image of {after[0]} x {after[1]} px; check it"
        )
    data = resize(
        image.data.astype(float), after, order=3, mode="reflect", anti_aliasing=factor < 1
    )
    y, x = image.sampling
    return _like(image, data, (y * before[0] / after[0], x * before[1] / after[1]))


def mask(image: Signal, boxes: Annotated[list[Box], Field(min_length=1)]) -> Signal:
    """Replace boxes (top, bottom, left, right [px]) by a smooth continuation of what is around.

    For a scale bar or label: there is no lattice in what is put in (biharmonic inpainting, Damelin
    and Hoang, Int. J. Math. Math. Sci. 2018, 3950312). Keep the region of interest clear of it.
    """
    from skimage.restoration import inpaint_biharmonic

    hidden = np.zeros(image.data.shape, dtype=bool)
    for box in boxes:
        top, bottom, left, right = resolved_box(box, image.data.shape, step="mask")
        hidden[top:bottom, left:right] = True
    if hidden.mean() > 0.5:
        raise UserError("mask covers more than half of the image; crop instead")
    if not np.isfinite(image.data[~hidden]).all():
        raise UserError("mask leaves pixels that are not finite numbers; mask or crop them, too")
    return _like(image, inpaint_biharmonic(np.where(hidden, 0, image.data.astype(float)), hidden))


STEPS: Mapping[str, Callable[..., Signal]] = {
    step.__name__: step
    for step in (crop, center, rotate, flip, flatten, wiener, clahe, rescale, mask)
}
PLACING = ("crop", "center", "flip", "mask")  # these may meet pixels that are no numbers


def prepare(image: Signal, steps: Iterable[Mapping[str, Any]]) -> Signal:
    """Apply steps in order. Raises :class:`UserError` naming the step that is wrong or unfit."""
    return apply_steps(image, steps, STEPS, placing=PLACING)


def resolved_box(box: Box, shape: tuple[int, ...], *, step: str, what: str = "image") -> Box:
    """Top, bottom, left, right of a box in (rows, columns) [px], negative numbers resolved.

    Raises :class:`UserError`, in the words of the ``step``, where it does not fit.
    """
    rows, columns = shape
    top, bottom = _resolved(box[0], box[1], rows)
    left, right = _resolved(box[2], box[3], columns)
    if not (0 <= top < bottom <= rows and 0 <= left < right <= columns):
        raise UserError(
            f"{step} {list(box)} does not fit the {what}, which is {rows} x {columns} px; "
            "give top, bottom, left, right with top < bottom and left < right"
        )
    return top, bottom, left, right


def _resolved(first: int, last: int, length: int) -> tuple[int, int]:
    return (first + length if first < 0 else first), (last + length if last <= 0 else last)


def _inscribed(height: float, width: float, cosine: float, sine: float) -> NDArray[np.float64]:
    """Height and width of the largest upright rectangle in a rotated one, with the same center."""
    short, long = sorted((height, width))
    if short <= 2 * sine * cosine * long or abs(sine - cosine) < 1e-9:
        # Two corners touch the long sides, the others are free.
        half = short / 2
        sides = (half / cosine, half / sine) if width < height else (half / sine, half / cosine)
        return np.array(sides[::-1])
    double = cosine**2 - sine**2
    return np.array(
        [(height * cosine - width * sine) / double, (width * cosine - height * sine) / double]
    )


def _like(image: Signal, data: NDArray[Any], steps: tuple[float, ...] | None = None) -> Signal:
    y, x = steps or image.sampling
    return Signal.image(data, (y, x))
