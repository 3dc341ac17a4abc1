"""Register a simulated image in an observed one and score the fit by a figure of merit.

The figure of merit, ``alpha d_trans + beta d_sim``, is that of ingrained (Schwenker et al., Small
18, 2102960 (2022)). Its search over patches is replaced by one cross-correlation over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter

from htinvert.core import Score, Signal, UserError
from htinvert.metrics.correlation import (
    allowed_offsets,
    check_comparable,
    normalized_cross_correlation,
)
from htinvert.metrics.observation import prepare
from htinvert.metrics.ssim import PatchSimilarity, ssim_definition

REPEAT = 0.05  # how much lower a peak of the correlation may be and still be a crystal's repeat

Floats = NDArray[np.float64]
Offset = tuple[int, int]

_HOPELESS = 0.1  # lower correlation than the best peak's that excludes a peak


@dataclass(frozen=True)
class Registration:
    """Find the best patch of the observed image; ``cost = alpha d_trans + beta d_sim``.

    The highest peaks of the cross-correlation are compared by SSIM (those more than 0.1 below the
    highest are not), then the best one's neighbors until none is better. ``d_sim = 1 - SSIM``.
    ``d_trans`` is the shift, |dy| + |dx| in pixels, that a circular correlation still sees between
    simulation and patch.

    Args:
        ssim: "float7" or "uint8-35", see :mod:`htinvert.metrics.ssim`. State it with every cost.
        alpha: weight of d_trans [1/px], >= 0.
        beta: weight of d_sim [1], >= 0.
        best_sites: number of correlation peaks compared by SSIM, >= 1.
        max_shift: how far [Å] the simulated image's center may lie from the observed one's; None:
            anywhere. On a periodic crystal this chooses between its repeats.

    The score's detail holds ``d_trans`` [px], ``d_trans_angstrom`` [Å], ``d_sim`` [1], ``ncc`` [1],
    the patch's top-left ``row`` and ``column`` [px], and these refined by a parabola through the
    correlation, ``row_refined`` and ``column_refined``.
    """

    ssim: str = "float7"
    alpha: float = 0.1
    beta: float = 1.0
    best_sites: int = 8
    max_shift: float | None = None

    def __post_init__(self) -> None:
        ssim_definition(self.ssim)
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha {self.alpha} and beta {self.beta} must not be negative")
        if self.best_sites < 1:
            raise ValueError(f"best_sites is {self.best_sites} but must be at least 1")
        if self.max_shift is not None and self.max_shift < 0:
            raise ValueError(f"max_shift is {self.max_shift} Å but must not be negative")

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Register ``simulated`` in ``observed`` and score it.

        Raises:
            UserError: where the simulated image is larger, sampled differently, or smaller than
                the window of SSIM.
            EvaluationFailed: where an image is constant or not finite.
        """
        check_comparable(simulated, observed)
        self._check_window(simulated)
        ncc = normalized_cross_correlation(simulated.data, observed.data)
        allowed = allowed_offsets(ncc.shape, observed.sampling, max_shift=self.max_shift)
        peaks = correlation_peaks(ncc, allowed, count=self.best_sites)
        cost, d_sim, shift, site = self._best_patch(simulated, observed, peaks, allowed)
        row, column = refine(ncc, site)
        return Score(
            cost,
            {
                "d_trans": float(abs(shift[0]) + abs(shift[1])),
                "d_trans_angstrom": float(np.abs(shift) @ observed.sampling),
                "d_sim": d_sim,
                "ncc": float(ncc[site]),
                "row": float(site[0]),
                "column": float(site[1]),
                "row_refined": row,
                "column_refined": column,
            },
        )

    def _check_window(self, simulated: Signal) -> None:
        window = ssim_definition(self.ssim).window
        if min(simulated.data.shape) < window:
            raise UserError(
                f"simulated image {simulated.data.shape} px is smaller than the {window} px window "
                f'of SSIM "{self.ssim}"; set a larger shape or another definition'
            )

    def _best_patch(
        self, simulated: Signal, observed: Signal, peaks: list[Offset], allowed: NDArray[np.bool_]
    ) -> tuple[float, float, Offset, Offset]:
        """Cost, d_sim, residual shift [px] and top-left of the patch with the lowest cost."""
        distances = self._distances(simulated, observed, peaks, allowed)
        cost, chosen = np.inf, ((0, 0), peaks[0])
        for site in sorted(distances, key=lambda site: (distances[site], site)):
            if self.beta * distances[site] >= cost:
                break  # d_trans can only add to it
            shift = residual_shift(simulated.data, _patch(simulated, observed, site))
            trial = self.alpha * (abs(shift[0]) + abs(shift[1])) + self.beta * distances[site]
            if trial < cost:
                cost, chosen = trial, (shift, site)
        return cost, distances[chosen[1]], *chosen

    def _distances(
        self, simulated: Signal, observed: Signal, peaks: list[Offset], allowed: NDArray[np.bool_]
    ) -> dict[Offset, float]:
        """``d_sim`` at each peak and on the way down from the best one to a patch among worse."""
        prepared = prepare(observed.data)
        moments = prepared.moments(ssim_definition(self.ssim).window)
        similarity = PatchSimilarity(simulated.data, prepared.data, moments, definition=self.ssim)
        distances = {site: 1 - similarity.at(*site) for site in peaks}
        closest = None
        while closest != (nearest := min(distances, key=lambda site: distances[site])):
            closest = nearest
            for site in _neighbors(closest, allowed):
                if site not in distances:
                    distances[site] = 1 - similarity.at(*site)
        return distances


