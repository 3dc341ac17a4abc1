"""Both definitions of SSIM against scikit-image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from htinvert.core import EvaluationFailed
from htinvert.metrics.observation import prepare
from htinvert.metrics.ssim import SSIM_DEFINITIONS, PatchSimilarity, box_mean, local_moments, ssim


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    first = rng.random((80, 61)).cumsum(axis=1)
    return first, first + 3 * rng.random((80, 61))


def stretched(image):
    return (image - image.min()) / (image.max() - image.min())


def test_float7_is_scikit_image(images):
    first, second = images
    expected = structural_similarity(stretched(first), stretched(second), data_range=1, win_size=7)
    assert ssim(first, second, definition="float7") == pytest.approx(expected, abs=1e-9)


def test_uint8_35_is_scikit_image_of_8_bit_images(images):
    first, second = ((255 * stretched(image)).astype(np.uint8) for image in images)
    expected = structural_similarity(first, second, win_size=35)
    assert ssim(*images, definition="uint8-35") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("definition", SSIM_DEFINITIONS)
def test_identical_images_are_fully_similar(images, definition):
    assert ssim(images[0], images[0], definition=definition) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("definition", SSIM_DEFINITIONS)
def test_brightness_and_contrast_do_not_matter(images, definition):
    first, second = images
    expected = ssim(first, second, definition=definition)
    scaled = ssim(3 * first + 5, second, definition=definition)
    assert scaled == pytest.approx(expected, abs=1e-4)  # rounding to whole numbers may flip


def test_float32_images_are_accurate(images):
    first, second = (image.astype(np.float32) for image in images)
    assert ssim(first, second) == pytest.approx(ssim(*images), abs=1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize(
    ("definition", "levels", "window"), [("float7", 1.0, 7), ("uint8-35", 255, 35)]
)
def test_quick_similarity_of_a_patch_is_scikit_images(definition, levels, window, offset):
    """With an offset like a detector's, a thousand times the contrast."""
    rng = np.random.default_rng(0)
    observed = (offset + rng.normal(size=(120, 130)).cumsum(axis=1)).astype(np.float32)
    simulated = rng.normal(size=(60, 50)).cumsum(axis=1).astype(np.float32)
    moments = prepare(observed).moments(window)
    quick = PatchSimilarity(simulated, observed, moments, definition=definition).at(33, 41)
    images = [stretched(x.astype(float)) for x in (simulated, observed[33:93, 41:91])]
    if levels == 255:
        images = [np.floor(255 * image) for image in images]
    expected = structural_similarity(*images, data_range=levels, win_size=window)
    assert quick == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 12, 35])
def test_box_mean_is_the_mean_of_each_window(size):
    image = np.random.default_rng(0).random((40, 37))
    expected = np.lib.stride_tricks.sliding_window_view(image, (size, size)).mean(axis=(2, 3))
    assert_allclose(box_mean(image, size), expected, rtol=1e-12)


def test_constant_image_fails_with_a_reason(images):
    with pytest.raises(EvaluationFailed, match="constant"):
        ssim(images[0], np.ones_like(images[0]))


def test_image_with_nan_fails_with_a_reason(images):
    broken = images[0].copy()
    broken[3, 4] = np.nan
    with pytest.raises(EvaluationFailed, match="not finite"):
        ssim(images[0], broken)


def test_too_small_an_image_is_refused():
    small = np.random.default_rng(0).random((20, 40))
    with pytest.raises(ValueError, match="35 px window"):
        ssim(small, small, definition="uint8-35")


def test_unknown_definition_names_the_known_ones(images):
    with pytest.raises(ValueError, match="float7, uint8-35"):
        ssim(*images, definition="float11")


def test_different_shapes_are_refused(images):
    with pytest.raises(ValueError, match="differ"):
        ssim(images[0], images[1][:-1])


@pytest.mark.parametrize(("definition", "window"), [("float7", 7), ("uint8-35", 35)])
def test_matched_similarity_is_that_of_the_image_brought_to_the_patch(definition, window):
    """Gain and offset of least squares, then the patch's extremes; against scikit-image."""
    rng = np.random.default_rng(3)
    simulated = gaussian_filter(rng.random((60, 70)), 2).astype(np.float32)
    patch = (40 * simulated + 7 + rng.normal(scale=1.0, size=(60, 70))).astype(np.float32)
    found = PatchSimilarity(
        simulated, patch, local_moments(patch, window), definition=definition, matched=True
    ).at(0, 0)
    span = 255.0 if definition == "uint8-35" else 1.0
    low, high = float(patch.min()), float(patch.max())
    reference = (patch.astype(float) - low) * span / (high - low)
    if definition == "uint8-35":
        reference = np.floor(reference)
    gain, offset = np.polyfit(simulated.astype(float).ravel(), reference.ravel(), 1)
    brought = gain * simulated.astype(float) + offset
    if definition == "uint8-35":
        brought = np.floor(np.clip(brought, 0, 255))
    expected = structural_similarity(brought, reference, win_size=window, data_range=span)
    assert found == pytest.approx(expected, abs=2e-4 if definition == "uint8-35" else 1e-5)
