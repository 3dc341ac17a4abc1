"""Pictures and arrays keep all their bits, and transparency is no intensity."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from htinvert.core import UserError
from htinvert.image.read import read_image
from htinvert.signals.pattern_file import read_pattern

ROWS, COLUMNS = 6, 8
RAMP = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)  # no symmetry, and not square
Y, X = 0.25, 0.2  # Å/px
COLORS = np.stack([RAMP * 5, RAMP * 3, RAMP[::-1] * 2], axis=-1).astype(np.uint16)


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


@pytest.mark.parametrize(("name", "unit"), [("pixel_size_angstrom", 1.0), ("pixel_size_nm", 0.1)])
def test_an_archive_names_the_unit_of_its_pixel_size(
    tmp_path: Path, name: str, unit: float
) -> None:
    np.savez(tmp_path / "a.npz", image=RAMP, **{name: [Y * unit, X * unit]})
    assert read_image(tmp_path / "a.npz").sampling == pytest.approx((Y, X))


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(UserError, match=r"a\.zarr is a folder; give a file"):
        read_image(tmp_path / "a.zarr", sampling=0.2)


def test_a_picture_may_be_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(RAMP * 1300, 0, 16))
    found, _ = read_pattern(tmp_path / "a.png", sampling=0.02)
    np.testing.assert_allclose(found.data, RAMP * 1300)


def test_the_orientation_of_a_photograph_is_applied(tmp_path: Path) -> None:
    """6 is shown after a quarter turn clockwise."""
    exif = Image.Exif()
    exif[274] = 6
    smooth = np.linspace(10, 240, 32 * 48).reshape(32, 48).astype(np.uint8)
    Image.fromarray(np.rot90(smooth)).save(tmp_path / "a.jpg", quality=100, exif=exif)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", sampling=0.2).data, smooth, atol=4)
