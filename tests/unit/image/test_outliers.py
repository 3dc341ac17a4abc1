"""Bad pixels: what is one, what is none, and that they do not scale an image."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from htinvert.core import Signal
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.image.outliers import without_outliers
from htinvert.image.read import read_described
from htinvert.image.register import register
from htinvert.metrics.registration import Registration

CRYSTAL = bulk("CdTe", "zincblende", a=6.48, cubic=True).repeat((1, 1, 3))
MODEL = StemConvolution(sampling=0.3, shape=(60, 40))


def lattice() -> np.ndarray:
    """Columns under Poisson noise, 2 to 214 counts."""
    image = MODEL(CRYSTAL).data
    return np.random.default_rng(0).poisson(200 * image / image.max()).astype(float)


def found(pixels: np.ndarray) -> int:
    """How many bad pixels an image has."""
    outliers = without_outliers(Signal.image(pixels, 0.3))[1]
    return outliers.count if outliers and outliers.replaced else 0


@pytest.mark.parametrize("value", [700.0, 4095.0, 65535.0, 1e7, 3e30, -1e7, -500.0])
def test_a_bad_pixel_is_replaced_by_what_is_around_it(value: float) -> None:
    pixels = lattice()
    pixels[30, 20] = value
    image, outliers = without_outliers(Signal.image(pixels, 0.3))
    assert outliers is not None and outliers.count == 1
    around = np.delete(pixels[29:32, 19:22].ravel(), 4)
    assert image.data[30, 20] == np.median(around)
    np.testing.assert_array_equal(np.delete(image.data, 30 * 40 + 20), np.delete(pixels, 1220))


@pytest.mark.parametrize(
    "places",
    [[(0, 0)], [(59, 39), (0, 39)], [(30, 20), (30, 21)], [(5, x) for x in range(12)],
     [(y, x) for y in (30, 31) for x in (20, 21)],
     [(y, x) for y in (9, 10, 11) for x in (9, 10, 11)],
     [(8 * i, 3 * i) for i in range(8)]],
)  # fmt: skip
def test_pairs_lines_groups_and_corners_are_found(places: list[tuple[int, int]]) -> None:
    pixels = lattice()
    for place in places:
        pixels[place] = 60000.0
    image, outliers = without_outliers(Signal.image(pixels, 0.3))
    assert outliers is not None and outliers.count == len(places)
    assert image.data.max() <= lattice().max()


@pytest.mark.parametrize("value", [1e7, -1e5, 3000.0])
@pytest.mark.parametrize("line", [(slice(None), 20), (17, slice(None)), (slice(None), [3, 30])])
def test_a_bad_column_or_row_is_found(line: tuple[object, object], value: float) -> None:
    """Of a small image it is more than one pixel in a hundred."""
    pixels = lattice()
    pixels[line] = value  # type: ignore[index]
    image, outliers = without_outliers(Signal.image(pixels, 0.3))
    assert outliers is not None and outliers.replaced
    assert outliers.count == np.zeros_like(pixels)[line].size  # type: ignore[index]
    assert image.data.min() >= 0 and image.data.max() <= lattice().max()
    assert np.corrcoef(image.data.ravel(), lattice().ravel())[0, 1] > 0.97


@pytest.mark.parametrize("width", [2.0, 4.0])
def test_a_layer_of_heavy_atoms_is_no_bad_row(width: float) -> None:
    row = np.arange(80.0)[:, None]
    noise = np.random.default_rng(3).normal(0, 0.02, (80, 60))
    assert found(50 * np.exp(-4 * np.log(2) * (row - 40.3) ** 2 / width**2) + noise) == 0


def test_a_dead_pixel_on_a_pedestal_is_found() -> None:
    pixels = 20000 + lattice()
    pixels[10, 10] = 0
    assert found(pixels) == 1


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.3, 1.0, 3.0, 20.0, 1000.0])
def test_counts_of_a_low_dose_are_none(mean: float) -> None:
    assert found(np.random.default_rng(1).poisson(mean, (500, 500))) == 0


@pytest.mark.parametrize("width", [2.0, 2.5, 3.0, 6.0])  # px; below 2 it is not sampled
@pytest.mark.parametrize("off", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("height", [3.0, 10.0, 70.0])  # tungsten on graphene is at 70
def test_a_single_heavy_atom_is_none(width: float, off: float, height: float) -> None:
    y, x = np.indices((100, 100), dtype=float)

    def atom(row: float, column: float) -> np.ndarray:
        return np.exp(-4 * np.log(2) * ((y - row) ** 2 + (x - column) ** 2) / width**2)

    light = sum(atom(row, column) for row in range(5, 100, 9) for column in range(5, 100, 9))
    noise = np.random.default_rng(2).normal(0, 0.02, (100, 100))
    assert found(light + height * atom(50 + off, 50 + off) + noise) == 0


def test_a_flat_image_and_one_of_many_outliers_are_left() -> None:
    assert found(np.ones((40, 40))) == 0
    pixels = lattice()
    pixels[::9, ::15] = 1e7  # 0.9 % of the pixels: something else is wrong
    image, outliers = without_outliers(Signal.image(pixels, 0.3))
    np.testing.assert_array_equal(image.data, pixels.astype(np.float32))
    assert "21 pixels stand alone" in str(outliers) and "left, because they are too many" in str(
        outliers
    )


def test_what_is_no_number_stays_for_the_steps_that_follow() -> None:
    pixels = lattice()
    pixels[3, 3], pixels[3, 4] = 1e7, np.nan
    image, outliers = without_outliers(Signal.image(pixels, 0.3))
    assert outliers is not None and outliers.count == 1
    assert np.isfinite(image.data[3, 3]) and np.isnan(image.data[3, 4])


def test_a_file_with_a_bad_pixel_says_so_and_steps_do_not_smear_it(tmp_path: Path) -> None:
    pixels = lattice()
    clean, _ = read_described(_saved(tmp_path, pixels), sampling=0.3, prepare=[{"rotate": 5.0}])
    pixels[30, 20] = 1e7
    image, source = read_described(
        _saved(tmp_path, pixels), sampling=0.3, prepare=[{"rotate": 5.0}]
    )
    assert "1 pixel stands alone far outside of all others (1e+07; hot or dead)" in str(source)
    assert np.corrcoef(clean.data.ravel(), image.data.ravel())[0, 1] > 0.999


def _saved(folder: Path, pixels: np.ndarray) -> Path:
    np.save(folder / "a.npy", pixels)
    return folder / "a.npy"


@pytest.mark.parametrize("intensity", ["own", "matched"])
def test_a_registration_is_what_it_is_without_the_bad_pixel(intensity: str) -> None:
    """At 1e7 its figure of merit was 2.97 instead of 0.33, and nobody said why."""
    pixels, start = lattice(), CRYSTAL[:-4]
    free = {"shift_x": (-1.0, 1.0), "source_size": (0.5, 1.5)}
    metric = Registration(intensity=intensity)  # type: ignore[arg-type]
    clean = register(start, Signal.image(pixels, 0.3), forward=MODEL, metric=metric, free=free)
    pixels[30, 20] = 1e7
    with pytest.warns(UserWarning, match="1 pixel stands alone"):
        hot = register(start, Signal.image(pixels, 0.3), forward=MODEL, metric=metric, free=free)
    assert hot.score.cost == pytest.approx(clean.score.cost, abs=0.01)
    for name, value in clean.parameters.items():
        assert hot.parameters[name] == pytest.approx(value, abs=0.02)  # Å
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register(start, Signal.image(lattice(), 0.3), forward=MODEL, metric=metric, free=free)


def test_a_large_frame_is_not_copied_to_look_for_bad_pixels() -> None:
    """A frame of 72 MB: a mask of a byte per pixel and a third of the pixels, no copy of it."""
    rows = np.random.default_rng(0).poisson(50, (300, 3000)).astype(np.float32)
    image = Signal.image(np.tile(rows, (20, 1)), 0.1)
    tracemalloc.start()
    assert without_outliers(image)[1] is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.75 * image.data.nbytes
