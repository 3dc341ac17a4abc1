"""Lay the reciprocal lattice of a crystal over the spots of an image.

A spot at f [1/px] and the reciprocal vector g [1/Å] it belongs to obey ``f = M g``. Every pairing
of two strong spots with two reciprocal vectors gives an M; the best few are refined by least
squares over all spots. ``A = M^-T`` takes specimen to image, (right, down) [Å] to [px], and splits
into what a forward model is given: ``A = diag(1/px, 1/py) [[1, shear_x], [0, 1]] rotation``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import Floats
from htinvert.image.calibration.spots import Spots
from htinvert.image.calibration.zone import SpotPattern

NEAR = (
    1.0  # bins: a spot this close to its reciprocal vector, or within NEAR_RELATIVE, is explained
)
NEAR_RELATIVE = 0.01  # of the spot's frequency: uneven drift spreads the far ones
_STRONGEST = 12  # spots that are paired
_PAIRED = 8  # reciprocal vectors that are paired
_REFINED = 8  # hypotheses
_DISTORTION = 0.15  # most shear, and most unlikeness of x and y against the header
_LIKELY = 0.1  # typical distortion: of two explanations the less distorted is preferred
_OUTLIER = 4.0  # standard deviations
_ONE_RING = 1e-8  # relative variance of squared lengths that are equal but for rounding
_BATCH = 256


@dataclass(frozen=True)
class SpotLimits:
    """Pixel sizes (x, y) [Å/px] to believe in; ``tolerance`` is relative, None for any."""

    header: tuple[float, float]
    tolerance: float | None

    def allow(self, scale: Floats) -> NDArray[np.bool_]:
        """Which mean pixel sizes, geometric, are near enough to the header's, shape (n,)."""
        if self.tolerance is None:
            return np.asarray(scale > 0)
        ratio = scale / np.sqrt(np.prod(self.header))
        return np.asarray(np.abs(ratio - 1) <= self.tolerance)


@dataclass(frozen=True, eq=False)
class Match:
    """A crystal laid over the spots.

    Attributes:
        pattern: the crystal and its zone axis, seen from the side that fits.
        matrix: M, (right, down) [1/Å] to (x, y) [1/px], shape (2, 2).
        covariance: of M's elements, row by row, shape (4, 4).
        assigned: row of each spot in the pattern, -1 where it is not explained, shape (n,).
        residual: measured less predicted frequency (x, y) [1/px], shape (n, 2); of spots that are
            not explained, from the nearest reciprocal vector.
        used: spots that the refinement used, shape (n,).
        share: of the spots' intensity that is explained, 0 to 1.
        agreement: cosine between measured amplitudes and those of the crystal, 0 to 1; spots that
            only one of the two has lower it.
        rms: of the explained spots' residual vectors [bins].
        looseness: rms of the explained spots' distance over the farthest allowed, 0 to 1; spots
            that are near by chance alone have 0.71.
        score: agreement, less for loose spots and strong distortion; ranks explanations.
    """

    pattern: SpotPattern
    matrix: Floats
    covariance: Floats
    assigned: NDArray[np.int_]
    residual: Floats
    used: NDArray[np.bool_]
    share: float
    agreement: float
    rms: float
    looseness: float
    score: float

    @property
    def scale(self) -> float:
        """Geometric mean of the pixel sizes [Å/px]."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))


def decompose(matrix: Floats) -> Floats:
    """Pixel sizes x and y [Å/px], shear_x [1] and rotation [degrees] of M, shape (..., 4)."""
    inverse, determinant = _inverted(matrix)
    a, b = inverse[..., 0, 0], inverse[..., 1, 0]  # of A, row by row
    c, d = inverse[..., 0, 1], inverse[..., 1, 1]
    py = 1 / np.hypot(c, d)
    px = determinant / py
    shear = px * (a * c + b * d) * py
    return np.stack([px, py, shear, np.degrees(np.arctan2(-c, d))], axis=-1)


def _inverted(matrix: Floats) -> tuple[Floats, Floats]:
    """Inverses, shape (..., 2, 2), and determinants of small matrices; LAPACK takes longer."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    determinant = a * d - b * c
    inverse = np.empty(matrix.shape)
    inverse[..., 0, 0], inverse[..., 0, 1] = d / determinant, -b / determinant
    inverse[..., 1, 0], inverse[..., 1, 1] = -c / determinant, a / determinant
    return inverse, determinant


