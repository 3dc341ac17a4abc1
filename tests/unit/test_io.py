"""Images in, structures and tables out."""

import csv
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read
from skimage.io import imsave

from htinvert.core import UserError
from htinvert.io import read_image, write_structures, write_table

PIXELS = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def test_a_png_of_colors_becomes_gray_and_loses_its_transparency(tmp_path: Path) -> None:
    colors = np.stack([PIXELS, PIXELS, PIXELS, np.full_like(PIXELS, 255)], axis=2)
    imsave(tmp_path / "image.png", colors)
    image = read_image(tmp_path / "image.png", sampling=0.25)
    np.testing.assert_allclose(image.data, PIXELS)
    assert image.sampling == (0.25, 0.25)


@pytest.mark.parametrize("name", ["image.tif", "image.npy", "image.txt", "image.npz"])
def test_every_kind_of_file_gives_the_same_image(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("npz"):
        np.savez(path, image=PIXELS, sampling=np.array([0.2, 0.3]))
    elif name.endswith("npy"):
        np.save(path, PIXELS)
    elif name.endswith("txt"):
        np.savetxt(path, PIXELS)
    else:
        imsave(path, PIXELS)
    image = read_image(path, sampling=None if name.endswith("npz") else (0.2, 0.3))
    np.testing.assert_allclose(image.data, PIXELS)
    assert image.sampling == pytest.approx((0.2, 0.3))


def test_a_crop_is_top_bottom_left_right(tmp_path: Path) -> None:
    np.save(tmp_path / "image.npy", PIXELS)
    image = read_image(tmp_path / "image.npy", sampling=1.0, crop=(1, 4, 2, 7))
    np.testing.assert_allclose(image.data, PIXELS[1:4, 2:7])


@pytest.mark.parametrize(
    ("name", "content", "crop", "message"),
    [
        ("none.png", None, None, "there is no image"),
        ("image.npy", PIXELS, None, "has no pixel size; set the experiment's sampling"),
        ("image.npy", PIXELS, (0, 7, 0, 8), "does not fit image.npy, which is 6 x 8 px"),
        ("image.xyz", PIXELS, None, "of a kind that is not read"),
        ("image.npy", np.full((3, 3), np.nan), None, "not finite"),
        ("image.npy", np.zeros((2, 3, 4, 5)), None, "4 dimensions"),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(
    tmp_path: Path, name: str, content: object, crop: object, message: str
) -> None:
    path = tmp_path / name
    if content is not None:
        with path.open("wb") as file:
            np.save(file, content)
    sampling = None if "pixel size" in message else 1.0
    with pytest.raises(UserError, match=message):
        read_image(path, sampling=sampling, crop=crop)  # type: ignore[arg-type]


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"not a picture")
    with pytest.raises(UserError, match="could not be read as an image"):
        read_image(tmp_path / "image.png", sampling=1.0)


def test_structures_come_back_as_they_went_out(tmp_path: Path) -> None:
    crystals = [bulk("Cu"), bulk("CdTe", "zincblende", a=6.48)]
    write_structures(tmp_path / "best.xyz", crystals)
    back = read(tmp_path / "best.xyz", ":")
    assert [a.get_chemical_formula() for a in back] == ["Cu", "CdTe"]
    write_structures(tmp_path / "best.cif", crystals)
    assert len(read(tmp_path / "best-02.cif")) == 2


def test_a_table_has_one_row_per_record(tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", [{"rank": 1, "energy": -2.5}, {"rank": 2, "energy": -2.0}])
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["energy"] for row in rows] == ["-2.5", "-2.0"]
