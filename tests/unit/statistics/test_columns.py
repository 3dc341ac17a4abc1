"""Columns of images that another model than the product's has made, with noise of counting."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from ase.build import mx2
from ase.io import write
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import norm
from typer.testing import CliRunner

from htinvert.cli import app
from htinvert.core import Signal, UserError
from htinvert.forward.stem_convolution import StemConvolution
from htinvert.statistics.columns import measure_columns
from htinvert.statistics.occupancy import occupancy
from htinvert.statistics.projection import predicted_intensity, project_columns

Floats = NDArray[np.float64]
WIDTH = 2.0  # px


def moffat(square: Floats) -> Floats:
    """A column with heavier tails than any Gaussian."""
    return (1.0 + square / (6.0 * WIDTH**2)) ** -3


def rendered(places: Floats, heights: Floats, shape: tuple[int, int], ground: float) -> Floats:
    rows, columns = np.indices(shape)
    image = np.full(shape, ground)
    for (y, x), height in zip(places, heights, strict=True):
        image += height * moffat((rows - y) ** 2 + (columns - x) ** 2)
    return image


def lattice(count: int, step: float, rng: np.random.Generator) -> Floats:
    i, j = np.indices((count, count))
    exact = np.column_stack([i.ravel(), j.ravel()]) * step + step
    return exact + rng.uniform(-1.0, 1.0, exact.shape)


def test_places_come_near_the_bound_of_cramer_and_rao() -> None:
    rng = np.random.default_rng(0)
    places = lattice(10, 12.0, rng)
    height, ground = 60.0, 20.0
    image = rendered(places, np.full(len(places), height), (132, 132), ground)
    noisy = Signal.image(rng.poisson(image).astype(float), 0.25)
    found = measure_columns(noisy, places + rng.normal(0, 1, places.shape))
    rows, columns = np.indices((51, 51)) - 25.0
    square = rows**2 + columns**2
    slope = height * rows * (1.0 + square / (6.0 * WIDTH**2)) ** -4 / WIDTH**2
    bound = 1.0 / np.sqrt((slope**2 / (height * moffat(square) + ground)).sum())
    off = found.places - places
    assert np.sqrt((off**2).mean()) < 1.2 * bound
    assert np.sqrt((found.errors**2).mean()) == pytest.approx(bound, rel=0.2)
    assert np.abs(off.mean(axis=0)).max() < 4 * bound / np.sqrt(len(places))
    assert not found.lost.any()
    assert len(found.unexplained) == 0


def test_columns_too_dim_to_be_seen_stay_where_they_should_be_and_spoil_no_others() -> None:
    """Oxygen beside strontium: 0.15 counts at the peak over a background of 0.1."""
    rng = np.random.default_rng(1)
    heavy = lattice(9, 12.0, rng)
    places = np.r_[heavy, heavy + 6.0]
    heights = np.repeat([6.0, 0.15], len(heavy))
    image = rendered(places, heights, (126, 126), 0.1)
    found = measure_columns(
        Signal.image(rng.poisson(image).astype(float), 0.25),
        places + rng.normal(0, 0.8, places.shape),
        kinds=np.repeat([0, 1], len(heavy)),
        names=("heavy", "dim"),
    )
    assert found.errors.max() < 0.25 * 8.5  # px: what holds a column, of the distance between them
    assert not found.lost[: len(heavy)].any()
    rows, columns = np.indices((51, 51)) - 25.0
    square = rows**2 + columns**2
    slope = 6.0 * rows * (1.0 + square / (6.0 * WIDTH**2)) ** -4 / WIDTH**2
    bound = 1.0 / np.sqrt((slope**2 / (6.0 * moffat(square) + 0.1)).sum())  # no neighbors
    assert np.sqrt(((found.places - places)[: len(heavy)] ** 2).mean()) < 1.3 * bound


def test_few_counts_make_a_column_neither_sharper_nor_surer_than_it_is() -> None:
    """Noise makes a spike around each place that is fitted to it; two counts at the peak."""
    rng = np.random.default_rng(3)
    places = lattice(20, 12.0, rng)
    image = rendered(places, np.full(len(places), 2.0), (252, 252), 0.1)
    noisy = Signal.image(rng.poisson(image).astype(float), 0.25)
    found = measure_columns(noisy, places + rng.normal(0, 0.8, places.shape))
    clear = measure_columns(Signal.image(1e4 * image, 0.25), places)
    assert found.intensity.mean() == pytest.approx(1e-4 * clear.intensity.mean(), rel=0.12)
    for off, stated in (
        (found.intensity - found.intensity.mean(), found.intensity_error),
        (found.places - places, found.errors),
    ):
        assert np.sqrt((off**2).mean() / (stated**2).mean()) == pytest.approx(1.0, abs=0.1)


def test_a_column_that_the_structure_lacks_is_pointed_at() -> None:
    rng = np.random.default_rng(1)
    places = lattice(8, 12.0, rng)
    image = rendered(places, np.full(len(places), 80.0), (108, 108), 10.0)
    given = np.delete(places, 27, axis=0)
    found = measure_columns(Signal.image(rng.poisson(image).astype(float), 0.25), given)
    assert len(found.unexplained) == 1
    assert np.abs(found.unexplained[0, :2] - places[27]).max() < 2.0


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_the_species_are_told_at_the_limit_of_bayes(share: float) -> None:
    """Two classes, 8 % of scatter, under a thickness that changes by a tenth either way."""
    rng = np.random.default_rng(3)
    i, j = np.indices((50, 50))
    places = np.column_stack([i.ravel(), j.ravel()]).astype(float)
    truth = rng.random(len(places)) < share
    brightness = np.where(truth, 1.4, 1.0) * (1.0 + 0.08 * rng.normal(size=len(places)))
    brightness *= 1.0 + 0.1 * np.sin(places[:, 0] / 12.0)
    found = occupancy(brightness, np.full(len(places), 1e-3), places, {"Mo": 10.0, "W": 14.8})
    draws = np.linspace(0.4, 2.2, 20001)
    densities = [(1 - share) * norm.pdf(draws, 1.0, 0.08), share * norm.pdf(draws, 1.4, 0.112)]
    limit = np.minimum(*densities).sum() * (draws[1] - draws[0])
    wrong = float(((found.likeliest == 1) != truth).mean())
    assert wrong < 1.2 * limit + 2 * np.sqrt(limit / len(places))  # two deviations of the count
    assert found.wrong == pytest.approx(limit, rel=0.3)
    assert found.shares[1] == pytest.approx(share, abs=0.02)


def test_projected_columns_are_those_of_the_layer() -> None:
    layer = mx2("MoS2", a=3.16, vacuum=8.0)
    layer.pbc = True
    view = StemConvolution(sampling=0.2, shape=(150, 150), beam="z", up="y")
    found = project_columns(layer, view)
    assert found.names == ("Mo", "S2")
    per_area = 2.0 / (3.16**2 * np.sqrt(3) / 2)
    assert len(found.places) == pytest.approx(per_area * (0.2 * 146) ** 2, rel=0.05)
    nearest = cKDTree(found.places).query(found.places, k=2)[0][:, 1] * 0.2
    assert np.median(nearest) == pytest.approx(3.16 / np.sqrt(3), rel=1e-3)
    assert predicted_intensity("S2", view) == pytest.approx(2 * predicted_intensity("S", view))


def test_what_cannot_be_told_is_refused() -> None:
    image = Signal.image(np.random.default_rng(0).poisson(5.0, (40, 40)).astype(float), 0.2)
    with pytest.raises(UserError, match="3 columns are in the image"):
        measure_columns(image, np.array([[5.0, 5], [20, 20], [30, 30]]))
    with pytest.raises(UserError, match=r"two columns are 1.00 px apart"):
        measure_columns(image, np.array([[5.0, 5], [5, 6], [20, 20], [30, 30]]))
    with pytest.raises(UserError, match="predicted equally bright"):
        occupancy(np.ones(50), np.ones(50), np.zeros((50, 2)), {"Mo": 1.0, "Tc": 1.0001})
    with pytest.raises(UserError, match="too few to tell Mo from W"):
        occupancy(np.ones(5), np.ones(5), np.zeros((5, 2)), {"Mo": 1.0, "W": 2.0})


def test_the_command_measures_an_alloy_from_image_to_table(tmp_path: Path) -> None:
    """The structure says MoS2; every third metal column is W. The image is made by this file."""
    rng = np.random.default_rng(5)
    layer = mx2("MoS2", a=3.2, vacuum=8.0)
    layer.pbc = True
    write(tmp_path / "MoS2.vasp", layer)
    pixel, size = 0.2, 120
    first, second = np.array([16.0, 0.0]), np.array([8.0, -8.0 * np.sqrt(3)])  # px, right and down
    places, heights, tungsten = [], [], []
    for i in range(-2, 12):
        for j in range(-8, 12):
            corner = j * first + i * second + [4.0, 116.0]
            is_tungsten = rng.random() < 1 / 3
            for shift, height in ((0.0, 300.0 if is_tungsten else 120.0), (1 / 3, 50.0)):
                x, y = corner + shift * (first + second)
                if -8 < x < size + 8 and -8 < y < size + 8:
                    places.append((y, x))
                    heights.append(height)
                    tungsten.append(is_tungsten and shift == 0.0)
    image = rendered(np.array(places), np.array(heights), (size, size), 15.0)
    np.save(tmp_path / "alloy.npy", rng.poisson(image).astype(np.float32))
    typed = ["columns", str(tmp_path / "alloy.npy"), str(tmp_path / "MoS2.vasp")]
    typed += ["--sampling", str(pixel), "--beam", "z", "--up", "y", "--alternative", "Mo=W"]
    given = tmp_path / "parameters.json"
    given.write_text(
        '{"row": 0, "column": 0, "parameters": {"source_size": {"value": 1.0}, '
        f'"shift_x": {{"value": {_shift(layer, size, pixel)[0]}}}, '
        f'"shift_y": {{"value": {_shift(layer, size, pixel)[1]}}}}}}}',
        encoding="utf-8",
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(app, [*typed, "--registered", str(given), "-o", str(out)])
    assert done.exit_code == 0, done.output
    with (out / "Mo.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = np.array([(float(row["row"]), float(row["column"])) for row in rows])
    gap, which = cKDTree(np.array(places)).query(found)
    assert np.sqrt((gap**2).mean()) < 0.1  # px
    told = np.array([row["species"] == "W" for row in rows])
    assert (told == np.array(tungsten)[which]).mean() > 0.99
    assert {"columns.csv", "columns.png", "Mo.csv"} == {path.name for path in out.iterdir()}
    done = CliRunner().invoke(app, [*typed, "--registered", str(given), "--alternative", "Re=W"])
    assert "no column Re; it has Mo, S2" in str(done.exception)


def _shift(layer: object, size: int, pixel: float) -> tuple[float, float]:
    """Shift [Å] that puts the first metal atom at column 4, row 116."""
    view = StemConvolution(sampling=pixel, shape=(size, size), beam="z", up="y").view(layer)
    row, column = view.pixels(layer.positions[:1])[0]  # type: ignore[attr-defined]
    return (4.0 - column) * pixel, (116.0 - row) * pixel


def test_a_column_whose_place_nobody_knows_is_not_found() -> None:
    """A twentieth of a count a pixel: what is found has an error below the distance, 8 px."""
    rng = np.random.default_rng(3)
    i, j = np.indices((8, 8))
    places = np.column_stack([i.ravel(), j.ravel()]) * 8.0 + 8.0
    y, x = np.mgrid[:72, :72]
    square = (y[..., None] - places[:, 0]) ** 2 + (x[..., None] - places[:, 1]) ** 2
    image = 0.02 + 0.05 * np.exp(-0.5 * square / 2.0**2).sum(axis=-1)
    for _ in range(2):
        found = measure_columns(Signal.image(rng.poisson(image).astype(float), 0.2), places)
        assert found.errors[~found.lost].max() <= 8.0
