"""Compare by keypoints and their descriptors (SIFT); the only module that loads OpenCV."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from htinvert.core import EvaluationFailed, Floats, Score, Signal, UserError
from htinvert.declaration.declared import Parameter
from htinvert.geometry.once import Once
from htinvert.metrics.correlation import check_comparable, normalized_cross_correlation

Singles = NDArray[np.float32]

FEWEST = 4  # consistent matches below which the placement is left to correlation
ROUNDS = 500  # of random sampling; two matches that are right are then found at 10 % of them
KEPT = 8  # observed images whose keypoints are kept


@dataclass(frozen=True)
class Sift:
    """Compare keypoints: ``cost = 1 - agreement``, 0 for identical images to 1.

    Keypoints and descriptors of Lowe, Int. J. Comput. Vis. 60, 91 (2004); those of the observed
    image are computed once per process. Nearest descriptors that pass the ratio test are matches;
    the similarity that most of them agree on is found by random sampling (RANSAC: Fischler &
    Bolles, Commun. ACM 24, 381 (1981)) with a fixed seed. Agreement is the mean, over the simulated
    keypoints, of the cosine between the descriptors of a simulated keypoint and of the observed
    one that lies where the similarity puts it, 0 where there is none.

    On a lattice every keypoint has many equals, so that few matches pass the ratio test; where
    fewer than four agree, the correlation places the image instead (``placed_by_matches`` 0).

    Args:
        ratio: of the nearest to the second nearest descriptor's distance below which it is a match,
            > 0 to 1.
        reach: how far [Å] an observed keypoint may lie from where it is expected, > 0.
        most: keypoints kept of each image, the strongest, >= 1.
        library: "opencv", "scikit-image", or "auto" for the first that is installed. Their
            keypoints differ, so that costs of one do not compare with those of the other.

    The score's detail holds the numbers of ``keypoints``, ``matches`` and ``inliers``,
    ``placed_by_matches`` (1 or 0), and of the similarity ``rotation`` [degrees], ``magnification``
    [1] and where it puts the simulated image's middle, ``row`` and ``column`` [px].
    """

    sources: ClassVar[tuple[str, ...]] = (
        "D. G. Lowe, Int. J. Comput. Vis. 60, 91 (2004), doi:10.1023/B:VISI.0000029664.99615.94.",
    )

    ratio: Annotated[float, Parameter("1", 0.0, 1.0)] = 0.8
    reach: Annotated[float, Parameter("Å", 0.0)] = 0.8
    most: Annotated[int, Parameter("1", 1)] = 2000
    library: Literal["auto", "opencv", "scikit-image"] = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1 or not self.reach > 0 or self.most < 1:
            raise ValueError(
                f"ratio is {self.ratio}, reach {self.reach} Å and most {self.most} but must be "
                "within 0 to 1, positive and at least 1"
            )
        if self.library not in ("auto", "opencv", "scikit-image"):
            raise ValueError(f'library is "{self.library}"; choose auto, opencv or scikit-image')

    def __call__(self, simulated: Signal, observed: Signal) -> Score:
        """Match ``simulated`` with ``observed`` and score it.

        Raises:
            UserError: where the simulated image is larger or sampled differently, or the library
                that was asked for is not installed.
            EvaluationFailed: where an image is constant, not finite or has no keypoint.
        """
        check_comparable(simulated, observed)
        library = _installed(self.library)
        ncc = normalized_cross_correlation(simulated.data, observed.data)  # checks both images
        ours = keypoints(simulated.data, most=self.most, library=library)
        theirs = _remembered(observed.data, self.most, library)
        matches = ratio_matches(ours.descriptors, theirs.descriptors, ratio=self.ratio)
        reach = self.reach / observed.sampling[0]
        similarity, inliers = consensus(
            ours.places[matches[:, 0]], theirs.places[matches[:, 1]], reach=reach
        )
        by_matches = inliers >= FEWEST
        if not by_matches:
            row, column = np.unravel_index(int(np.argmax(ncc)), ncc.shape)
            similarity = np.array([1.0, 0.0, column, row])
        found = agreement(ours, theirs, similarity, reach=reach)
        a, b = similarity[:2]
        middle = _moved(similarity, (np.array([simulated.data.shape[::-1]]) - 1) / 2)[0]
        detail = {
            "keypoints": float(len(ours.places)),
            "matches": float(len(matches)),
            "inliers": float(inliers),
            "placed_by_matches": float(by_matches),
            "rotation": float(np.degrees(np.arctan2(-b, a))),
            "magnification": float(np.hypot(a, b)),
            "row": float(middle[1]),
            "column": float(middle[0]),
        }
        return Score(max(1.0 - found, 0.0), detail)


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Places (column, row) [px], shape (n, 2), and descriptors of unit norm, shape (n, 128)."""

    places: Floats
    descriptors: Singles