def correlation_peaks(ncc: Floats, allowed: NDArray[np.bool_], *, count: int) -> list[Offset]:
    """The ``count`` highest local maxima of ``ncc`` at allowed offsets, best first."""
    limited = np.where(allowed, ncc, -2.0)
    is_peak = allowed & (limited >= maximum_filter(limited, size=3, mode="constant", cval=-2.0))
    indices = np.flatnonzero(is_peak)
    heights = limited.ravel()[indices]
    indices = indices[heights >= heights.max() - _HOPELESS]
    order = np.argsort(-limited.ravel()[indices], kind="stable")[:count]
    rows, columns = np.unravel_index(indices[order], ncc.shape)
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True)]


def refine(ncc: Floats, site: Offset) -> tuple[float, float]:
    """Sub-pixel place [px] of the maximum near ``site``: a parabola along each axis."""
    row, column = site
    down = _vertex(ncc[:, column], row)
    return row + down, column + _vertex(ncc[row], column)


def residual_shift(simulated: NDArray[np.floating], patch: NDArray[np.floating]) -> Offset:
    """Shift (dy, dx) [px] of ``patch`` against ``simulated``: their circular correlation's peak.

    On a crystal every repeat has a peak. Of those within ``REPEAT`` of the highest the nearest
    counts: which repeat is highest is noise, not a misplacement.
    """
    first = fft.rfft2(np.asarray(simulated - simulated.mean(), dtype=np.float64))
    second = fft.rfft2(np.asarray(patch - patch.mean(), dtype=np.float64))
    correlation = fft.irfft2(second * np.conj(first), s=simulated.shape)
    summits = correlation == maximum_filter(correlation, size=3, mode="wrap")
    rows, columns = np.nonzero(summits & (correlation >= (1 - REPEAT) * correlation.max()))
    height, width = correlation.shape
    shifts = [
        (
            (int(row) + height // 2) % height - height // 2,
            (int(column) + width // 2) % width - width // 2,
        )
        for row, column in zip(rows, columns, strict=True)
    ]
    return min(shifts, key=lambda shift: (abs(shift[0]) + abs(shift[1]), shift))


def _vertex(values: Floats, index: int) -> float:
    """Offset of a parabola's top from ``index``, -0.5 to 0.5; 0 at the border or off a peak."""
    if not 0 < index < len(values) - 1:
        return 0.0
    left, middle, right = values[index - 1 : index + 2]
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _neighbors(site: Offset, allowed: NDArray[np.bool_]) -> list[Offset]:
    """The allowed ones among the four offsets around ``site``."""
    steps = ((-1, 0), (0, -1), (0, 1), (1, 0))
    around = [(site[0] + dy, site[1] + dx) for dy, dx in steps]
    ny, nx = allowed.shape
    return [(y, x) for y, x in around if 0 <= y < ny and 0 <= x < nx and allowed[y, x]]


def _patch(simulated: Signal, observed: Signal, site: Offset) -> NDArray[np.float32]:
    """Part of the observed image that the simulated one covers at ``site``."""
    ny, nx = simulated.data.shape
    return observed.data[site[0] : site[0] + ny, site[1] : site[1] + nx]
