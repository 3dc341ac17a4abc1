"""How an image is prepared so that a structure that was found in it stands upright, unmirrored.

A square around the place, turned back, mirrored where the specimen is seen from its other side, and
cut to the region that is compared and a margin. The fit is repeated on what comes out, so that the
start values hold for the image as it will be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from htinvert.core import Floats, Signal, UserError
from htinvert.image.prepare import prepare
from htinvert.matching.member import UNLIMITED, Structure
from htinvert.matching.pose import FittedPose, Pose, refine
from htinvert.matching.sighting import Sighting
from htinvert.matching.target import FINE
from htinvert.matching.whole import squares

LARGEST = 50.0  # Å, height of the largest region that is compared
WIDTHS = (20.0, 45.0)  # Å: a repeat along the boundary, within these; strained grains fit no wider
CRYSTAL = 35.0  # Å: height of the region where there is no boundary
FITTED = 30.0  # Å: side of the smallest square that start values are fitted in
SHARE = 0.62  # of the cell's height: the boundary in its middle, and not the one at its ends
MARGIN = 6.0  # Å around the region, so that a fit may move it
SMALLEST = 10.0  # Å, side of the smallest region that is compared
EMPTY = 0.2  # of the other half's contrast: less is vacuum
PASSES = 2  # at standing the structure upright
LEVEL = 0.1  # degrees that it may lean
FIXED = 4  # decimals of what is written down


@dataclass(frozen=True, eq=False)
class Upright:
    """An image prepared for a structure, and where a fit of the structure to it begins.

    Attributes:
        steps: of ``prepare``, from the image as it was given.
        sampling: pixel size [Å/px] (y, x) that the structure's lattice gives the image.
        shape: (rows, columns) [px] of the region to compare.
        start: parameters of the forward model.
        image: as prepared.
        fitted: the structure in it, in square pixels of ``step`` [Å].
        two_sided: whether the structure shows something both above and below its middle.
    """

    steps: tuple[dict[str, Any], ...]
    sampling: tuple[float, float]
    shape: tuple[int, int]
    start: Mapping[str, float]
    image: Signal
    fitted: FittedPose
    step: float
    two_sided: bool

    @property
    def halves(self) -> tuple[float, float]:
        """Correlation of the fit above and below the middle."""
        rows = self.fitted.observed.shape[0] // 2
        pairs = zip(
            (self.fitted.simulated[:rows], self.fitted.simulated[rows:]),
            (self.fitted.observed[:rows], self.fitted.observed[rows:]),
            strict=True,
        )
        upper, lower = (_correlation(simulated, observed) for simulated, observed in pairs)
        return upper, lower


def upright(image: Signal, sighting: Sighting, structure: Structure) -> Upright:
    """Prepare an image for a structure that was seen in it, unmirrored as given.

    Raises :class:`UserError` where the place is too near to the image's edge.
    """
    for _ in range(PASSES):
        steps, sampling, shape = _steps(image, sighting, structure)
        try:
            prepared = prepare(Signal.image(image.data, sampling), steps)
        except UserError as error:
            raise UserError(f"the place that was found is at the image's edge: {error}") from error
        square = squares(prepared, FINE)
        half = max(min(np.array(shape) * sampling), FITTED) / 2
        fitted = refine(structure, _turned_back(sighting), square, half=half, iterations=12)
        found = fitted.pose.parameters
        if abs(found["rotation"]) < LEVEL:
            break
        sighting = _corrected(sighting, fitted.pose)
    names = ("stretch_x", "stretch_y", "shear_x", "source_size")
    start = {name: round(found[name], FIXED) for name in names}
    if abs(found["rotation"]) > LEVEL:
        start["rotation"] = round(found["rotation"], 2)
    shown = structure.render(fitted.pose, fitted.observed.shape, square.sampling[0])
    rows = shown.shape[0] // 2
    contrasts = shown[:rows].std(), shown[rows:].std()
    both = bool(min(contrasts) > EMPTY * max(contrasts))
    whole = np.ascontiguousarray(prepared.data)  # no view, which would keep a large frame
    prepared = replace(prepared, data=whole)
    return Upright(steps, sampling, shape, start, prepared, fitted, square.sampling[0], both)


def region_size(structure: Structure) -> Floats:
    """Height and width [Å] of the region to compare, where the image has room for it."""
    height, width = structure.extent
    tall = CRYSTAL if height > UNLIMITED / 10 else min(SHARE * height, LARGEST)
    wide = np.clip(structure.repeat or width, *WIDTHS)
    return np.array([tall, min(float(wide), width)])


def room(image: Signal, sighting: Sighting, structure: Structure) -> float:
    """Which share of the square that is wanted around a place lies in the image, 0 to 1."""
    wanted = float(region_size(structure).max()) + 2 * MARGIN
    sides = np.array([n * step for n, step in zip(image.data.shape, image.sampling, strict=True)])
    inside = sides / 2 - np.abs(sighting.pose.shift[::-1])
    return float(min(2 * min(inside) / (wanted * _spread(sighting.rotation)), 1.0))


def _spread(angle: float) -> float:
    """Side of the square that holds a turned unit square."""
    return float(abs(np.cos(np.radians(angle))) + abs(np.sin(np.radians(angle))))


def _steps(
    image: Signal, sighting: Sighting, structure: Structure
) -> tuple[tuple[dict[str, Any], ...], tuple[float, float], tuple[int, int]]:
    """The steps, the pixel size [Å/px] (y, x) and the region's (rows, columns)."""
    scale = sighting.pose.magnification
    y, x = (round(step / scale, 5) for step in image.sampling)
    steps_yx = np.array([y, x])
    size = np.array(image.data.shape)
    place = (size - 1) / 2 + sighting.pose.shift[::-1] / np.array(image.sampling)
    angle = -sighting.rotation
    turn = _spread(angle)
    wanted = region_size(structure)
    around = 2 * np.minimum(place, size - 1 - place) * steps_yx  # Å, centered on the place
    side = min(float(wanted.max()) + 2 * MARGIN, float(around.min()) / turn - 2 * float(max(y, x)))
    region = np.minimum(wanted, side - MARGIN)
    if region.min() < min(SMALLEST, *wanted):
        raise UserError(
            f"the place that was found is {around.min() / 2:.0f} Å from the image's edge, and "
            "turned upright too little of it is left; give an image with more around it"
        )
    half = side * turn / 2 / steps_yx
    low = np.maximum(np.floor(place - half), 0).astype(int)
    high = np.minimum(np.ceil(place + half) + 1, size).astype(int)
    box = [int(low[0]), int(high[0]), int(low[1]), int(high[1])]
    steps: list[dict[str, Any]] = [{"crop": box}]
    if abs(angle) > 0.02:
        steps.append({"rotate": round(angle, 2)})
    if sighting.mirrored:
        steps.append({"flip": "left-right"})
    field = np.floor(np.minimum(region + MARGIN, side) / steps_yx).astype(int)
    steps.append({"center": [int(n) for n in field]})
    shape = np.floor(region / steps_yx).astype(int)
    return tuple(steps), (y, x), (int(shape[0]), int(shape[1]))


def _corrected(sighting: Sighting, pose: Pose) -> Sighting:
    """The sighting in the whole image that a pose in the prepared image says."""
    forth = Pose.turned(sighting.rotation, sighting.pose.magnification).matrix
    mirror = np.diag([-1.0 if sighting.mirrored else 1.0, 1.0])
    matrix: Floats = forth @ mirror @ pose.matrix @ mirror
    shift = sighting.pose.shift + forth @ mirror @ pose.shift
    return replace(sighting, pose=replace(pose, matrix=matrix, shift=shift))


def _turned_back(sighting: Sighting) -> Pose:
    """The pose in the prepared image: the distortion that turning and mirroring leave."""
    back = Pose.turned(-sighting.rotation, 1 / sighting.pose.magnification).matrix
    matrix: Floats = back @ sighting.pose.matrix
    if sighting.mirrored:
        mirror = np.diag([-1.0, 1.0])
        matrix = mirror @ matrix @ mirror
    return replace(sighting.pose, matrix=matrix, shift=np.zeros(2))


def _correlation(one: Floats, other: Floats) -> float:
    first, second = (values - values.mean() for values in (one, other))
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float((first * second).sum()) / norm if norm > 0 else 0.0
