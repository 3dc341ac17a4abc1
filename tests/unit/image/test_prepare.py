"""Pre-processing: what each step promises of intensities, geometry and pixel size."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import rotate as scipy_rotate

from htinvert.config.experiment import of_its_kind
from htinvert.core import Signal, UserError
from htinvert.evaluation.steps import parse_step
from htinvert.image.prepare import (
    STEPS,
    clahe,
    flatten,
    flip,
    mask,
    prepare,
    rescale,
    rotate,
    wiener,
)

RNG_SEED = 7


def waves(
    shape: tuple[int, int] = (60, 80),
    steps: tuple[float, float] = (0.2, 0.2),
    angle: float = 0.0,
) -> Signal:
    """Fringes of 3 Å whose wave vector points ``angle`` degrees counter-clockwise from right."""
    y, x = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, steps, strict=True))
    direction = np.radians(angle)
    phase = x[None, :] * np.cos(direction) - y[:, None] * np.sin(direction)  # y points down
    return Signal.image(100 + 10 * np.cos(2 * np.pi * phase / 3.0), steps)


def noise(shape: tuple[int, int] = (60, 80)) -> NDArray[np.float64]:
    return np.random.default_rng(RNG_SEED).normal(size=shape)


@pytest.mark.parametrize("angle", [10.0, -35.0, 66.0, 90.0, 135.0, 180.0, 250.0, -90.0])
def test_a_rotation_turns_fringes_counter_clockwise_as_seen(angle: float) -> None:
    turned = rotate(waves(), angle)
    expected = waves(turned.data.shape, angle=angle)  # type: ignore[arg-type]
    # Gray levels of 20 from crest to trough: a spline's error, largest at the edges.
    np.testing.assert_allclose(turned.data, expected.data, atol=0.3)


def test_a_rotation_is_one_in_space_where_pixels_are_not_square() -> None:
    steps = (0.2, 0.25)
    turned = rotate(waves(steps=steps), 25.0)
    expected = waves(turned.data.shape, steps, angle=25.0)  # type: ignore[arg-type]
    np.testing.assert_allclose(turned.data, expected.data, atol=0.4)
    assert turned.sampling == steps
    assert rotate(waves(steps=steps), 90).sampling == steps[::-1]


@pytest.mark.parametrize("angle", [3.0, 25.0, 45.0, 66.0, 85.0, -120.0])
@pytest.mark.parametrize("shape", [(60, 80), (80, 60), (64, 64), (20, 150)])
def test_a_rotation_keeps_no_pixel_that_was_not_measured(
    shape: tuple[int, int], angle: float
) -> None:
    """A frame of other values, two pixels wide, would bleed in if the outermost were left."""
    data = waves(shape).data
    turned = rotate(waves(shape), angle, order=1).data
    padded = scipy_rotate(np.pad(np.ones_like(data), 1), angle, order=1)
    rows, columns = turned.shape
    top, left = (padded.shape[0] - rows) // 2, (padded.shape[1] - columns) // 2
    inside = padded[top + 1 : top + rows - 1, left + 1 : left + columns - 1]
    assert inside.min() > 0.999
    assert turned.size > 0.4 * min(shape) ** 2  # at 45 degrees half of the square on it


def test_a_rotation_by_nothing_and_by_full_turns_changes_nothing() -> None:
    image = waves()
    for angle in (0, 360, -720):
        np.testing.assert_array_equal(rotate(image, angle).data, image.data)


def test_two_flips_are_none() -> None:
    image = Signal.image(noise(), 0.2)
    np.testing.assert_array_equal(flip(image, "left-right").data, image.data[:, ::-1])
    np.testing.assert_array_equal(flip(flip(image, "up-down"), "up-down").data, image.data)


def test_a_flattened_plane_leaves_what_is_not_a_plane() -> None:
    y, x = np.mgrid[:60, :80]
    image = Signal.image(noise() + 0.3 * y - 0.2 * x + 5, 0.2)
    flat = flatten(image, "plane").data
    assert flat.mean() == pytest.approx(image.data.mean(), abs=1e-4)
    assert np.polyfit(np.arange(60), flat.mean(axis=1), 1)[0] == pytest.approx(0, abs=1e-5)
    assert flat.std() == pytest.approx(1, abs=0.05)


def test_flattened_rows_have_no_offsets() -> None:
    lines = noise()
    offsets = np.linspace(-50, 50, 60)[:, None]
    np.testing.assert_allclose(
        flatten(Signal.image(lines + offsets, 0.2), "rows").data,
        flatten(Signal.image(lines, 0.2), "rows").data,
        atol=1e-4,
    )


def test_the_wiener_filter_is_scipys_away_from_the_edge() -> None:
    from scipy.signal import wiener as reference

    data = waves().data.astype(float) - 100 + noise()
    for level in (None, 1.0):
        ours = wiener(Signal.image(data, 0.2), 5, 1.0 if level is None else level).data
        np.testing.assert_allclose(
            ours[4:-4, 4:-4], reference(data, 5, 1.0)[4:-4, 4:-4], rtol=1e-4, atol=1e-3
        )


def test_the_wiener_filter_brings_fringes_nearer_to_the_truth_at_the_edge_too() -> None:
    truth = waves().data
    noisy = Signal.image(truth + 2 * noise(), 0.2)
    filtered = wiener(noisy, 3, 4.0).data
    for part in (np.s_[:], np.s_[:, :3]):
        assert np.std(filtered[part] - truth[part]) < 0.85 * np.std(noisy.data[part] - truth[part])


def test_equalized_contrast_lies_between_0_and_1_and_keeps_the_fringes() -> None:
    image = clahe(waves(), 0.008)
    assert image.data.min() >= 0 and image.data.max() <= 1
    assert np.corrcoef(image.data.ravel(), waves().data.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_a_rescaled_image_has_the_same_field_of_view_and_fringes(factor: float) -> None:
    image = rescale(waves(), factor)
    field = [n * step for n, step in zip(image.data.shape, image.sampling, strict=True)]
    assert field == pytest.approx([12.0, 16.0])
    expected = waves(image.data.shape, image.sampling)  # type: ignore[arg-type]
    correlation = np.corrcoef(image.data[5:-5, 5:-5].ravel(), expected.data[5:-5, 5:-5].ravel())
    assert correlation[0, 1] > 0.999


def test_a_mask_takes_out_what_was_drawn_over_and_nothing_else() -> None:
    data = waves().data.copy()
    data[50:55, 5:30] = np.nan
    image = mask(Signal.image(data, 0.2), [(-10, -5, 5, 30)])
    assert np.isfinite(image.data).all()
    filled = image.data[50:55, 5:30]
    assert filled.min() > 85 and filled.max() < 115
    rest = np.ones(data.shape, dtype=bool)
    rest[50:55, 5:30] = False
    np.testing.assert_allclose(image.data[rest], data[rest], rtol=1e-6)


@pytest.mark.parametrize("name", STEPS)
def test_every_step_returns_a_sound_image_and_leaves_the_given_one(name: str) -> None:
    given = {
        "crop": [0, 0, 1, -1],
        "center": [20, 21],
        "rotate": 12,
        "flip": "up-down",
        "flatten": "rows",
        "wiener": {"size": 3, "noise": 0.5},
        "clahe": 0.01,
        "rescale": 0.5,
        "mask": [[0, 5, 0, 5]],
    }[name]
    image = Signal.image(noise() + 3, 0.2)
    before = image.data.copy()
    after = prepare(image, [{name: given}])
    assert after.data.dtype == np.float32 and np.isfinite(after.data).all()
    assert [(axis.name, axis.unit) for axis in after.axes] == [("y", "Å"), ("x", "Å")]
    np.testing.assert_array_equal(image.data, before)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"rotte": 3}, "rotte is no step; did you mean rotate"),
        ({"rotate": "much"}, "rotate.angle: .* number"),
        ({"rotate": float("nan")}, "rotate.angle: .* finite"),
        ({"rotate": {"angle": 3, "ordre": 1}}, "rotate.ordre is unknown; did you mean order"),
        ({"flip": "sideways"}, "flip.direction: .*left-right"),
        ({"crop": [1, 2, 3]}, "crop.box: give a list"),
        ({"crop": None}, "crop.box is missing"),
        ({"clahe": 0}, "clahe.limit: give a number above 0"),
        ({"rescale": -1}, "rescale.factor: give a number above 0"),
        ({"crop": [0, 1, 0, 1], "flip": "up-down"}, "one key"),
        ({}, "one key"),
    ],
)
def test_a_step_that_cannot_be_meant_is_refused_when_the_file_is_read(
    step: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        parse_step(step, STEPS)
    with pytest.raises(ValueError, match=message):
        of_its_kind({"data": "a.png", "forward": {}, "metrics": {"ssim": None}, "prepare": [step]})


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"crop": [0, 61, 0, 80]}, "prepare, step 2: crop .* is 60 x 80 px"),
        ({"crop": [30, -40, 0, 80]}, "top < bottom"),
        ({"center": [61, 80]}, "center .* is larger than the image"),
        ({"mask": [[0, 60, 0, 79]]}, "more than half"),
        ({"rescale": 0.001}, "rescale 0.001 makes"),
    ],
)
def test_a_step_that_does_not_fit_is_named_with_its_number(
    step: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prepare(waves(), [{"flip": "up-down"}, step])


def test_pixels_that_are_no_numbers_go_by_crop_or_mask_before_anything_is_computed() -> None:
    data = noise()
    data[0, 0] = np.nan
    image = Signal.image(data, 0.2)
    with pytest.raises(UserError, match="crop or mask first"):
        prepare(image, [{"wiener": None}])
    prepared = prepare(image, [{"crop": [1, 0, 0, 0]}, {"wiener": None}])
    assert np.isfinite(prepared.data).all()
