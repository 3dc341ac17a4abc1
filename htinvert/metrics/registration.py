"""Register a simulated image in an observed one and score the fit by a figure of merit.

The figure of merit, ``alpha d_trans + beta d_sim``, is that of ingrained (Schwenker et al., Small
18, 2102960 (2022)). Its search over patches is replaced by one cross-correlation over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Reals, Score, Signal, UserError
from htinvert.declaration.declared import Parameter
from htinvert.metrics.correlation import (
    allowed_offsets,
    check_comparable,
    normalized_cross_correlation,
)
from htinvert.metrics.observation import prepare
from htinvert.metrics.ssim import PatchSimilarity, single, ssim_definition

REPEAT = 0.05  # how much lower a peak of the correlation may be and still be a crystal's repeat

Offset = tuple[int, int]

_NOISE = 0.02  # part of the highest correlation by which a peak may be lower and count as equal
_FORBIDDEN = np.float32(-2)  # below any correlation: marks offsets that are not allowed
_HOPELESS = 0.1  # lower correlation than the best peak's that excludes a peak


@dataclass(frozen=True)
class Registration:
    """Find the best patch of the observed image; ``cost = alpha d_trans + beta d_sim``.

    A few peaks of the cross-correlation are compared by SSIM, then the best one's neighbors until
    none is better. ``d_sim = 1 - SSIM``. Peaks within 2 % of the highest, as a crystal's repeats
    are, come nearest to the center first, then lower ones down to 0.1 below the highest.
    ``d_trans`` is the shift that a circular correlation still sees between simulation and patch,
    rows and columns added [px].

    Args:
        ssim: "float7" or "uint8-35", see :mod:`htinvert.metrics.ssim`. State it with every cost.
        alpha: weight of d_trans [1/px], >= 0.
        beta: weight of d_sim [1], >= 0.
        best_sites: number of correlation peaks compared by SSIM, >= 1. More find a better patch
            among a crystal's many repeats, at the cost of one SSIM each.
        max_shift: how far [Å] the simulated image's center may lie from the observed one's; None:
            anywhere. On a periodic crystal this chooses between its repeats.
        intensity: "own": each image is scaled by its own extremes, as the peers do; "matched": the
            simulation is brought to the patch by the gain and offset of least squares and both
            are scaled by the patch's extremes. Extremes are noise, so "own" depends on the dose.

    The score's detail holds ``d_trans`` [px], ``d_trans_angstrom`` [Å], ``d_sim`` [1], ``ncc`` [1],
    the patch's top-left ``row`` and ``column`` [px], and these refined by a parabola through the
    correlation, ``row_refined`` and ``column_refined``.
    """

    sources: ClassVar[tuple[str, ...]] = (
        "E. Schwenker et al., Ingrained, Small 18, 2102960 (2022), "
        "doi:10.1002/smll.202102960; similarity: Z. Wang et al., IEEE Trans. Image Process. "
        "13, 600 (2004), doi:10.1109/TIP.2003.819861.",
    )

    ssim: str = "float7"
    alpha: Annotated[float, Parameter("1/px", 0.0)] = 0.1
    beta: Annotated[float, Parameter("1", 0.0)] = 1.0
    best_sites: Annotated[int, Parameter("1", 1)] = 4
    max_shift: Annotated[float, Parameter("Å", 0.0)] | None = None
    intensity: Literal["own", "matched"] = "own"

    def __post_init__(self) -> None:
        ssim_definition(self.ssim)
        if self.alpha < 0 or self.beta < 0:
            raise ValueError(f"alpha {self.alpha} and beta {self.beta} must not be negative")
        if self.best_sites < 1:
            raise ValueError(f"best_sites is {self.best_sites} but must be at least 1")
        if self.max_shift is not None and self.max_shift < 0:
            raise ValueError(f"max_shift is {self.max_shift} Å but must not be negative")
        if self.intensity not in ("own", "matched"):
            raise ValueError(f'intensity is "{self.intensity}" but must be "own" or "matched"')

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
        cost, d_sim, shift, site = self._best_patch(
            simulated, observed, np.where(allowed, ncc, _FORBIDDEN)
        )
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
        self, simulated: Signal, observed: Signal, ncc: Reals
    ) -> tuple[float, float, Offset, Offset]:
        """Cost, d_sim, residual shift [px] and top-left of the patch with the lowest cost."""
        distances = self._distances(simulated, observed, ncc)
        own = _spectrum(simulated.data)
        cost, chosen = np.inf, ((0, 0), (0, 0))
        for site in sorted(distances, key=lambda site: (distances[site], site)):
            if self.beta * distances[site] >= cost:
                break  # d_trans can only add to it
            other = _spectrum(_patch(simulated, observed, site))
            shift = _strongest_shift(own, other, simulated.data.shape)
            trial = self.alpha * (abs(shift[0]) + abs(shift[1])) + self.beta * distances[site]
            if trial < cost:
                cost, chosen = trial, (shift, site)
        return cost, distances[chosen[1]], *chosen

    def _distances(self, simulated: Signal, observed: Signal, ncc: Reals) -> dict[Offset, float]:
        """``d_sim`` at each peak and on the way down from the best one to a patch among worse."""
        moments = prepare(observed.data).moments(ssim_definition(self.ssim).window)
        similarity = PatchSimilarity(
            simulated.data,
            observed.data,
            moments,
            definition=self.ssim,
            matched=self.intensity == "matched",
        )
        distances: dict[Offset, float] = {}

        def distance(site: Offset) -> float:
            if site not in distances:
                distances[site] = 1 - similarity.at(*site)
            return distances[site]

        better: Offset | None = min(correlation_peaks(ncc, count=self.best_sites), key=distance)
        while better is not None:
            best, around = better, _neighbors(better, ncc)
            better = next((site for site in around if distance(site) < distance(best)), None)
        return distances


def correlation_peaks(ncc: Reals, *, count: int) -> list[Offset]:
    """The first ``count`` local maxima of ``ncc``, best first.

    Those that only noise tells from the highest come in the order of their distance from the
    center: so a small change does not exchange one repeat of a crystal for another.
    """
    highest = float(ncc.max())
    rows, columns = _summits(ncc, highest - _HOPELESS, edge="clip")
    heights = ncc[rows, columns]
    y, x = (2 * places - size + 1 for places, size in zip((rows, columns), ncc.shape, strict=True))
    missing = np.where(heights >= highest - _NOISE * abs(highest), 0, highest - heights)
    order = np.lexsort((columns, rows, y**2 + x**2, missing))[:count]
    return [(int(rows[index]), int(columns[index])) for index in order]


def _summits(
    values: Reals, floor: float, *, edge: Literal["wrap", "clip"]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the local maxima among eight neighbors, from ``floor`` on."""
    places = np.flatnonzero(values >= floor)
    flat = values.ravel()
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        row, column = np.divmod(places, values.shape[1])
        beside = np.ravel_multi_index((row + dy, column + dx), values.shape, mode=edge)
        places = places[flat[places] >= flat[beside]]
    rows, columns = np.divmod(places, values.shape[1])
    return rows, columns


