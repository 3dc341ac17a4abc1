"""SIFT and HOG as metrics: 0 for identical images, low where the structure is the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from htinvert.core import EvaluationFailed, Metric, Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.metrics import sift as module
from htinvert.metrics.hog import Hog, oriented_gradients
from htinvert.metrics.sift import Sift, consensus

MODEL = StemConvolution(sampling=0.2, shape=(240, 240))
METRICS = [Hog(), Sift(), Sift(library="scikit-image")]


def disordered(seed: int) -> Atoms:
    """Columns of gold at random, at least 2 Å apart, in 48 x 48 Å."""
    rng = np.random.default_rng(seed)
    kept: list[np.ndarray] = []
    for point in rng.uniform(2, 46, (2000, 2)):
        if all(np.hypot(*(point - other)) > 2.0 for other in kept):
            kept.append(point)
    positions = np.column_stack([np.zeros(len(kept)), np.array(kept)])
    return Atoms(f"Au{len(kept)}", positions, cell=[4, 48, 48], pbc=(True, False, False))


RIGHT, WRONG = disordered(1), disordered(2)
NOISE = np.random.default_rng(0)


def observed(atoms: Atoms = RIGHT, **pose: float) -> Signal:
    image = replace(MODEL, **pose)(atoms)
    counts = NOISE.poisson(60 * image.data / image.data.max())
    return Signal.image(counts.astype(np.float32), 0.2)


def middle(image: Signal, size: int = 140) -> Signal:
    start = (image.data.shape[0] - size) // 2
    part = slice(start, start + size)
    return Signal.image(image.data[part, part], 0.2)


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_identical_images_cost_nothing(metric: Metric) -> None:
    image = middle(MODEL(RIGHT))
    assert metric(image, image).cost == pytest.approx(0.0, abs=1e-6)  # single precision


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_the_right_structure_costs_less_than_another(metric: Metric) -> None:
    seen = observed()
    right, wrong = (metric(middle(MODEL(atoms)), seen).cost for atoms in (RIGHT, WRONG))
    assert right < wrong - 0.1


@pytest.mark.parametrize("metric", METRICS, ids=str)
def test_a_constant_image_is_a_failure_with_a_reason(metric: Metric) -> None:
    flat = Signal.image(np.ones((140, 140)), 0.2)
    with pytest.raises(EvaluationFailed, match="constant"):
        metric(flat, observed())


def test_gain_and_offset_do_not_count_for_hog() -> None:
    image = MODEL(RIGHT)
    other = Signal.image(3.0 * image.data + 7.0, 0.2)
    assert Hog()(middle(image), other).cost == pytest.approx(0.0, abs=1e-3)  # the floor of blocks


def test_hog_finds_the_pose_when_asked() -> None:
    seen = observed(rotation=40.0)
    plain, posed = (Hog(normalize=n)(middle(MODEL(RIGHT), 200), seen) for n in (False, True))
    assert posed.detail["rotation"] == pytest.approx(40.0, abs=1.5)  # degrees, two bins
    assert posed.cost < plain.cost - 0.1


def test_votes_fall_into_the_bin_of_the_gradient() -> None:
    ramp = np.arange(16.0)[None, :] * np.ones((16, 1))  # brighter to the right: orientation 0
    found = oriented_gradients(ramp, cell=4, orientations=8).reshape(-1, 8)
    assert found[:, 0] == pytest.approx(np.full(len(found), len(found) ** -0.5))
    assert not found[:, 1:].any()


def test_sift_recovers_a_similarity() -> None:
    score = Sift()(middle(MODEL(RIGHT)), observed(rotation=25.0, stretch_x=0.1, stretch_y=0.1))
    assert score.detail["placed_by_matches"] == 1
    assert score.detail["rotation"] == pytest.approx(25.0, abs=1.0)  # degrees
    assert score.detail["magnification"] == pytest.approx(1.1, abs=0.02)
    assert score.detail["row"] == pytest.approx(119.5, abs=2.0)  # px, the image's middle


def test_consensus_ignores_false_matches() -> None:
    rng = np.random.default_rng(3)
    ours = rng.uniform(0, 200, (60, 2))
    theirs = ours @ np.array([[0.0, 1.0], [-1.0, 0.0]]) * 1.2 + [210, 5]  # x' = -1.2 y + 210, ...
    theirs[20:] = rng.uniform(0, 400, (40, 2))
    similarity, inliers = consensus(ours, theirs, reach=2.0)
    assert inliers >= 20
    np.testing.assert_allclose(similarity, [0.0, 1.2, 210.0, 5.0], atol=0.5)


def test_keypoints_of_the_observed_image_are_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, calls = observed(), []
    original = module.keypoints

    def counting(image: np.ndarray, **settings: object) -> module.Keypoints:
        calls.append(image is seen.data)
        return original(image, **settings)

    monkeypatch.setattr(module, "keypoints", counting)
    for _ in range(3):
        Sift()(middle(MODEL(RIGHT)), seen)
    assert calls.count(True) == 1


def test_without_opencv_scikit_image_is_used_and_opencv_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert module._installed("auto") == "scikit-image"
    with pytest.raises(UserError, match="install opencv-python-headless"):
        Sift(library="opencv")(middle(MODEL(RIGHT)), observed())
