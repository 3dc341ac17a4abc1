"""Find a simulated image in an observed one: zero-mean normalized cross-correlation by one FFT.

J. P. Lewis, *Fast normalized cross-correlation*, Vision Interface 120 (1995). The simulated image
lies inside the observed one at every offset that counts, so the circular transform is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from htinvert.core import Score, Signal, UserError
from htinvert.declaration.declared import Parameter
from htinvert.metrics.observation import check_contrast, prepare

Singles = NDArray[np.float32]

_SAMPLING_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Correlation:
    """Compare by the best zero-mean normalized cross-correlation: ``cost = 1 - ncc``, 0 to 2.

    Args:
        max_shift: how far [Å] the simulated image's center may lie from the observed one's; None:
            anywhere. On a periodic crystal this chooses between its repeats.

    The score's detail holds ``ncc`` [1] and the patch's top-left ``row`` and ``column`` [px].
    """

    sources: ClassVar[tuple[str, ...]] = (
        "J. P. Lewis, Fast normalized cross-correlation, Vision Interface 120 (1995).",
    )

    misfit: ClassVar[str] = "correlation"
    """How the relative root mean square residual follows from the cost."""

    max_shift: Annotated[float, Parameter("Å", 0.0)] | None = None

    def __post_init__(self) -> None:
        if self.max_shift is not None and self.max_shift < 0:
            raise ValueError(f"max_shift is {self.max_shift} Å but must not be negative")

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Register ``simulated`` in ``observed`` and score it.

        Raises:
            UserError: where the simulated image is larger or sampled differently.
            EvaluationFailed: where an image is constant or not finite.
        """
        check_comparable(simulated, observed)
        detail = best_place(simulated, observed, max_shift=self.max_shift)
        return Score(max(1 - detail["ncc"], 0.0), detail)


def check_comparable(simulated: Signal, observed: Signal) -> None:
    """Refuse images that cannot be compared pixel by pixel.

    Raises:
        UserError: where one has axes that the other lacks, the simulated image is larger or its
            sampling differs by over 0.1 %.
    """
    small, large = simulated.data.shape, observed.data.shape
    if len(small) != len(large):
        over, given = (", ".join(axis.name for axis in s.axes) for s in (simulated, observed))
        raise UserError(
            f"the forward model simulates a signal over ({over}) but the observed one is over "
            f"({given}); set the model to simulate one like it, such as one image of a series"
        )
    if any(s > o for s, o in zip(small, large, strict=True)):
        raise UserError(
            f"simulated image {small} px is larger than the observed {large} px; "
            "set a smaller shape in the forward model"
        )
    for axis, ours, theirs in zip("yx", simulated.sampling, observed.sampling, strict=True):
        if abs(ours / theirs - 1) > _SAMPLING_TOLERANCE:
            raise UserError(
                f"simulated sampling along {axis} is {ours:g} Å/px but the observed image's is "
                f"{theirs:g} Å/px; resample the image or set sampling in the forward model"
            )


def normalized_cross_correlation(
    simulated: NDArray[np.floating], observed: NDArray[np.floating]
) -> Singles:
    """Correlation coefficient [1] of ``simulated`` (h, w) with every patch of ``observed`` (H, W).

    The observed image's transform is kept, so that further calls with the same array are cheap;
    do not write into it. Patches without contrast get 0.

    Returns:
        Coefficients for each top-left offset, shape (H - h + 1, W - w + 1).

    Raises:
        EvaluationFailed: where an image is constant or not finite.
    """
    prepared = prepare(observed)
    template = (simulated - float(simulated.mean(dtype=np.float64))).astype(np.float32)
    norm = float(np.linalg.norm(template))
    check_contrast(norm, simulated, "simulated")
    height, width = prepared.padded
    # The template's rows beyond its own, and offsets that do not count, are not transformed.
    spectrum = fft.rfft(template / np.float32(norm), n=width)
    spectrum = fft.fft(spectrum, n=height, axis=0, overwrite_x=True)
    np.conj(spectrum, out=spectrum)
    spectrum *= prepared.spectrum
    inverse = prepared.inverse_spread(simulated.shape)
    ny, nx = inverse.shape
    rows = fft.ifft(spectrum, axis=0, overwrite_x=True)[:ny]
    return np.asarray(fft.irfft(rows, n=width, overwrite_x=True)[:, :nx] * inverse)


def best_place(simulated: Signal, observed: Signal, *, max_shift: float | None) -> dict[str, float]:
    """Where the correlation is highest within ``max_shift`` [Å]: ``ncc`` [1], ``row``, ``column``.

    The last two [px] are the patch's top-left. Raises as :func:`normalized_cross_correlation`.
    """
    ncc = normalized_cross_correlation(simulated.data, observed.data)
    allowed = allowed_offsets(ncc.shape, observed.sampling, max_shift=max_shift)
    row, column = np.unravel_index(int(np.argmax(np.where(allowed, ncc, -2))), ncc.shape)
    return {"ncc": float(ncc[row, column]), "row": float(row), "column": float(column)}


def allowed_offsets(
    shape: tuple[int, ...], sampling: tuple[float, ...], *, max_shift: float | None
) -> NDArray[np.bool_]:
    """Which top-left offsets lie within ``max_shift`` [Å] of the centered one; the nearest does."""
    if max_shift is None:
        return np.ones(shape, dtype=bool)
    y, x = (
        (np.arange(size) - (size - 1) / 2) * step
        for size, step in zip(shape, sampling, strict=True)
    )
    squared = y[:, None] ** 2 + x**2
    return np.asarray(squared <= max(max_shift**2, float(squared.min())))
