"""MRC files (Cheng et al., J. Struct. Biol. 192, 146 (2015), doi:10.1016/j.jsb.2015.04.002).

All modes, both orders of bytes. The format's bytes are signed; programs before 2014, and IMOD where
its flag says so, write them unsigned.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.image.record import FileAxis, Record

HEADER = 1024  # bytes
LARGEST_SIDE = 1_000_000  # px; one in the wrong order of bytes is larger
TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
COMPLEX_SHORTS, NIBBLES = 3, 101
IMOD = 1146047817  # its stamp
SIGNED_FLAG = 1
FEI_BLOCK = 131072  # bytes of FEI's first kind of extended header
FEI_PIXEL = 44  # its place there [bytes], m
FEI_1_PIXEL = 156  # in kinds FEI1 and FEI2


@dataclass(frozen=True)
class _Header:
    """Sizes, mode and cell, by the words of the format."""

    raw: bytes
    order: str  # "<" or ">"

    def ints(self, word: int, count: int = 1) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{count}i", self.raw, 4 * (word - 1))

    def floats(self, word: int, count: int = 1) -> tuple[float, ...]:
        return struct.unpack_from(f"{self.order}{count}f", self.raw, 4 * (word - 1))


def read_mrc(path: Path) -> list[Record]:
    """The image, or the series of images, of an MRC file; steps [Å]."""
    with path.open("rb") as file:
        header = _header(file.read(HEADER), path.name)
        extended = file.read(max(header.ints(24)[0], 0))
        values = file.read()
    data, notes = _values(values, header, path.name)
    steps = _steps(header, extended)
    order = _order(header)
    axes = [FileAxis("xyz"[axis], steps[axis], "Å") for axis in order]
    upright = sorted(range(3), key=lambda i: -order[i])  # z, y, x
    data = np.transpose(data, upright)
    named = tuple(axes[i] for i in upright)
    if len(data) == 1:
        data, named = data[0], named[1:]
    return [Record("image", data, named, notes=notes)]


def _header(raw: bytes, file: str) -> _Header:
    """The header in the order of bytes in which its mode and sizes make sense."""
    if len(raw) < HEADER:
        raise UserError(f"{file} is shorter than a header of MRC; it is truncated, copy it again")
    stamped = {b"\x11\x11": ">", b"DD": "<", b"DA": "<"}.get(raw[212:214])
    headers = [_Header(raw, order) for order in ("<", ">")]
    good = [h for h in headers if h.ints(4)[0] in (*TYPES, COMPLEX_SHORTS, NIBBLES)]
    if not good:
        raise UserError(
            f"{file} has mode {headers[0].ints(4)[0]}, which MRC has not, or which holds no image; "
            "export it as tif"
        )
    return min(good, key=lambda h: (not _is_size(h), h.order != stamped))


def _is_size(header: _Header) -> bool:
    """Whether all three sizes are such that somebody could have recorded them."""
    return all(0 < size <= LARGEST_SIDE for size in header.ints(1, 3))


def _values(raw: bytes, header: _Header, file: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Values, shape (sections, rows, columns), and what is to be said of them."""
    nx, ny, nz = header.ints(1, 3)
    mode = header.ints(4)[0]
    if min(nx, ny, nz) < 1:
        raise UserError(f"{file} says to hold {nx} x {ny} x {nz} values; it is damaged")
    width = {COMPLEX_SHORTS: 4, NIBBLES: 0.5}.get(mode) or np.dtype(TYPES[mode]).itemsize
    row = (nx + 1) // 2 if mode == NIBBLES else int(nx * width)
    if len(raw) < row * ny * nz:
        raise UserError(
            f"{file} says to hold {nx} x {ny} x {nz} values and ends before; it is truncated, "
            "copy it again"
        )
    raw = raw[: row * ny * nz]
    if mode == NIBBLES:
        pairs = np.frombuffer(raw, np.uint8).reshape(nz, ny, row)
        values = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(nz, ny, 2 * row)
        return values[..., :nx], ()
    if mode == COMPLEX_SHORTS:
        parts = np.frombuffer(raw, f"{header.order}i2").astype(np.float32).reshape(nz, ny, nx, 2)
        return parts[..., 0] + 1j * parts[..., 1], ()
    data = np.frombuffer(raw, header.order + TYPES[mode]).reshape(nz, ny, nx)
    return _signed(data, header) if mode == 0 else (data, ())


def _signed(data: NDArray[np.int8], header: _Header) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Bytes as they are meant: the header's extremes say it, else IMOD's flag, else the format."""
    unsigned = data.view(np.uint8)
    if data.min() >= 0:
        return unsigned, ()
    said = header.floats(20, 2)
    for values in (data, unsigned):
        if said == (values.min(), values.max()):
            return values, ()
    stamp, flags = header.ints(39, 2)
    if stamp == IMOD:
        return (data if flags & SIGNED_FLAG else unsigned), ()
    if said[0] < 0.0 and said[1] < 128.0:
        return data, ()
    if said[1] > 127.0 and said[0] >= 0.0:
        return unsigned, ()
    return data, ("its bytes are taken as signed, as MRC has them",)


def _order(header: _Header) -> tuple[int, int, int]:
    """Which of x, y, z (0, 1, 2) sections, rows and columns run along."""
    columns, rows, sections = header.ints(17, 3)
    order = (sections - 1, rows - 1, columns - 1)
    return order if sorted(order) == [0, 1, 2] else (2, 1, 0)


def _steps(header: _Header, extended: bytes) -> tuple[float, float, float]:
    """Step [Å] along x, y and z, from the cell or FEI's extended header; 0 where it is unknown."""
    cell, counts = header.floats(11, 3), header.ints(8, 3)
    sizes = header.ints(1, 3)
    order = _order(header)[::-1]
    along = {axis: sizes[i] for i, axis in enumerate(order)}
    steps = [
        length / (count if count > 0 else along[axis])
        for axis, (length, count) in enumerate(zip(cell, counts, strict=True))
    ]
    pixel = _fei_pixel(header, extended)
    if not min(steps[:2]) > 0.0 and pixel is not None:
        steps[:2] = pixel
    return (steps[0], steps[1], steps[2])


def _fei_pixel(header: _Header, extended: bytes) -> tuple[float, float] | None:
    """Pixel size [Å] along x and y by FEI's extended headers."""
    if header.raw[104:108] in (b"FEI1", b"FEI2") and len(extended) >= FEI_1_PIXEL + 16:
        x, y = struct.unpack_from(f"{header.order}2d", extended, FEI_1_PIXEL)
    elif len(extended) == FEI_BLOCK:
        (x,) = struct.unpack_from(f"{header.order}f", extended, FEI_PIXEL)
        y = x
    else:
        return None
    return (x * 1e10, y * 1e10) if np.isfinite([x, y]).all() and min(x, y) > 0 else None
