"""Pixels and axes: known values and pixel sizes, by every format, type and order of bytes."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from htinvert.core import UserError
from htinvert.image.read import describe, read_image
from htinvert.signals.pattern_file import read_pattern

ROWS, COLUMNS = 6, 8
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)  # no symmetry, and not square
Y, X = 0.25, 0.2  # Å/px
IMOD = 1146047817
SIGNED, UNSIGNED = RAMP * 5 - 120, RAMP * 5


def mrc(
    data: np.ndarray,
    mode: int,
    *,
    order: str = "<",
    cell: tuple[float, float] = (ROWS * Y, COLUMNS * X),
    axes: tuple[int, int, int] = (1, 2, 3),
    extremes: tuple[float, float] = (0.0, 0.0),
    imod: int | None = None,
    extended: bytes = b"",
    kind: bytes = b"",
) -> bytes:
    """An MRC file, word by word as Cheng et al. 2015 list them; ``data`` in the file's order."""
    sections, rows, columns = data.shape if data.ndim == 3 else (1, *data.shape)
    words: list[Any] = [0] * 56
    words[0:4] = [columns, rows, sections, mode]
    words[7:10] = [columns, rows, sections]
    words[16:19] = axes
    words[23] = len(extended)
    header = bytearray(struct.pack(f"{order}56i", *words).ljust(1024, b"\0"))
    struct.pack_into(f"{order}3f", header, 40, cell[1], cell[0], float(sections))
    struct.pack_into(f"{order}2f", header, 76, *extremes)
    header[104 : 104 + len(kind)] = kind
    if imod is not None:
        struct.pack_into(f"{order}2i", header, 152, IMOD, imod)
    header[208:216] = b"MAP " + (b"DD\0\0" if order == "<" else b"\x11\x11\0\0")
    return bytes(header) + extended + data.tobytes()