def match_pattern(spots: Spots, pattern: SpotPattern, limits: SpotLimits) -> Match | None:
    """Best way to lay ``pattern`` over the spots, from either side; None where there is none."""
    found = []
    for side in (pattern, pattern.mirrored()):
        hypotheses = _hypotheses(spots, side, limits)
        scores = _coarse_scores(spots, side, hypotheses, limits)
        best = np.argsort(-scores, kind="stable")
        found += [
            refined
            for matrix in _distinct(hypotheses[best], spots)
            if (refined := _refine(spots, side, matrix, limits)) is not None
        ]
    if not found:
        return None
    return _upright(max(found, key=lambda m: round(m.score, 6)))


def _hypotheses(spots: Spots, pattern: SpotPattern, limits: SpotLimits) -> Floats:
    """Every M from two strong spots and two reciprocal vectors that is believable, (k, 2, 2)."""
    f = spots.frequency[:_STRONGEST]
    i, j = np.array([(i, j) for i in range(len(f)) for j in range(len(f)) if i != j]).T
    first = np.concatenate([f[i], f[i]])
    second = np.concatenate([f[j], -f[j]])
    pairs = np.stack([first, second], axis=-1)  # columns
    g = pattern.vectors[_leading(pattern)]
    a, b = np.tril_indices(len(g), -1)
    ideal = np.stack([g[a], g[b]], axis=-1)
    apart = np.abs(np.linalg.det(ideal)) > 1e-6
    if not apart.any():
        return np.empty((0, 2, 2))
    found = (pairs @ np.linalg.inv(ideal[apart])[:, None]).reshape(-1, 2, 2)
    found = found[np.linalg.det(found) > 1e-12]
    return found[_believable(found, limits)]


def _leading(pattern: SpotPattern) -> NDArray[np.int_]:
    """Vectors of one half plane that an image shows first: short ones and strong ones."""
    x, y = pattern.vectors.T
    half = np.flatnonzero((x > 1e-9) | ((np.abs(x) <= 1e-9) & (y > 0)))
    fade = np.exp(-((pattern.lengths[half] / 0.5) ** 2))
    order = np.argsort(-np.round(pattern.amplitude[half] * fade, 9), kind="stable")
    return half[order[:_PAIRED]]


def _believable(matrices: Floats, limits: SpotLimits) -> NDArray[np.bool_]:
    px, py, shear, _ = decompose(matrices).T
    unlike = np.log(px / py) - np.log(limits.header[0] / limits.header[1])
    narrow = (np.abs(unlike) <= _DISTORTION) & (np.abs(shear) <= _DISTORTION)
    return np.asarray(narrow & limits.allow(np.sqrt(px * py)))


def _likelihood(matrices: Floats, limits: SpotLimits) -> Floats:
    """One for no distortion against the header but a common scale, less otherwise, shape (k,)."""
    px, py, shear, _ = decompose(matrices).T
    unlike = np.log(px / py) - np.log(limits.header[0] / limits.header[1])
    return np.asarray(np.exp(-(unlike**2 + shear**2) / (2 * _LIKELY**2)))


def _near(spots: Spots) -> Floats:
    """How close [bins] a spot must be to be explained, shape (n,)."""
    return np.maximum(NEAR, NEAR_RELATIVE * np.hypot(*(spots.frequency * spots.bins).T))


def _coarse_scores(
    spots: Spots, pattern: SpotPattern, matrices: Floats, limits: SpotLimits
) -> Floats:
    """Explained share of the spots times found share of the crystal's amplitude, shape (k,)."""
    bins, near = spots.bins, 2 * _near(spots)
    measured = spots.amplitude
    radius = np.hypot(*spots.frequency.T)
    fade = np.log(measured.max() / measured.min()) / radius.max() ** 2
    scores = np.zeros(len(matrices))
    for start in range(0, len(matrices), _BATCH):
        batch = matrices[start : start + _BATCH]
        predicted = pattern.vectors @ batch.swapaxes(1, 2)  # (k, m, 2)
        weight = pattern.amplitude * np.exp(-fade * (predicted**2).sum(axis=2))
        weight *= np.hypot(predicted[..., 0], predicted[..., 1]) <= radius.max()
        difference = (spots.frequency[:, None] - predicted[:, None]) * bins  # (k, n, m, 2)
        close = np.hypot(difference[..., 0], difference[..., 1]) < near[:, None]
        explained = close.any(axis=2) @ measured / measured.sum()
        # spots are of one half plane: of each vector and its opposite only one can be found
        present = (
            2 * (close.any(axis=1) * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1e-30)
        )
        scores[start : start + _BATCH] = explained * present
    return scores * _likelihood(matrices, limits)


