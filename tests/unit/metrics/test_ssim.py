"""Both definitions of SSIM against scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from htinvert.core import EvaluationFailed
from htinvert.metrics.ssim import SSIM_DEFINITIONS, ssim


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
