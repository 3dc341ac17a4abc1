"""Where a candidate lies in an image, how it is turned and magnified: found, then fitted.

A pose is fitted by least squares on the image itself. The derivatives of an image with respect to
an affine distortion are its gradient times coordinates, so a step costs one simulation (Lucas &
Kanade, IJCAI 674 (1981)). Gain, a background of second order, and a drift of the scan that grows
with the square of the row are solved for on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from scipy.ndimage import laplace, maximum_filter

from htinvert.core import EvaluationFailed, Floats, Signal
from htinvert.metrics.correlation import normalized_cross_correlation

FWHM2 = 8 * np.log(2)  # squared full width at half maximum over variance of a Gaussian
SOURCE = (0.3, 3.0)  # Å, bounds of the source size
LONGEST_STEP = 1.0  # Å per iteration
LARGEST_CHANGE = 0.05  # of the matrix per iteration
ANISOTROPY = 1.2  # ratio of the two magnifications beyond which a fit has gone astray
APART = 1.2  # Å between places that are tried
DRIFTS = slice(0, 3)  # of the derivatives: the image itself and a bent drift, free in every fit
SHORTEST = 0.1  # share of a step, below which a fit ends
ENOUGH = 2e-5  # gain in correlation below which a fit ends


@dataclass(frozen=True, eq=False)
class Pose:
    """How a candidate is imaged.

    Attributes:
        matrix: specimen to image coordinates, (right, down), shape (2, 2).
        shift: where the candidate's middle lies from the image's, (right, down) [Å], shape (2,).
        source_size: full width at half maximum of the source [Å].
    """

    matrix: Floats
    shift: Floats
    source_size: float = 1.0

    @classmethod
    def turned(cls, rotation: float, magnification: float) -> Pose:
        """Turned counter-clockwise [degrees] and magnified, in the middle of the image."""
        angle = np.radians(rotation)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return cls(magnification * turn, np.zeros(2))

    @property
    def parameters(self) -> dict[str, float]:
        """The same as parameters of a forward model: rotation [degrees], stretches, shear, shift.

        ``matrix = diag(1 + stretch) [[1, shear_x], [0, 1]] turn``, as in docs/conventions.md.
        """
        (_, _), (c, d) = self.matrix
        low = float(np.hypot(c, d))
        sine, cosine = -c / low, d / low
        turn = np.array([[cosine, sine], [-sine, cosine]])
        upper = self.matrix @ turn.T
        return {
            "rotation": float(np.degrees(np.arctan2(sine, cosine))),
            "stretch_x": float(upper[0, 0]) - 1,
            "stretch_y": low - 1,
            "shear_x": float(upper[0, 1] / upper[0, 0]),
            "shift_x": float(self.shift[0]),
            "shift_y": float(self.shift[1]),
            "source_size": self.source_size,
        }

    @property
    def magnification(self) -> float:
        """Geometric mean of both directions' [1]."""
        return float(np.sqrt(max(np.linalg.det(self.matrix), 0.0)))

    @property
    def anisotropy(self) -> float:
        """Ratio of the largest to the smallest magnification, >= 1."""
        large, small = np.linalg.svd(self.matrix, compute_uv=False)
        return float(large / max(small, 1e-12))


class Renderer(Protocol):
    """A candidate that can be imaged in any pose."""

    @property
    def radius(self) -> float:
        """How far from its middle [Å] the candidate's image means something."""
        ...

    @property
    def resolves(self) -> bool:
        """Whether the source size changes the image."""
        ...

    def render(self, pose: Pose, shape: tuple[int, int], sampling: float) -> Floats:
        """Image, shape (ny, nx), of square pixels [Å/px]."""
        ...


@dataclass(frozen=True, eq=False)
class PlacedPose:
    """A pose and the correlation, -1 to 1, that it was found with."""

    pose: Pose
    correlation: float


