"""What an image's power spectrum says whatever its place, turn and magnification.

A shift of an image leaves its power spectrum alone; in log-polar coordinates a rotation shifts that
along the angle and a magnification along the logarithm of the frequency (Reddy & Chatterji, IEEE
Trans. Image Process. 5, 1266 (1996)). The transform's magnitude of the map does not know these
shifts either: it is the Fourier-Mellin invariant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter, map_coordinates

Singles = NDArray[np.float32]

ANGLES = 240  # over half a turn
RADII = 72  # over LOWEST to HIGHEST
LOWEST, HIGHEST = 0.11, 0.88  # 1/Å: lattice distances of 9.1 to 1.14 Å
BIN = float(np.log(HIGHEST / LOWEST)) / RADII  # of the logarithm of the frequency
FLOOR = 0.006  # of an image's strongest Fourier component: what is weaker counts little
SMOOTH = 8.0  # bins: what is broader than this is background
SIGNATURE = (48, 24)  # lowest orders of the invariant that are kept, along angle and frequency


def spectrum_map(image: NDArray[np.floating], sampling: float) -> Singles:
    """Log-polar map of an image's spectrum, zero mean, unit norm, shape (ANGLES, RADII).

    Rows are angles counter-clockwise from the image's right, half a turn in all; columns are
    frequencies. ``sampling`` is the pixel size [Å/px] along both axes. A constant image
    gives zeros.
    """
    data = np.asarray(image, dtype=np.float32)
    data = data - data.mean()
    window = np.outer(*(np.hanning(n).astype(np.float32) for n in data.shape))
    size = fft.next_fast_len(int(1.6 * max(data.shape)), real=True)
    spectrum = np.abs(fft.rfft2(data * window, s=(size, size)))
    angle = np.pi * np.arange(ANGLES) / ANGLES
    radius = LOWEST * np.exp(BIN * np.arange(RADII)) * size * sampling
    right, up = np.outer(np.cos(angle), radius), np.outer(np.sin(angle), radius)
    flipped = right < 0  # the half that rfft2 leaves out, by the symmetry of a real image
    row = np.where(flipped, up, -up) % size
    beyond = np.maximum(np.abs(right), np.abs(up)) > size / 2 - 1
    values = map_coordinates(
        spectrum, [row, np.abs(right)], order=1, mode="grid-wrap", prefilter=False
    )
    values = np.where(beyond, 0, values)
    level = max(float(np.median(values[~beyond])), FLOOR * float(values.max()), 1e-30)
    found = np.log1p(values / level)
    found -= gaussian_filter(found, SMOOTH, mode=("wrap", "nearest"))
    return _unit(found)


def signature(found: Singles) -> Singles:
    """Invariant of a log-polar map under rotation and magnification, unit norm, flat."""
    taper = np.hanning(RADII + 2)[1:-1].astype(np.float32) ** 0.5
    rows, columns = SIGNATURE
    order = np.abs(fft.rfft2(found * taper, s=(ANGLES, 2 * RADII)))
    low = order[np.r_[0 : rows + 1, -rows:0], : columns + 1]
    low[0, 0] = 0
    return _unit(np.sqrt(low)).ravel()


def _unit(values: NDArray[np.floating]) -> Singles:
    centered = values - values.mean()
    norm = float(np.linalg.norm(centered))
    return np.asarray(centered / norm if norm > 0 else 0 * centered, dtype=np.float32)


@dataclass(frozen=True)
class Turn:
    """By how much an image is turned counter-clockwise [degrees] and magnified; how sure, 0 to 1.

    The half turn that a power spectrum does not see is left open: ``rotation`` is 0 to 180.
    """

    rotation: float
    magnification: float
    correlation: float


def prepare_map(found: Singles) -> NDArray[np.complexfloating]:
    """Transform of a log-polar map for :func:`turns`."""
    return np.asarray(fft.rfft2(found, s=(ANGLES, 2 * RADII)))


def turns(
    observed: NDArray[np.complexfloating],
    reference: Singles,
    *,
    magnification: tuple[float, float],
    count: int = 1,
) -> list[Turn]:
    """Turns of ``reference`` that make it most like what was observed, the likeliest first.

    Args:
        observed: a map that :func:`prepare_map` has transformed.
        reference: a log-polar map.
        magnification: lower and upper bound.
        count: how many to return, at least 8 bins apart from each other.
    """
    other = np.conj(prepare_map(reference))
    correlation = fft.irfft2(observed * other, s=(ANGLES, 2 * RADII))
    shifts = np.arange(2 * RADII)
    shifts = np.where(shifts >= RADII, shifts - 2 * RADII, shifts)  # a larger image: lower ones
    allowed = (shifts >= -np.log(magnification[1]) / BIN - 1) & (
        shifts <= -np.log(magnification[0]) / BIN + 1
    )
    overlap = np.sqrt(RADII / np.maximum(RADII - np.abs(shifts), 1))
    weighed = np.where(allowed, correlation * overlap, -np.inf)
    found = []
    for _ in range(count):
        row, column = np.unravel_index(int(np.argmax(weighed)), weighed.shape)
        best = float(weighed[row, column])
        if not np.isfinite(best):
            break
        row_part = _peak(correlation[(row + np.array([-1, 0, 1])) % ANGLES, column])
        column_part = _peak(correlation[row, (column + np.array([-1, 0, 1])) % (2 * RADII)])
        rotation = (row + row_part) * 180 / ANGLES
        shift = float(shifts[column]) + column_part
        size = float(np.clip(np.exp(-shift * BIN), *magnification))
        found.append(Turn(float(rotation % 180), size, best))
        weighed[(row + np.arange(-8, 9)) % ANGLES] = -np.inf
    return found


def _peak(three: NDArray[np.floating]) -> float:
    """Where a parabola through three equally spaced values has its top, from the middle one."""
    left, middle, right = map(float, three)
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
