"""Compare by histograms of oriented gradients, after registration and, if asked, at any pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from htinvert.core import EvaluationFailed, Floats, Score, Signal
from htinvert.declaration.declared import Parameter
from htinvert.metrics.correlation import (
    best_place,
    check_comparable,
    normalized_cross_correlation,
)
from htinvert.metrics.log_polar import prepare_map, spectrum_map, turns
from htinvert.metrics.patch import window

CLIP = 0.2  # of a block's unit norm, as published


@dataclass(frozen=True)
class Hog:
    """Compare histograms of oriented gradients: ``cost = 1 - cosine``, 0 to 1.

    Dalal & Triggs, CVPR 886 (2005): gradients vote for their orientation in square cells, blocks of
    2 x 2 cells are normalized, clipped at 0.2 and normalized again. Gain and offset do not count,
    and neither does a slow change of brightness. The simulation is placed by its correlation first.

    Args:
        cell: side of a cell [Å], > 0; about the distance between atomic columns.
        orientations: bins over half a turn, >= 2.
        normalize: turn and magnify the simulated image first to the pose that the observed one's
            power spectrum shows. For images whose orientation is not known; on a lattice that looks
            alike in several turns the likeliest by spectrum and correlation is taken.
        max_shift: how far [Å] the simulated image's center may lie from the observed one's; None:
            anywhere.

    The score's detail holds ``cosine`` [1], ``ncc`` [1], the patch's top-left ``row`` and
    ``column`` [px] and, with ``normalize``, ``rotation`` [degrees] and ``magnification`` [1].
    """

    sources: ClassVar[tuple[str, ...]] = (
        "N. Dalal and B. Triggs, Proc. CVPR, 886 (2005), doi:10.1109/CVPR.2005.177.",
    )

    cell: Annotated[float, Parameter("Å", 0.0)] = 1.6
    orientations: Annotated[int, Parameter("1", 2)] = 9
    normalize: bool = False
    max_shift: Annotated[float, Parameter("Å", 0.0)] | None = None

    def __post_init__(self) -> None:
        if not self.cell > 0 or self.orientations < 2:
            raise ValueError(
                f"cell is {self.cell} Å and orientations is {self.orientations} but must be "
                "positive and at least 2"
            )
        if self.max_shift is not None and self.max_shift < 0:
            raise ValueError(f"max_shift is {self.max_shift} Å but must not be negative")

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Register ``simulated`` in ``observed`` and score it.

        Raises:
            UserError: where the simulated image is larger or sampled differently.
            EvaluationFailed: where an image is constant, not finite or smaller than two cells.
        """
        check_comparable(simulated, observed)
        pose: dict[str, float] = {}
        if self.normalize:
            simulated, pose = _posed(simulated, observed)
        place = best_place(simulated, observed, max_shift=self.max_shift)
        start = int(place["row"]), int(place["column"])
        patch = observed.data[window(start, simulated.data.shape)]
        pixels = max(2, round(self.cell / observed.sampling[0]))
        first, second = (
            oriented_gradients(image, cell=pixels, orientations=self.orientations)
            for image in (simulated.data, patch)
        )
        cosine = float(np.clip(first @ second, 0.0, 1.0))
        return Score(max(1.0 - cosine, 0.0), {"cosine": cosine, **place, **pose})


def oriented_gradients(image: NDArray[np.floating], *, cell: int, orientations: int = 9) -> Floats:
    """Histograms of oriented gradients as one vector of unit norm.

    Cells have ``cell`` x ``cell`` px; votes are shared between the two nearest orientations.
    Raises :class:`EvaluationFailed` where the image has fewer than 2 x 2 cells or no gradient.
    """
    data = np.asarray(image, dtype=float)
    ny, nx = (size // cell for size in data.shape)
    if min(ny, nx) < 2:
        raise EvaluationFailed(
            f"hog needs 2 x 2 cells of {cell} px but the image has {data.shape}; lower cell"
        )
    gy, gx = np.gradient(data)
    gy, gx = gy[: ny * cell, : nx * cell], gx[: ny * cell, : nx * cell]
    strength = np.hypot(gy, gx)
    place = (np.arctan2(-gy, gx) % np.pi) / np.pi * orientations
    low = np.floor(place).astype(np.intp)
    share = place - low
    rows, columns = np.indices(strength.shape) // cell
    base = (rows * nx + columns) * orientations
    size = ny * nx * orientations
    votes = np.bincount((base + low % orientations).ravel(), ((1 - share) * strength).ravel(), size)
    votes += np.bincount(
        (base + (low + 1) % orientations).ravel(), (share * strength).ravel(), size
    )
    cells = votes.reshape(ny, nx, orientations)
    blocks = np.concatenate(
        [cells[i : ny - 1 + i, j : nx - 1 + j] for i in (0, 1) for j in (0, 1)], axis=2
    )
    floor = 1e-3 * float(np.linalg.norm(blocks, axis=2).max(initial=0.0)) + 1e-300
    blocks = np.minimum(blocks / (np.linalg.norm(blocks, axis=2, keepdims=True) + floor), CLIP)
    blocks = blocks / (np.linalg.norm(blocks, axis=2, keepdims=True) + 1e-12)
    norm = float(np.linalg.norm(blocks))
    if norm == 0.0 or not np.isfinite(norm):
        raise EvaluationFailed("hog finds no gradient: an image is constant or not finite")
    return np.asarray(blocks.ravel() / norm)


def _posed(simulated: Signal, observed: Signal) -> tuple[Signal, dict[str, float]]:
    """The simulated image, cut to what a turn leaves whole, in the observed one's likely pose."""
    step = float(observed.sampling[0])
    reference = spectrum_map(simulated.data, step)
    target = prepare_map(spectrum_map(observed.data, step))
    side = int(min(simulated.data.shape) / 2**0.5 / 1.25)
    best: tuple[float, Signal, dict[str, float]] | None = None
    for turn in turns(target, reference, magnification=(0.8, 1.25), count=2):
        for rotation in (turn.rotation, turn.rotation + 180.0):
            posed = _turned(simulated, rotation, turn.magnification, side)
            ncc = float(normalized_cross_correlation(posed.data, observed.data).max())
            if best is None or ncc > best[0]:
                pose = {"rotation": rotation, "magnification": turn.magnification}
                best = ncc, posed, pose
    if best is None:
        raise EvaluationFailed("hog finds no pose: the spectra have nothing in common")
    return best[1], best[2]


def _turned(image: Signal, rotation: float, magnification: float, side: int) -> Signal:
    """The middle of an image, turned counter-clockwise [degrees] and magnified."""
    angle = np.radians(rotation)
    inverse = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    inverse = inverse / magnification
    middle = (np.array(image.data.shape) - 1) / 2
    offset = middle - inverse @ np.full(2, (side - 1) / 2)
    data = affine_transform(image.data.astype(float), inverse, offset, (side, side), order=3)
    return Signal(np.asarray(data, dtype=np.float32), image.axes)