def place(
    candidate: Renderer, pose: Pose, image: Signal, *, half: float, count: int = 1
) -> list[PlacedPose]:
    """Find the shifts, in both half turns, at which a candidate correlates best with an image.

    The candidate's middle part, ``half`` [Å] to each side, is moved over the whole image. The best
    ``count`` places that are at least ``APART`` [Å] from each other, the best first. Raises
    :class:`EvaluationFailed` where the candidate shows nothing there.
    """
    sampling = image.sampling[0]
    n = [min(2 * round(half / sampling) + 1, size - 4) for size in image.data.shape]
    part = candidate.render(replace(pose, shift=np.zeros(2)), (n[0], n[1]), sampling)
    found = []
    for half_turn in (1, -1):
        ncc = normalized_cross_correlation(part[::half_turn, ::half_turn], image.data)
        peaks = ncc == maximum_filter(ncc, 2 * round(APART / sampling) + 1, mode="nearest")
        rows, columns = np.nonzero(peaks)
        best = np.argsort(-ncc[rows, columns], kind="stable")[:count]
        for row, column in zip(rows[best], columns[best], strict=True):
            middle = np.array([column, row]) - (np.array(ncc.shape[::-1]) - 1) / 2
            turned = replace(pose, matrix=half_turn * pose.matrix, shift=middle * sampling)
            found.append(PlacedPose(turned, float(ncc[row, column])))
    return sorted(found, key=lambda placed: -placed.correlation)[:count]


@dataclass(frozen=True, eq=False)
class PosedPatch:
    """The part of an image that is compared: pixel box and (right, down) of its middle [Å]."""

    rows: slice
    columns: slice
    middle: Floats

    @classmethod
    def around(cls, shift: Floats, image: Signal, *, half: float) -> PosedPatch:
        """Up to ``half`` [Å] to each side of a point, cut off at the image's edges."""
        sampling, parts, middle = image.sampling[0], [], []
        for size, center in zip(image.data.shape, shift[::-1], strict=True):
            at = (size - 1) / 2 + center / sampling
            reach = min(half / sampling, 2.0 * size)
            low, high = max(0, round(at - reach)), min(size, round(at + reach) + 1)
            low, high = min(low, size - 8), max(high, 8)
            parts.append(slice(low, high))
            middle.append(((low + high - 1) / 2 - (size - 1) / 2) * sampling)
        return cls(parts[0], parts[1], np.array(middle[::-1]))

    def of(self, image: Signal) -> Floats:
        """The pixels."""
        return image.data[self.rows, self.columns].astype(np.float64)


def slipped(
    candidate: Renderer, pose: Pose, image: Signal, *, half: float, reach: float, count: int
) -> list[Pose]:
    """The pose moved by up to ``reach`` [Å] to where all of its region fits best, the best first.

    On a dense net a pose may fit one grain well and be one column off in the other, so the whole
    region, ``half`` [Å] to each side, is compared, in the image's own pixels: columns 2 Å apart are
    lost in coarser ones.
    """
    sampling = image.sampling[0]
    region = PosedPatch.around(pose.shift, image, half=half)
    observed, margin = region.of(image), round(reach / sampling)
    shape = (observed.shape[0] + 2 * margin, observed.shape[1] + 2 * margin)
    centered = replace(pose, shift=pose.shift - region.middle)
    wide = np.asarray(candidate.render(centered, shape, sampling))
    try:
        ncc = normalized_cross_correlation(observed, wide)
    except (EvaluationFailed, ValueError):
        return []
    peaks = ncc == maximum_filter(ncc, 2 * round(APART / sampling) + 1, mode="nearest")
    places = np.argwhere(peaks)
    best = places[np.argsort(-ncc[peaks], kind="stable")[:count]]
    return [replace(pose, shift=pose.shift - (at[::-1] - margin) * sampling) for at in best]


@dataclass(frozen=True, eq=False)
class FittedPose:
    """A pose after the fit: correlation 0 to 1 with the image's region, and both as compared.

    ``simulated`` has the gain and background that bring it closest to ``observed``.
    """

    pose: Pose
    correlation: float
    region: PosedPatch
    simulated: Floats
    observed: Floats