def refine(ncc: Reals, site: Offset) -> tuple[float, float]:
    """Sub-pixel place [px] of the maximum near ``site``: a parabola along each axis."""
    row, column = site
    down = _vertex(ncc[:, column], row)
    return row + down, column + _vertex(ncc[row], column)


def residual_shift(simulated: NDArray[np.floating], patch: NDArray[np.floating]) -> Offset:
    """Shift (dy, dx) [px] of ``patch`` against ``simulated``: their circular correlation's peak.

    On a crystal every repeat has a peak. Of those within ``REPEAT`` of the highest the nearest
    counts: which repeat is highest is noise, not a misplacement.
    """
    return _strongest_shift(_spectrum(simulated), _spectrum(patch), simulated.shape)


def _spectrum(image: NDArray[np.floating]) -> NDArray[np.complex64]:
    """Transform of the image without its mean, in single precision."""
    return np.asarray(fft.rfft2(single(image - float(image.mean(dtype=np.float64)))))


def _strongest_shift(
    simulated: NDArray[np.complex64], patch: NDArray[np.complex64], shape: tuple[int, ...]
) -> Offset:
    """The shift of :func:`residual_shift` from the spectra of two images of ``shape``."""
    correlation = fft.irfft2(np.conj(simulated) * patch, s=shape, overwrite_x=True)
    floor = (1 - REPEAT) * float(correlation.max())
    rows, columns = _summits(correlation, floor, edge="wrap")
    height, width = correlation.shape
    shifts = [
        (
            (int(row) + height // 2) % height - height // 2,
            (int(column) + width // 2) % width - width // 2,
        )
        for row, column in zip(rows, columns, strict=True)
    ]
    return min(shifts, key=lambda shift: (abs(shift[0]) + abs(shift[1]), shift))


def _vertex(values: Reals, index: int) -> float:
    """Offset of a parabola's top from ``index``, -0.5 to 0.5; 0 at the border or off a peak."""
    if not 0 < index < len(values) - 1:
        return 0.0
    left, middle, right = values[index - 1 : index + 2]
    bend = left - 2 * middle + right
    return float(np.clip((left - right) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def _neighbors(site: Offset, ncc: Reals) -> list[Offset]:
    """The allowed ones among the four offsets around ``site``, the best correlated first."""
    steps = ((-1, 0), (0, -1), (0, 1), (1, 0))
    around = [(site[0] + dy, site[1] + dx) for dy, dx in steps]
    ny, nx = ncc.shape
    inside = [(y, x) for y, x in around if 0 <= y < ny and 0 <= x < nx]
    allowed = [offset for offset in inside if ncc[offset] > _FORBIDDEN]
    return sorted(allowed, key=lambda offset: -ncc[offset])


def _patch(simulated: Signal, observed: Signal, site: Offset) -> NDArray[np.float32]:
    """Part of the observed image that the simulated one covers at ``site``."""
    ny, nx = simulated.data.shape
    return observed.data[site[0] : site[0] + ny, site[1] : site[1] + nx]
