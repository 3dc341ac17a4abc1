"""A series of frames of one size, equal in time, that need not fit into memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import Floats, UserError
from htinvert.image.files import MRC, READERS, TIFF, read_records
from htinvert.image.parsing import parsing
from htinvert.image.record import Record
from htinvert.image.sizes import LARGEST, check_size

UNEVEN = 0.01  # of a step: so far may a frame be from its time
BLOCK = 64_000_000  # bytes of single precision that are held at once
FEWEST = 20  # frames


@dataclass(frozen=True, eq=False)
class Series:
    """Frames (t, y, x), read from the disk as they are needed.

    Attributes:
        name: of the file.
        frames: anything of three dimensions that is sliced as an array is.
        interval: between frames, in ``unit``.
        unit: ``s``, or ``frames`` where nobody says.
        path: of a file of numpy's, which is opened anew for every block.
    """

    name: str
    frames: Any
    interval: float = 1.0
    unit: str = "frames"
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, rows, columns."""
        return (self.frames.shape[0], self.frames.shape[1], self.frames.shape[2])

    def blocks(self, bytes_at_once: int = BLOCK) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """First row, and values of some rows in all frames, shape (t, rows, x)."""
        count, ny, nx = self.shape
        rows = max(1, bytes_at_once // (4 * count * nx))
        for first in range(0, ny, rows):
            source = self.frames if self.path is None else np.load(self.path, mmap_mode="r")
            yield first, np.asarray(source[:, first : first + rows], dtype=np.float32)
            del source  # pages of a mapped file count as memory until it is closed

    def means(self) -> NDArray[np.float64]:
        """Mean of each frame, shape (t,)."""
        total = np.zeros(self.shape[0])
        for _, values in self.blocks():
            total += values.sum(axis=(1, 2), dtype=float)
        return np.asarray(total / (self.shape[1] * self.shape[2]))


def make_series(
    frames: Any, *, times: Floats | None = None, interval: float | None = None, name: str = "series"
) -> Series:
    """A series of an array (t, y, x), or of anything that is sliced like one.

    Args:
        frames: values; a mapped or a Zarr array is read block by block.
        times: when each frame was taken [s], shape (t,).
        interval: between frames [s], instead of ``times``.
        name: for messages.

    Raises:
        UserError: where there are too few frames, or steps of time are unequal.
    """
    shape = tuple(getattr(frames, "shape", ()))
    if len(shape) != 3:
        raise UserError(f"{name} has shape {shape}; give frames as one array (t, y, x)")
    if np.dtype(frames.dtype).kind not in "biuf":
        raise UserError(f"{name} holds {frames.dtype} and no real numbers; give intensities")
    if shape[0] < FEWEST:
        raise UserError(f"{name} has {shape[0]} frames; fluctuations need at least {FEWEST}")
    if times is not None:
        return Series(name, frames, _even(np.asarray(times, dtype=float), shape[0], name), "s")
    if interval is None:
        return Series(name, frames)
    if not 0.0 < interval < np.inf:
        raise UserError(f"the interval is {interval:g} s; give the time from frame to frame")
    return Series(name, frames, float(interval), "s")


def read_series(path: Path, *, interval: float | None = None, times: Path | None = None) -> Series:
    """Read a series lazily: ``.npy``, ``.zarr``, ``.tif``, ``.mrc``, or what else holds frames.

    A folder is taken as one frame per file, in the order of names.

    Raises:
        UserError: where there is no series, or frames differ in size.
    """
    if not path.exists():
        raise UserError(f"there is no series {path}; give a stack of frames, such as a .npy")
    instants = None if times is None else _times(times)
    if path.suffix == ".npy":
        with parsing(path, "a series", "write it again as an array (t, y, x)"):
            made = make_series(
                np.load(path, mmap_mode="r"), times=instants, interval=interval, name=path.name
            )
        return Series(made.name, made.frames, made.interval, made.unit, path)
    with parsing(path, "a series", "export it as npy (t, y, x)"):
        frames = _frames(path)
    return make_series(frames, times=instants, interval=interval, name=path.name)


def _frames(path: Path) -> Any:
    """Frames of a file or folder, mapped where that is possible."""
    if path.suffix == ".zarr":
        return _zarr(path)
    if path.is_dir():
        return _folder(path)
    ending = path.suffix.lower()
    if ending not in READERS:
        raise UserError(
            f"{path.name} is of a kind that is not read as a series; known are .npy, .zarr, a "
            f"folder of frames, {', '.join(READERS)}"
        )
    if ending in TIFF and (mapped := _mapped_tiff(path)) is not None:
        return mapped
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 1e9:.1f} GB, more than is read at once; "
            "export it as .npy or .zarr, which are read in blocks"
        )
    check_size(path)
    records = [record for record in read_records(path) if record.data.ndim >= 2]
    if ending in (*TIFF, *MRC) and len(records) > 1:
        sizes = " and ".join(f"{r.data.shape[-2]} x {r.data.shape[-1]}" for r in records[:2])
        raise UserError(f"{path.name} holds frames of {sizes} px; give frames of one size")
    if not records:
        raise UserError(f"{path.name} holds no frames")
    return _gray(records[0])


