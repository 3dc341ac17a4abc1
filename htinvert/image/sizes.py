"""How large files are once they are unfolded, by their headers, before anything is loaded."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.declaration.wording import shortened
from htinvert.image.tags import check_tags

LARGEST = 2_000_000_000  # bytes of values that are held at once
LONGEST_HEADER = 65_536  # bytes


def check_arrays(path: Path, *, most: int = LARGEST) -> None:
    """Refuse an ``.npy`` or ``.npz`` whose arrays take more than ``most`` bytes together.

    A compressed archive of megabytes may hold gigabytes of zeros. Raises :class:`UserError`, also
    where the file is neither.
    """
    try:
        total = _size(path)
    except Exception as error:  # a header is parsed as Python, whose errors are legion
        raise _unreadable(path, error) from error
    if total > most:
        raise UserError(
            f"{path.name} holds arrays of {total / 1e9:.1f} GB, more than the {most / 1e9:.1f} GB "
            "that are read; cut out what is to be compared"
        )


def check_size(path: Path, *, most: int = LARGEST) -> None:
    """Refuse a numpy, TIFF or picture file that would unfold to more than ``most`` bytes.

    So is one of MRC or DigitalMicrograph that says to hold what it cannot. Other kinds pass, and
    what has no readable header, for its reader to object to. Raises :class:`UserError`.
    """
    ending = path.suffix.lower()
    if ending in (".npy", ".npz"):
        check_arrays(path, most=most)
    if ending in (".dm3", ".dm4"):
        check_tags(path)
    if ending in (".mrc", ".mrcs", ".map", ".st", ".rec"):
        _check_mrc(path)
    if ending not in (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"):
        return
    try:
        total = _tiff_size(path) if ending.startswith(".tif") else _picture_size(path)
    except Exception:  # parsers raise whatever they like, and will again
        return
    if total > most:
        raise UserError(
            f"{path.name} unfolds to {total / 1e9:.1f} GB, more than the {most / 1e9:.1f} GB that "
            "are read; cut out what is to be compared"
        )


def _check_mrc(path: Path) -> None:
    """Refuse an MRC file that says to hold more values than it has half bytes."""
    with path.open("rb") as file:
        head = file.read(12)
    sizes = [
        math.prod(map(int, np.frombuffer(head, order, len(head) // 4))) for order in ("<i4", ">i4")
    ]
    size = path.stat().st_size
    if not any(0 <= values <= 2 * size for values in sizes):
        raise UserError(
            f"{path.name} says to hold {sizes[0]:.3g} values, which {size} bytes cannot; it may be "
            "truncated, copy it again"
        )


def _tiff_size(path: Path) -> int:
    from tifffile import TiffFile

    with TiffFile(path) as file:
        return max(math.prod(series.shape) * series.dtype.itemsize for series in file.series)


def _picture_size(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as picture:
        return math.prod(picture.size) * len(picture.getbands())


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = shortened(str(error) or type(error).__name__, 200)
    return UserError(f"{path.name} could not be read ({reason}); write it again")


def _size(path: Path) -> int:
    """Bytes of all arrays of a file, by its headers."""
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return _array_size(file)
    total = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            total += member.file_size
            if member.filename.endswith(".npy"):
                with archive.open(member) as file:
                    total += max(_array_size(file) - member.file_size, 0)
    return total


def _array_size(file: IO[bytes]) -> int:
    """Bytes of an array by its header."""
    start = file.read(12)
    length = int.from_bytes(start[8:10] if start[6:7] == b"\1" else start[8:12], "little")
    if start[6:8] not in (b"\1\0", b"\2\0", b"\3\0") or length > LONGEST_HEADER:
        raise ValueError("its header is not that of an array")
    file.seek(0)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return math.prod(shape) * dtype.itemsize


def load_arrays(path: Path, *, most: int = LARGEST) -> dict[str, NDArray[Any]]:
    """The arrays of an archive by name, or the one array of an ``.npy`` under the empty name.

    Nothing is unpickled. Raises :class:`UserError` as :func:`check_arrays` does.
    """
    check_arrays(path, most=most)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {name: np.asarray(loaded[name]) for name in loaded.files}
    except Exception as error:  # what a damaged header or deflated stream raises is legion
        raise _unreadable(path, error) from error