def _distinct(matrices: Floats, spots: Spots) -> list[Floats]:
    """The first few that differ by more than a bin at the outermost spot."""
    reach = np.linalg.norm(spots.frequency, axis=1).max()
    kept: list[Floats] = []
    for matrix in matrices[: 40 * _REFINED]:
        limit = 0.5 / spots.bins.max() / reach
        if all(np.linalg.norm(matrix - k) > limit * np.linalg.norm(k) for k in kept):
            kept.append(matrix)
        if len(kept) == _REFINED:
            break
    return kept


def _refine(spots: Spots, pattern: SpotPattern, matrix: Floats, limits: SpotLimits) -> Match | None:
    """Weighted least squares for M over all spots that it explains; None where it falls apart."""
    covariance = np.zeros((4, 4))
    near = _near(spots)
    before = b""
    for widening in (2.0, 1.5, 1.0, 1.0, 1.0):
        assigned, distance = _assign(spots, pattern, matrix)
        used = distance <= widening * near
        used &= distance <= np.maximum(_OUTLIER * _typical(distance[used]), 0.15)
        if used.sum() < 3 or _in_line(spots.frequency[used]):
            return None
        pairs = np.where(used, assigned, -1).tobytes()
        if pairs == before:
            continue  # the same pairs give the same M
        before = pairs
        matrix, covariance = _solve(spots, pattern.vectors[assigned], used)
        if _inverted(matrix)[1] <= 0 or not _believable(matrix[None], limits)[0]:
            return None
    covariance = covariance + _jitter_covariance(spots, matrix)
    return judged(spots, pattern, matrix, covariance, used, limits)


def _assign(spots: Spots, pattern: SpotPattern, matrix: Floats) -> tuple[NDArray[np.int_], Floats]:
    """Nearest reciprocal vector of each spot and its distance [bins], both shape (n,)."""
    difference = (spots.frequency[:, None] - pattern.vectors @ matrix.T) * spots.bins
    distance = np.hypot(difference[..., 0], difference[..., 1])
    assigned = distance.argmin(axis=1)
    return assigned, distance[np.arange(len(assigned)), assigned]