def keypoints(image: NDArray[np.floating], *, most: int, library: str) -> Keypoints:
    """Keypoints of an image scaled by its 0.1 and 99.9 percentiles, the strongest ``most``.

    ``library`` is "opencv" or "scikit-image". Raises :class:`EvaluationFailed` where there is none.
    """
    low, high = np.percentile(image, (0.1, 99.9))
    scaled = np.clip((image - low) / max(float(high - low), 1e-30), 0, 1)
    places, descriptors = (_opencv if library == "opencv" else _scikit_image)(scaled, most)
    if not len(places):
        raise EvaluationFailed("an image has no keypoint; its contrast or size is too small")
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return Keypoints(places, (descriptors / np.maximum(norms, 1e-12)).astype(np.float32))


def _opencv(scaled: Floats, most: int) -> tuple[Floats, Singles]:
    import cv2

    create = cv2.SIFT_create  # type: ignore[attr-defined,unused-ignore]
    found, descriptors = create(nfeatures=most).detectAndCompute(
        np.rint(255 * scaled).astype(np.uint8), None
    )
    if descriptors is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    return np.array([point.pt for point in found], dtype=float), np.asarray(descriptors)[:]


def _scikit_image(scaled: Floats, most: int) -> tuple[Floats, Singles]:
    from skimage.feature import SIFT

    detector = SIFT()
    try:
        detector.detect_and_extract(scaled)
    except RuntimeError:  # its word for no keypoint
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    sizes = np.asarray(detector.sigmas, dtype=float)
    strongest = np.argsort(-sizes, kind="stable")[:most]
    places = np.asarray(detector.positions, dtype=float)[strongest, ::-1]
    return places, np.asarray(detector.descriptors, dtype=np.float32)[strongest]


def _installed(asked: str) -> str:
    """The library to use. Raises :class:`UserError` where the one asked for is missing."""
    present = find_spec("cv2") is not None
    if asked == "opencv" and not present:
        raise UserError(
            "sift is to use opencv, which is not installed; install opencv-python-headless or "
            "choose library: scikit-image"
        )
    return "opencv" if present and asked != "scikit-image" else "scikit-image"


_kept: Once[Keypoints] = Once(most=KEPT)


def _remembered(observed: NDArray[np.floating], most: int, library: str) -> Keypoints:
    """Keypoints of an observed image; arrays are known by identity."""
    return _kept.of(
        observed,
        lambda: keypoints(observed, most=most, library=library),
        also=(most, library),
    )


def ratio_matches(ours: Singles, theirs: Singles, *, ratio: float) -> NDArray[np.intp]:
    """Pairs (our, their index) whose descriptors are nearest by far, shape (m, 2)."""
    if len(theirs) < 2:
        return np.zeros((0, 2), dtype=np.intp)
    squared = np.maximum(2 - 2 * ours @ theirs.T, 0)
    two = np.argpartition(squared, 1, axis=1)[:, :2]
    distances = np.sqrt(np.take_along_axis(squared, two, axis=1))
    nearer = np.argmin(distances, axis=1)
    first, second = distances.min(axis=1), distances.max(axis=1)
    passed = np.flatnonzero(first < ratio * second)
    return np.stack([passed, two[passed, nearer[passed]]], axis=1)


def consensus(ours: Floats, theirs: Floats, *, reach: float) -> tuple[Floats, int]:
    """The similarity that most matches agree on within ``reach`` [px], and how many do.

    As (a, b, column, row): ``x' = a x - b y + column``, ``y' = b x + a y + row``. Magnifications
    beyond 0.5 to 2 are not considered.
    """
    identity = np.array([1.0, 0.0, 0.0, 0.0])
    if len(ours) < 2:
        return identity, 0
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(ours), (ROUNDS, 2))
    source, target = ours @ [1, 1j], theirs @ [1, 1j]
    between = source[pairs[:, 1]] - source[pairs[:, 0]]
    apart = np.abs(between) > 4 * reach
    pairs, between = pairs[apart], between[apart]
    factor = (target[pairs[:, 1]] - target[pairs[:, 0]]) / between
    sound = (np.abs(factor) > 0.5) & (np.abs(factor) < 2)
    pairs, factor = pairs[sound], factor[sound]
    if not len(pairs):
        return identity, 0
    shift = target[pairs[:, 0]] - factor * source[pairs[:, 0]]
    off = np.abs(factor[:, None] * source + shift[:, None] - target) < reach
    best = off[int(np.argmax(off.sum(axis=1)))]
    count = int(best.sum())
    system = np.stack([source[best], np.ones(count)], axis=1)
    (turned, moved), *_ = np.linalg.lstsq(system, target[best], rcond=None)
    return np.array([turned.real, turned.imag, moved.real, moved.imag]), count


def agreement(ours: Keypoints, theirs: Keypoints, similarity: Floats, *, reach: float) -> float:
    """Mean cosine of the descriptors that lie on each other within ``reach`` [px], 0 to 1."""
    expected = _moved(similarity, ours.places)
    near = cKDTree(theirs.places).query_ball_point(expected, reach)
    best = [
        max((float(own @ theirs.descriptors[other]) for other in others), default=0.0)
        for own, others in zip(ours.descriptors, near, strict=True)
    ]
    return float(np.clip(np.mean(best), 0.0, 1.0))


def _moved(similarity: Floats, places: Floats) -> Floats:
    """Places, shape (n, 2), after a similarity."""
    a, b, column, row = similarity
    x, y = places.T
    return np.stack([a * x - b * y + column, b * x + a * y + row], axis=1)