def _mapped_tiff(path: Path) -> Any:
    """The frames of a plain TIFF as they lie on the disk; None where they must be unpacked."""
    from tifffile import TiffFile, memmap

    with TiffFile(path) as file:
        plain = len(file.series) == 1 and len(file.series[0].shape) == 3
        plain = plain and file.series[0].keyframe.photometric == 1  # MinIsBlack
    if not plain:
        return None
    try:
        return memmap(path, mode="r")
    except ValueError:
        return None


def _zarr(path: Path) -> Any:
    import zarr

    found = zarr.open(path, mode="r")
    if isinstance(found, zarr.Array):
        return found
    arrays = [array for _, array in found.arrays() if array.ndim == 3]
    if len(arrays) != 1:
        raise UserError(f"{path.name} holds {len(arrays)} arrays (t, y, x); give a path to one")
    return arrays[0]


def _folder(path: Path) -> NDArray[Any]:
    """One frame per file."""
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in (*READERS, ".npy"))
    if not files:
        raise UserError(f"{path} holds no images; give a folder with one file per frame")
    frames: NDArray[Any] | None = None
    for number, file in enumerate(files):
        with parsing(file, "a frame", "copy it again"):
            frame = np.load(file) if file.suffix == ".npy" else _gray(read_records(file)[0])
        if frames is None:
            frames = np.empty((len(files), *frame.shape), dtype=frame.dtype)
            if frames.nbytes > LARGEST:
                raise UserError(f"{path} holds more than is read at once; export one .zarr of it")
        if frame.shape != frames.shape[1:]:
            raise UserError(
                f"{file.name} is {' x '.join(map(str, frame.shape))} px, but {files[0].name} "
                f"{' x '.join(map(str, frames.shape[1:]))}; give frames of one size"
            )
        frames[number] = frame
    return np.asarray(frames)


def _gray(record: Record) -> NDArray[Any]:
    return np.asarray(record.data[..., :3].mean(axis=-1) if record.colors else record.data)


def _times(path: Path) -> Floats:
    """The first column of numbers of a text, one a row [s]."""
    if not path.is_file():
        raise UserError(f"there is no file of times {path}; write one number [s] a row")
    values = []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        for row in csv.reader(file):
            try:
                values.append(float(row[0]))
            except (ValueError, IndexError):
                continue  # a head, a comment, an empty row
    return np.array(values)


def _even(times: Floats, count: int, name: str) -> float:
    """The step of equal times [s]."""
    if len(times) != count:
        raise UserError(f"{name} has {count} frames, but {len(times)} times are given")
    steps = np.diff(times)
    step = float(np.median(steps))
    wrong = np.flatnonzero(np.abs(steps - step) > UNEVEN * abs(step))
    if step <= 0.0 or not np.isfinite(step) or len(wrong):
        at = int(wrong[0]) if len(wrong) else 0
        raise UserError(
            f"{name}: steps of time are unequal: from frame {at} to {at + 1} {steps[at]:.4g} s, "
            f"else {step:.4g} s; cut the series where frames are missing, or rebin it in time"
        )
    return step