MODES = {
    "bytes": (0, "i1", RAMP),
    "shorts": (1, "i2", RAMP * 700 - 16000),
    "floats": (2, "f4", RAMP / 7.0),
    "unsigned": (6, "u2", RAMP * 1300),
    "halves": (12, "f2", RAMP / 8.0),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", MODES)
def test_mrc_of_every_mode_and_order_of_bytes(tmp_path: Path, name: str, order: str) -> None:
    mode, kind, values = MODES[name]
    path = tmp_path / "a.mrc"
    path.write_bytes(mrc(values.astype(order + kind), mode, order=order))
    image = read_image(path)
    np.testing.assert_allclose(image.data, values, rtol=1e-3 if kind == "f2" else 1e-6)
    assert image.sampling == pytest.approx((Y, X), rel=1e-6)


@pytest.mark.parametrize(
    ("imod", "extremes", "signed"),
    [
        (None, (0.0, 0.0), True),  # MRC2014: bytes are signed
        (None, (-120.0, 115.0), True),
        (None, (0.0, 255.0), False),  # what older programs write
        (1, (0.0, 0.0), True),  # IMOD's flag
        (0, (0.0, 0.0), False),
    ],
)
def test_bytes_of_mrc_are_signed_unless_the_header_says_otherwise(
    tmp_path: Path, imod: int | None, extremes: tuple[float, float], signed: bool
) -> None:
    """All were read as unsigned: -120 as 136, so that what is dark came out bright."""
    values = (SIGNED if signed else UNSIGNED + 10).astype("i1" if signed else "u1")
    (tmp_path / "a.mrc").write_bytes(mrc(values, 0, imod=imod, extremes=extremes))
    np.testing.assert_allclose(read_image(tmp_path / "a.mrc").data, values)


def test_mrc_of_nibbles_comes_low_half_first(tmp_path: Path) -> None:
    values = RAMP[:, :7] % 16
    even = np.pad(values, ((0, 0), (0, 1)))
    packed = (even[:, ::2] | even[:, 1::2] << 4).astype(np.uint8)
    raw = bytearray(mrc(packed, 101))
    struct.pack_into("<i", raw, 0, 7)
    (tmp_path / "a.mrc").write_bytes(raw)
    np.testing.assert_allclose(read_image(tmp_path / "a.mrc", sampling=0.2).data, values)


def test_mrc_whose_columns_run_along_y_is_stood_upright(tmp_path: Path) -> None:
    raw = mrc(np.ascontiguousarray(RAMP.T).astype("<f4"), 2, axes=(2, 1, 3))
    header = bytearray(raw)
    struct.pack_into("<3i", header, 28, COLUMNS, ROWS, 1)  # its grid along x, y, z
    (tmp_path / "a.mrc").write_bytes(header)
    image = read_image(tmp_path / "a.mrc")
    np.testing.assert_allclose(image.data, RAMP)
    assert image.sampling == pytest.approx((Y, X), rel=1e-6)


def test_a_stack_of_mrc_is_a_series(tmp_path: Path) -> None:
    stack = np.stack([RAMP, RAMP[::-1]]).astype("<i2")
    (tmp_path / "a.mrcs").write_bytes(mrc(stack, 1))
    with pytest.raises(UserError, match="a series of 2 images; choose one with channel"):
        read_image(tmp_path / "a.mrcs")
    np.testing.assert_allclose(read_image(tmp_path / "a.mrcs", channel=1).data, RAMP[::-1])


def test_fei_writes_the_pixel_size_into_its_own_header(tmp_path: Path) -> None:
    """In m, at byte 156 of the kinds FEI1 and FEI2."""
    extended = bytearray(768)
    struct.pack_into("<2d", extended, 156, X * 1e-10, Y * 1e-10)
    raw = mrc(RAMP.astype("<i2"), 1, cell=(0.0, 0.0), extended=bytes(extended), kind=b"FEI1")
    (tmp_path / "a.mrc").write_bytes(raw)
    assert read_image(tmp_path / "a.mrc").sampling == pytest.approx((Y, X), rel=1e-6)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-9], "says to hold 8 x 6 x 1 values and ends before"),
        (lambda raw: raw[:12] + struct.pack("<i", 77) + raw[16:], "mode 77, which MRC has not"),
        (lambda raw: raw[:900], "shorter than a header"),
    ],
)
def test_a_damaged_mrc_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    (tmp_path / "a.mrc").write_bytes(damage(mrc(RAMP.astype("<i2"), 1)))
    with pytest.raises(UserError, match=message):
        read_image(tmp_path / "a.mrc")


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


def png(data: np.ndarray, color: int, depth: int, chunks: bytes = b"") -> bytes:
    """A PNG of the given color type and bits, chunk by chunk."""
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    rows, columns = data.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in data)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", columns, rows, depth, color, 0, 0, 0))
        + chunks
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


ALPHA = np.full((ROWS, COLUMNS, 1), 60000)


@pytest.mark.parametrize(
    ("color", "data"),
    [
        (0, RAMP * 1300),
        (2, COLORS * 90),
        (4, np.dstack([RAMP * 1300, ALPHA])),
        (6, np.dstack([COLORS * 90, ALPHA])),
    ],
    ids=["gray", "colors", "gray-alpha", "colors-alpha"],
)
def test_a_png_keeps_its_sixteen_bits(tmp_path: Path, color: int, data: np.ndarray) -> None:
    """Colors and transparency of 16 bits were cut down to 8."""
    (tmp_path / "a.png").write_bytes(png(data, color, 16))
    expected = RAMP * 1300 if color in (0, 4) else COLORS.mean(axis=-1) * 90
    image = read_image(tmp_path / "a.png", sampling=0.2)
    np.testing.assert_allclose(image.data, expected, rtol=1e-6)


def test_a_palette_of_a_png_gives_its_colors(tmp_path: Path) -> None:
    picture = Image.fromarray(RAMP.astype(np.uint8), mode="P")
    picture.putpalette([value for i in range(256) for value in (255 - i, 255 - i, 255 - i)])
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", sampling=0.2).data, 255 - RAMP)