def refine(
    candidate: Renderer,
    placed: Pose,
    image: Signal,
    *,
    half: float,
    iterations: int = 8,
    magnification: tuple[float, float] = (0.0, np.inf),
    middle: Floats | None = None,
) -> FittedPose:
    """Fit a pose by least squares in the region ``half`` [Å] around where it was placed.

    Or around ``middle``, (right, down) [Å]. Never worse than the start. Raises
    :class:`EvaluationFailed` where the candidate is constant there.
    """
    region = PosedPatch.around(placed.shift if middle is None else middle, image, half=half)
    observed, sampling = region.of(image), image.sampling[0]
    background = _background(observed.shape)
    target = _without(background, observed.ravel())
    norm = float(np.linalg.norm(target))
    if norm == 0.0:
        raise EvaluationFailed("the region that is compared is constant")
    pose, best, share, base = placed, None, 1.0, np.empty(0)
    for _ in range(iterations):
        shifted = replace(pose, shift=pose.shift - region.middle)
        simulated = np.asarray(candidate.render(shifted, observed.shape, sampling), float)
        columns = _derivatives(simulated, shifted, sampling, source=candidate.resolves)
        columns = _without(background, columns)
        explained = _explained(columns[DRIFTS], target)
        correlation = float(np.linalg.norm(explained)) / norm
        if float(columns[0] @ target) <= 0.0:
            correlation, explained = 0.0, np.zeros_like(target)
        if best is None or correlation > best.correlation:
            gained = correlation - best.correlation if best else 1.0
            fitted = observed - (target - explained).reshape(observed.shape)
            best, base, share = (
                FittedPose(pose, correlation, region, fitted, observed),
                columns,
                1.0,
            )
            if gained < ENOUGH:
                break
        else:  # too far: a net that is blurred away hardly says how far
            share /= 2.0
        stepped = _step(best.pose, base, target, share) if share >= SHORTEST else None
        if stepped is None or stepped.anisotropy > ANISOTROPY:
            break
        if not magnification[0] <= stepped.magnification <= magnification[1]:
            break
        pose = stepped
    assert best is not None  # noqa: S101
    return best


def _background(shape: tuple[int, ...]) -> Floats:
    """Orthonormal polynomials up to second order over a region, shape (6, ny * nx).

    Products of those of each axis, which are orthogonal as they are: no factorization is needed.
    """
    axes = []
    for count in shape:
        along = np.linspace(-1, 1, count)
        orders = np.stack([np.ones(count), along, along**2 - (along**2).mean()])
        axes.append(orders / np.maximum(np.linalg.norm(orders, axis=1), 1e-12)[:, None])
    y, x = axes
    products = [np.outer(y[i], x[j]) for i, j in ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))]
    return np.stack(products).reshape(6, -1)


def _without(background: Floats, values: Floats) -> Floats:
    """Values, shape (n,) or (k, n), less their projection on the background."""
    return values - (values @ background.T) @ background


def _derivatives(simulated: Floats, pose: Pose, sampling: float, *, source: bool) -> Floats:
    """The image, its derivatives by a bent drift (2), matrix (4), shift (2) and source size.

    Shape (9 or 10, n). The drift grows with the square of the row: a scan's is seldom straight.
    """
    ny, nx = simulated.shape
    down = ((np.arange(ny) - (ny - 1) / 2) * sampling - pose.shift[1])[:, None]
    right = (np.arange(nx) - (nx - 1) / 2) * sampling - pose.shift[0]
    gy, gx = np.gradient(simulated, sampling)
    bent = (np.linspace(-1, 1, ny) ** 2 - 1 / 3)[:, None]
    parts = [
        simulated,
        gx * bent,
        gy * bent,
        -gx * right,
        -gx * down,
        -gy * right,
        -gy * down,
        -gx,
        -gy,
    ]
    if source:
        parts.append(laplace(simulated, mode="nearest") * (pose.source_size / FWHM2 / sampling**2))
    return np.stack(parts).reshape(len(parts), -1)


def _explained(columns: Floats, target: Floats) -> Floats:
    """The part of a target, shape (n,), that columns, shape (k, n), explain by least squares."""
    gram = columns @ columns.T
    gram[np.diag_indices_from(gram)] *= 1 + 1e-9
    try:
        return np.asarray(np.linalg.solve(gram, columns @ target) @ columns)
    except np.linalg.LinAlgError:
        return np.zeros_like(target)


def _step(pose: Pose, columns: Floats, target: Floats, share: float) -> Pose | None:
    """The next pose, a share of the way of linear least squares for gain and gain times step.

    None where that is undefined.
    """
    gram = columns @ columns.T
    gram[np.diag_indices_from(gram)] *= 1 + 1e-6
    try:
        solution = np.linalg.solve(gram, columns @ target)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(solution).all() or solution[0] <= 0:
        return None
    step = share * solution[3:] / solution[0]  # the drift is left to every fit anew
    change = np.clip(step[:4].reshape(2, 2), -LARGEST_CHANGE, LARGEST_CHANGE)
    moved = np.clip(step[4:6], -LONGEST_STEP, LONGEST_STEP)
    size = pose.source_size
    if len(step) > 6:
        size = float(np.clip(size + np.clip(step[6], -0.3, 0.3), *SOURCE))
    return Pose((np.eye(2) + change) @ pose.matrix, pose.shift + moved, size)
