"""MRC: every mode, order of bytes and orientation, against files written word by word."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from htinvert.core import UserError
from htinvert.image.read import read_image
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


@pytest.mark.parametrize("name", MODES)
def test_mrc_of_other_bytes_is_known_by_its_sizes_where_no_stamp_says_it(
    tmp_path: Path, name: str
) -> None:
    mode, kind, values = MODES[name]
    raw = bytearray(mrc(values.astype(f">{kind}"), mode, order=">"))
    raw[208:216] = bytes(8)
    (tmp_path / "a.mrc").write_bytes(raw)
    np.testing.assert_allclose(read_image(tmp_path / "a.mrc").data, values, rtol=1e-3)


def test_a_name_does_not_choose_the_reader(tmp_path: Path) -> None:
    """Rosettasciio reads what has movie in its name, but only with Direct Electron's text."""
    (tmp_path / "a_movie.mrc").write_bytes(mrc(SIGNED.astype("i1"), 0))
    np.testing.assert_allclose(read_image(tmp_path / "a_movie.mrc").data, SIGNED)


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


def test_a_pattern_is_read_by_the_same_reader(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(mrc(SIGNED.astype("i1"), 0))
    found, _ = read_pattern(tmp_path / "a.mrc", sampling=0.02)
    np.testing.assert_allclose(found.data, SIGNED)
