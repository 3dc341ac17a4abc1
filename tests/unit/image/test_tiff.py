"""TIFF: every type, compression, layout and meaning of its values, and sizes by many tags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from htinvert.core import UserError
from htinvert.image.read import describe, read_image

ROWS, COLUMNS = 6, 8
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)  # no symmetry, and not square
Y, X = 0.25, 0.2  # Å/px


TYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", TYPES)
def test_tiff_of_every_type_and_order_of_bytes(tmp_path: Path, kind: str, order: str) -> None:
    values = (RAMP * 5 - (120 if kind[0] == "i" else 0)).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, byteorder=order, photometric="minisblack")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif", sampling=0.2).data, values)


COMPRESSED = ["lzw", "zlib", "packbits", "lzma", "zstd"]


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("compression", COMPRESSED)
def test_every_page_of_a_compressed_stack_is_read(
    tmp_path: Path, compression: str, page: int
) -> None:
    """Of a stack that tifffile left to pillow the first page was taken for all of it."""
    stack = np.stack([RAMP * 9, RAMP[::-1] * 7, RAMP[:, ::-1] * 3]).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, compression=compression, photometric="minisblack")
    with pytest.raises(UserError, match="a series of 3 images"):
        read_image(tmp_path / "a.tif", sampling=0.2)
    image = read_image(tmp_path / "a.tif", sampling=0.2, channel=page)
    np.testing.assert_allclose(image.data, stack[page])


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("u2", {"compression": "lzw", "predictor": 2}),
        ("u4", {"compression": "lzw", "predictor": 2}),
        ("f4", {"compression": "zlib", "predictor": 3}),
        ("f2", {"compression": "lzw", "predictor": 3}),
        ("i2", {"compression": "lzw", "byteorder": ">"}),
        ("u2", {"tile": (16, 16), "compression": "zlib"}),
        ("u2", {"bigtiff": True}),
        ("u2", {"rowsperstrip": 2, "compression": "packbits"}),
    ],
)
def test_tiff_of_every_layout(tmp_path: Path, kind: str, layout: dict[str, Any]) -> None:
    values = (RAMP * 5).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", **layout)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif", sampling=0.2).data, values)


COLORS = np.stack([RAMP * 5, RAMP * 3, RAMP[::-1] * 2], axis=-1).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colors_lie_in_pixels_or_in_planes(
    tmp_path: Path, planar: str, compression: str | None
) -> None:
    """Planes were taken for a series of images."""
    data = COLORS if planar == "contig" else np.moveaxis(COLORS, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="rgb", planarconfig=planar, compression=compression
    )
    image = read_image(tmp_path / "a.tif", sampling=0.2)
    np.testing.assert_allclose(image.data, COLORS.mean(axis=-1), rtol=1e-6)
    red = read_image(tmp_path / "a.tif", sampling=0.2, channel=0)
    np.testing.assert_allclose(red.data, COLORS[..., 0])


def test_transparency_of_a_tiff_is_no_color(tmp_path: Path) -> None:
    alpha = np.dstack([COLORS, np.full_like(COLORS[..., :1], 999)])
    tifffile.imwrite(tmp_path / "a.tif", alpha, photometric="rgb", extrasamples=["unassalpha"])
    image = read_image(tmp_path / "a.tif", sampling=0.2)
    np.testing.assert_allclose(image.data, COLORS.mean(axis=-1), rtol=1e-6)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_what_several_detectors_saw_is_a_series_and_no_colors(tmp_path: Path, planar: str) -> None:
    data = COLORS if planar == "contig" else np.moveaxis(COLORS, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", planarconfig=planar)
    with pytest.raises(UserError, match="a series of 3 images"):
        read_image(tmp_path / "a.tif", sampling=0.2)
    image = read_image(tmp_path / "a.tif", sampling=0.2, channel=2)
    np.testing.assert_allclose(image.data, COLORS[..., 2])


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize(("kind", "white"), [("u1", 255), ("u2", 65535), ("i2", -1), ("f4", 0)])
def test_where_white_is_the_smallest_value_it_is_inverted(
    tmp_path: Path, kind: str, white: int, compression: str | None
) -> None:
    values = (RAMP * 5).astype(kind)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite", compression=compression)
    image = read_image(tmp_path / "a.tif", sampling=0.2)
    np.testing.assert_allclose(image.data, white - values.astype(float))
    assert "MinIsWhite" in str(describe(tmp_path / "a.tif"))


def test_inks_of_a_tiff_are_darker_the_more_of_them(tmp_path: Path) -> None:
    """Cyan, magenta, yellow, black: no ink is white."""
    inks = np.zeros((ROWS, COLUMNS, 4), dtype=np.uint8)
    inks[..., 3] = RAMP * 5
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    image = read_image(tmp_path / "a.tif", sampling=0.2)
    np.testing.assert_allclose(image.data, 255 - RAMP * 5, atol=1e-3)


def test_a_palette_of_a_tiff_gives_what_one_sees(tmp_path: Path) -> None:
    reversed_gray = np.tile(np.arange(256)[::-1] * 257, (3, 1)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", (RAMP * 5).astype(np.uint8), photometric="palette",
        colormap=reversed_gray,
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif", sampling=0.2)
    np.testing.assert_allclose(image.data, (255 - RAMP * 5) * 257)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(2, RAMP[:, ::-1]), (3, RAMP[::-1, ::-1]), (4, RAMP[::-1]), (5, RAMP.T),
     (6, np.rot90(RAMP)), (7, RAMP[::-1, ::-1].T), (8, np.rot90(RAMP, -1))],
)  # fmt: skip
def test_the_orientation_of_a_tiff_stands_it_upright(
    tmp_path: Path, orientation: int, stored: np.ndarray
) -> None:
    """6 is shown after a quarter turn clockwise, 8 after one counter-clockwise."""
    tifffile.imwrite(
        tmp_path / "a.tif", np.ascontiguousarray(stored).astype(np.uint16),
        extratags=[(274, "H", 1, orientation, True)],
    )  # fmt: skip
    np.testing.assert_allclose(read_image(tmp_path / "a.tif", sampling=0.2).data, RAMP)


def test_a_thumbnail_is_no_second_image(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(RAMP.astype(np.uint16), photometric="minisblack")
        file.write(RAMP[::2, ::2].astype(np.uint16), subfiletype=1, photometric="minisblack")
    np.testing.assert_allclose(read_image(tmp_path / "a.tif", sampling=0.2).data, RAMP)


@pytest.mark.parametrize(
    ("unit", "length"), [("nm", 10.0), ("µm", 1e4), ("Å", 1.0), ("pm", 0.01), (None, 1e4)]
)
def test_ome_says_the_pixel_size_and_its_unit(
    tmp_path: Path, unit: str | None, length: float
) -> None:
    """Micrometers where no unit stands there. It was called a resolution for printing."""
    sizes = {"PhysicalSizeX": X / length, "PhysicalSizeY": Y / length}
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XY" if unit}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", RAMP.astype(np.uint16), metadata={"axes": "YX", **sizes, **units},
        resolution=(300, 300), resolutionunit="INCH",
    )  # fmt: skip
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_allclose(image.data, RAMP)
    assert image.sampling == pytest.approx((Y, X))


def test_a_hyperstack_of_ome_is_a_series(tmp_path: Path) -> None:
    stack = np.stack([RAMP + 100 * i for i in range(6)]).reshape(2, 3, ROWS, COLUMNS)
    metadata = {"axes": "ZCYX", "PhysicalSizeX": X / 10, "PhysicalSizeXUnit": "nm"}
    metadata |= {"PhysicalSizeY": Y / 10, "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", stack.astype(np.uint16), metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif", channel=4)
    np.testing.assert_allclose(image.data, stack[1, 1])
    assert image.sampling == pytest.approx((Y, X))


@pytest.mark.parametrize(("unit", "length"), [("nm", 10.0), ("micron", 1e4), ("A", 1.0)])
def test_imagej_says_the_pixel_size_along_each_axis(
    tmp_path: Path, unit: str, length: float
) -> None:
    stack = np.stack([RAMP, RAMP[::-1]]).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", stack, imagej=True, resolution=(length / X, length / Y),
        metadata={"unit": unit, "axes": "ZYX", "spacing": 3.0},
    )  # fmt: skip
    image = read_image(tmp_path / "a.tif", channel=1)
    np.testing.assert_allclose(image.data, stack[1])
    assert image.sampling == pytest.approx((Y, X), rel=1e-5)


FEI = f"[Scan]\r\nPixelWidth={X * 1e-10}\r\nPixelHeight={Y * 1e-10}\r\n"


@pytest.mark.parametrize(
    "tags",
    [
        [(34682, "s", 0, FEI, True)],
        [(65003, "s", 3, "nm", True), (65004, "s", 3, "nm", True),
         (65009, "d", 1, X / 10, True), (65010, "d", 1, Y / 10, True)],
    ],
    ids=["fei", "gatan"],
)  # fmt: skip
def test_pixels_of_instruments_need_not_be_square(tmp_path: Path, tags: list[Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(np.uint16), extratags=tags, metadata=None)
    assert read_image(tmp_path / "a.tif").sampling == pytest.approx((Y, X))


def test_zeiss_gives_the_pixel_size_for_a_screen_of_1024_px(tmp_path: Path) -> None:
    text = f"0\r\n0\r\n0\r\n{X * 1e-10 * COLUMNS / 1024}\r\n"
    tifffile.imwrite(
        tmp_path / "a.tif", RAMP.astype(np.uint16), extratags=[(34118, "s", 0, text, True)]
    )
    assert read_image(tmp_path / "a.tif").sampling == pytest.approx((X, X))


def test_imagejs_inverse_unit_is_one_of_a_pattern(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", RAMP.astype(np.uint16), imagej=True, resolution=(50.0, 50.0),
        metadata={"unit": "1/nm"},
    )  # fmt: skip
    with pytest.raises(UserError, match="axes in 1/nm; give an image, or .* kind pattern"):
        read_image(tmp_path / "a.tif")