def test_a_picture_of_one_bit_and_a_bmp_are_read(tmp_path: Path) -> None:
    Image.fromarray(RAMP % 4 == 0).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", sampling=0.2).data, RAMP % 4 == 0)
    Image.fromarray((RAMP * 5).astype(np.uint8)).save(tmp_path / "a.bmp")
    np.testing.assert_allclose(read_image(tmp_path / "a.bmp", sampling=0.2).data, RAMP * 5)


@pytest.mark.parametrize("kind", ["?", ">u2", "<u8", ">i4", "<i8", "<f2", ">f8"])
@pytest.mark.parametrize("fortran", [False, True])
def test_numpys_files_of_every_type_and_order(tmp_path: Path, kind: str, fortran: bool) -> None:
    values = (RAMP % 4 == 0 if kind == "?" else RAMP).astype(kind)
    np.save(tmp_path / "a.npy", np.asfortranarray(values) if fortran else values)
    np.savez_compressed(tmp_path / "a.npz", image=values, sampling=[Y, X])
    np.testing.assert_allclose(read_image(tmp_path / "a.npy", sampling=0.2).data, values)
    image = read_image(tmp_path / "a.npz")
    np.testing.assert_allclose(image.data, values)
    assert image.sampling == pytest.approx((Y, X))


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(UserError, match=r"a\.zarr is a folder; give a file"):
        read_image(tmp_path / "a.zarr", sampling=0.2)


def hspy(path: Path, data: np.ndarray, axes: list[dict[str, Any]], kind: str = "") -> None:
    """A file of HyperSpy, its axes in the order of the array's dimensions."""
    from rsciio.hspy import file_writer

    full = [
        {"offset": 0.0, "navigate": False, "size": n, "index_in_array": i} | axis
        for i, (axis, n) in enumerate(zip(axes, data.shape, strict=True))
    ]
    metadata = {"General": {"title": "a"}, "Signal": {"signal_type": kind}}
    rest = ("original_metadata", "tmp_parameters", "package_info", "learning_results", "models")
    found = {"data": data, "axes": full, "metadata": metadata, "attributes": {"_lazy": False}}
    file_writer(str(path), found | {key: {} for key in rest}, show_progressbar=False)


def axis(name: str, step: float, unit: str = "nm", **more: Any) -> dict[str, Any]:
    return {"name": name, "scale": step, "units": unit} | more


AXES = {"y": axis("y", Y / 10), "x": axis("x", X / 10), "t": axis("t", 1.0, "s", navigate=True)}


@pytest.mark.parametrize("order", ["yx", "xy", "tyx", "txy", "ytx", "yxt"])
def test_axes_of_hspy_are_told_by_their_names(tmp_path: Path, order: str) -> None:
    """An array that is x first came out with rows for columns, and with their pixel sizes."""
    whole = np.stack([RAMP, RAMP + 100]).astype(np.float32)
    data = np.einsum(f"tyx->{order}", whole) if "t" in order else whole[1].T
    data = whole[1] if order == "yx" else data
    hspy(tmp_path / "a.hspy", np.ascontiguousarray(data), [AXES[name] for name in order])
    image = read_image(tmp_path / "a.hspy", channel=1 if "t" in order else None)
    np.testing.assert_allclose(image.data, RAMP + 100)
    assert image.sampling == pytest.approx((Y, X))


@pytest.mark.parametrize("names", ["xy", "yx"])
def test_axes_of_emd_are_told_by_their_names(tmp_path: Path, names: str) -> None:
    """Berkeley's rule is x first; a file that says y first was read turned over the diagonal."""
    import h5py

    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs.update({"version_major": 0, "version_minor": 2})
        group = file.create_group("signals/HAADF")
        group.attrs["emd_group_type"] = 1
        group["data"] = RAMP.T if names == "xy" else RAMP
        for number, name in enumerate(names, 1):
            step, size = (X, COLUMNS) if name == "x" else (Y, ROWS)
            group[f"dim{number}"] = np.arange(size) * step / 10
            group[f"dim{number}"].attrs.update({"name": name, "units": "[n_m]"})
    image = read_image(tmp_path / "a.emd")
    np.testing.assert_allclose(image.data, RAMP)
    assert image.sampling == pytest.approx((Y, X))