def _typical(distance: Floats) -> float:
    """Robust standard deviation per direction of distances from the origin in a plane."""
    if not len(distance):
        return 0.0
    ordered = np.sort(distance)  # np.median takes ten times as long for so few
    return float(ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / (2 * 1.1774)


def _in_line(vectors: Floats) -> bool:
    """Whether vectors, shape (n, 2), reach less than 1e-4 across a line, by their Gram matrix."""
    (xx, xy), (_, yy) = vectors.T @ vectors
    return bool((xx + yy) / 2 - np.hypot((xx - yy) / 2, xy) < 1e-8)


def _solve(spots: Spots, ideal: Floats, used: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """M and the covariance of its elements, from spots whose scatter beyond noise is estimated.

    The extra variance, one for all spots, makes chi-square equal its degrees of freedom
    (DerSimonian & Laird, Control. Clin. Trials 7, 177 (1986)).
    """
    g, f = ideal[used], spots.frequency[used] * spots.bins
    noise = (spots.sigma[used] * spots.bins) ** 2  # bins
    freedom = 2 * len(g) - 4
    products = (g[:, :, None] * g[:, None]).reshape(-1, 4)
    extra = 0.0
    for _ in range(20):
        weight = 1 / (noise + extra)
        inverses, _ = _inverted((weight.T @ products).reshape(2, 2, 2))  # one of each axis
        rows = (inverses @ ((weight * f).T @ g)[..., None])[..., 0]
        chi = float((weight * (f - g @ rows.T) ** 2).sum())
        if chi <= freedom * 1.001 and (extra == 0 or chi >= freedom * 0.999):
            break
        extra = max(extra * chi / freedom, 0.0) if extra else float(noise.mean()) * chi / freedom
    covariance = np.zeros((4, 4))
    covariance[:2, :2], covariance[2:, 2:] = inverses / spots.bins[:, None, None] ** 2
    return rows / spots.bins[:, None], covariance


def _jitter_covariance(spots: Spots, matrix: Floats) -> Floats:
    """Covariance of M from a slope of the scan rows' displacement, ``f_y += slope . f``."""
    sx, sy = spots.jitter
    covariance = np.zeros((4, 4))
    covariance[2:, 2:] = sx**2 * np.outer(matrix[0], matrix[0])
    covariance[2:, 2:] += sy**2 * np.outer(matrix[1], matrix[1])
    return covariance


def judged(
    spots: Spots,
    pattern: SpotPattern,
    matrix: Floats,
    covariance: Floats,
    used: NDArray[np.bool_],
    limits: SpotLimits,
) -> Match:
    """The match of given M with its figures of merit."""
    nearest, distance = _assign(spots, pattern, matrix)
    near = _near(spots)
    explained = distance <= near
    measured = spots.amplitude
    looseness = (
        float(np.sqrt(((distance / near)[explained] ** 2).mean())) if any(explained) else 1.0
    )
    agreement = _agreement(spots, pattern, matrix, np.where(explained, nearest, -1))
    return Match(
        pattern=pattern,
        matrix=matrix,
        covariance=covariance,
        assigned=np.where(explained, nearest, -1),
        residual=spots.frequency - pattern.vectors[nearest] @ matrix.T,
        used=used & explained,
        share=float((measured[explained] ** 2).sum() / (measured**2).sum()),
        agreement=agreement,
        rms=float(np.sqrt((distance[explained] ** 2).mean())) if explained.any() else np.inf,
        looseness=looseness,
        score=agreement * (1 - looseness**2) * float(_likelihood(matrix[None], limits)[0]),
    )


def _agreement(
    spots: Spots, pattern: SpotPattern, matrix: Floats, assigned: NDArray[np.int_]
) -> float:
    """Cosine between measured and expected amplitudes, which fade as exp(-b g^2), b >= 0."""
    explained = assigned >= 0
    if not explained.any():
        return 0.0
    measured, g = spots.amplitude, pattern.lengths
    index = assigned[explained]
    ratio = np.log(measured[explained] / pattern.amplitude[index])
    weight = measured[explained]
    x = g[index] ** 2 - np.average(g[index] ** 2, weights=weight)
    spread = float((weight * x**2).sum())
    one_ring = spread < _ONE_RING * float((weight * g[index] ** 4).sum())  # says nothing of fading
    fade = 0.0 if one_ring else max(-float((weight * x * ratio).sum()) / spread, 0.0)
    expected = pattern.amplitude * np.exp(-fade * g**2)
    place = pattern.vectors @ matrix.T
    bins = place * spots.bins
    shown = np.hypot(*place.T) <= 1.02 * np.hypot(*spots.frequency.T).max()
    shown &= np.hypot(*bins.T) > 4
    shown[index] = True
    overlap = float((measured[explained] * expected[index]).sum())
    # the pattern holds both of each pair of opposites, the spots one
    lengths = np.sqrt((expected[shown] ** 2).sum() / 2 * (measured**2).sum())
    return float(min(overlap / lengths, 1.0)) if lengths > 0 else 0.0


def _upright(found: Match) -> Match:
    """The same match where the crystal's own symmetry leaves the smallest rotation."""
    pattern = found.pattern
    turned = [(decompose(found.matrix)[3], np.eye(2), np.arange(len(pattern.vectors)))]
    for turn, order in symmetries(pattern):
        turned.append((decompose(found.matrix @ turn)[3], turn, order))
    _, turn, order = min(turned, key=lambda t: (round(abs(t[0]), 4), -t[0]))
    if np.allclose(turn, np.eye(2)):
        return found
    both = np.kron(np.eye(2), turn.T)
    assigned = np.where(found.assigned >= 0, order[found.assigned], -1)
    covariance = both @ found.covariance @ both.T
    return replace(found, matrix=found.matrix @ turn, covariance=covariance, assigned=assigned)


def symmetries(pattern: SpotPattern) -> list[tuple[Floats, NDArray[np.int_]]]:
    """Rotations R of the pattern onto itself, and for each the row of ``R^-1 g`` per row of g."""
    vectors, found = pattern.vectors, []
    tree = cKDTree(vectors)
    for count in (2, 3, 4, 6):
        for step in range(1, count):
            angle = 2 * np.pi * step / count
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            back = vectors @ turn  # R^-1 g, one per row
            distance, order = tree.query(back)
            same = np.allclose(pattern.amplitude[order], pattern.amplitude, atol=1e-3)
            if distance.max() < 1e-4 * pattern.lengths.max() and same:
                found.append((turn, order))
    return found