def test_spectra_are_no_image(tmp_path: Path) -> None:
    energy = axis("Energy", 0.5, "eV")
    places = [AXES["y"] | {"navigate": True}, AXES["x"] | {"navigate": True}]
    hspy(tmp_path / "a.hspy", np.random.default_rng(1).random((6, 8, 20)), [*places, energy])
    hspy(tmp_path / "b.hspy", np.random.default_rng(1).random((8, 20)), [places[1], energy])
    for name in ("a.hspy", "b.hspy"):
        with pytest.raises(UserError, match="holds no image, only spectra"):
            read_image(tmp_path / name, sampling=0.2)


RECIPROCAL_UNITS = [
    "1/nm", "1 / nm", "nm-1", "nm^-1", "nm^{-1}", "nm⁻¹", "$nm^{-1}$", "1/Å", "1/A", "A-1",
    "$\\AA^{-1}$", "1/m", "m^-1", "1/pm", "1/µm", "1/(nm)", "mrad", "rad", "µrad", "deg",
]  # fmt: skip


@pytest.mark.parametrize("unit", RECIPROCAL_UNITS)
def test_a_diffraction_pattern_is_told_what_to_do_with_it(tmp_path: Path, unit: str) -> None:
    """Some were said to have no pixel size; a sampling that is given makes no image of one."""
    hspy(
        tmp_path / "a.hspy", RAMP.astype(np.float32), [axis("y", 0.02, unit), axis("x", 0.02, unit)]
    )
    for sampling in (None, 0.2):
        with pytest.raises(UserError, match="diffraction pattern.* of the kind pattern") as raised:
            read_image(tmp_path / "a.hspy", sampling=sampling)
        assert "sampling" not in str(raised.value)


@pytest.mark.parametrize(
    ("axes", "kind"),
    [
        ([axis("ky", 0.02, "k"), axis("kx", 0.02, "k")], ""),
        ([axis("y", 0.02, ""), axis("x", 0.02, "")], "electron_diffraction"),
    ],
)
def test_a_pattern_may_be_known_by_its_names_or_its_type(
    tmp_path: Path, axes: list[dict[str, Any]], kind: str
) -> None:
    hspy(tmp_path / "a.hspy", RAMP.astype(np.float32), axes, kind)
    with pytest.raises(UserError, match="of the kind pattern"):
        read_image(tmp_path / "a.hspy", sampling=0.2)


def test_inverse_meters_that_were_taken_for_meters_are_a_pattern(tmp_path: Path) -> None:
    """TIA's files have no unit: it was "set sampling such as 2e+14"."""
    hspy(tmp_path / "a.hspy", RAMP.astype(np.float32), [axis("y", 2e8, "m"), axis("x", 2e8, "m")])
    with pytest.raises(UserError, match="axes in 1/m; give an image, or .* kind pattern"):
        read_image(tmp_path / "a.hspy")
    pattern, _ = read_pattern(tmp_path / "a.hspy")
    assert pattern.axes[0].unit == "1/Å" and pattern.axes[0].step == pytest.approx(0.02)


def test_imagejs_inverse_unit_is_one_of_a_pattern(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", RAMP.astype(np.uint16), imagej=True, resolution=(50.0, 50.0),
        metadata={"unit": "1/nm"},
    )  # fmt: skip
    with pytest.raises(UserError, match="axes in 1/nm; give an image, or .* kind pattern"):
        read_image(tmp_path / "a.tif")


def test_patterns_are_read_by_the_same_readers(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc(SIGNED.astype("i1"), 0))
    found, _ = read_pattern(tmp_path / "a.mrc", sampling=0.02)
    np.testing.assert_allclose(found.data, SIGNED)
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    np.testing.assert_allclose(read_pattern(tmp_path / "a.png", sampling=0.02)[0].data, RAMP)
