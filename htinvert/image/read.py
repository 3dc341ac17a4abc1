"""Micrographs as instruments and programs write them.

A header is read, not trusted: a pixel size that could show no atoms is refused, one that the
experiment gives replaces it, and :func:`describe` says what was found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert import plugins
from htinvert.core import Signal, UserError
from htinvert.image.files import READERS, read_records
from htinvert.image.outliers import bands, without_outliers
from htinvert.image.parsing import parsing
from htinvert.image.plausible import (
    Steps,
    check_saturation,
    check_steps,
    saturation_notes,
)
from htinvert.image.prepare import crop as cropped
from htinvert.image.prepare import prepare as prepared
from htinvert.image.record import FileAxis, Record, without_ones
from htinvert.image.sizes import check_size, load_arrays
from htinvert.image.units import angstrom

ARRAYS = (".npy", ".npz", ".txt")
SIZES = {"sampling": "Å", "pixel_size_angstrom": "Å", "pixel_size_nm": "nm"}  # names in .npz
KNOWN = (*READERS, *ARRAYS)
SCAN = (
    ", or make one of a scan of patterns by the first step of prepare, such as virtual: "
    "{inner: 60, outer: 200}, or compare it by a forward model of the kind pattern (docs/scans.md)"
)
LARGEST_FILE = 2_000_000_000  # bytes
FEWEST_COLUMNS = 8  # of an image as text; files of curves have two to seven
MOST_VALUES = 100_000_000  # of one image, colors apart


@dataclass(frozen=True)
class Source:
    """What a file said of the image that was read; ``shape`` is (ny, nx), ``sampling`` [Å/px].

    ``sampling`` (y, x) is None where the file has none. ``notes`` are sentences on what to beware.
    """

    file: str
    title: str
    shape: tuple[int, int]
    dtype: str
    sampling: Steps | None = None
    detector: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        y, x = self.sampling or (0.0, 0.0)
        size = f"{y:.5g} Å/px" if np.isclose(y, x, rtol=1e-4) else f"{y:.5g} x {x:.5g} Å/px (y, x)"
        words = [
            f"{self.file}: {self.title}" if self.title else self.file,
            *([self.detector] if self.detector and self.detector != self.title else []),
            f"{self.shape[0]} x {self.shape[1]} px",
            self.dtype,
            size if self.sampling else "no pixel size",
        ]
        return "; ".join([", ".join(words), *self.notes])


def read_image(
    path: Path,
    *,
    sampling: float | Steps | None = None,
    crop: tuple[int, int, int, int] | None = None,
    signal: str | None = None,
    channel: int | None = None,
    prepare: Iterable[Mapping[str, Any]] = (),
) -> Signal:
    """Read a micrograph as an image (y, x) and pre-process it: first ``crop``, then ``prepare``.

    ``sampling`` [Å/px], one number or (y, x), replaces what the file says. ``signal`` names the one
    to take of several; ``channel`` is the color, or the frame of a series. Colors are otherwise
    averaged to gray, transparency is left out. ``crop`` is top, bottom, left, right [px]. Hot and
    dead pixels are replaced, see :func:`htinvert.image.outliers.without_outliers`.

    Raises :class:`UserError` where the file is missing or unreadable, no pixel size is known or
    none that could show atoms, the choice is not clear, or nothing is left to compare.
    """
    return read_described(
        path, sampling=sampling, crop=crop, signal=signal, channel=channel, prepare=prepare
    )[0]


def read_described(
    path: Path,
    *,
    sampling: float | Steps | None = None,
    crop: tuple[int, int, int, int] | None = None,
    signal: str | None = None,
    channel: int | None = None,
    prepare: Iterable[Mapping[str, Any]] = (),
) -> tuple[Signal, Source]:
    """An image as :func:`read_image` reads it, and what is to be said of it; read once."""
    return opened(path, signal=signal, channel=channel).image(sampling, crop, prepare)


@dataclass(eq=False)
class Opened:
    """A file's image before anything is made of it; its pixels are given away once."""

    pixels: NDArray[Any] | None
    source: Source

    def image(
        self,
        sampling: float | Steps | None = None,
        crop: tuple[int, int, int, int] | None = None,
        prepare: Iterable[Mapping[str, Any]] = (),
    ) -> tuple[Signal, Source]:
        """The image, and what is to be said of it; raises as :func:`read_image`."""
        source, name = self.source, self.source.file
        steps = source.sampling if sampling is None else sampling
        if steps is None:
            raise UserError(
                f"{name} has no pixel size; set the experiment's sampling [Å/px], such as 0.25"
            )
        check_steps((steps, steps) if isinstance(steps, int | float) else steps, name)
        if self.pixels is None:
            raise ValueError(f"the pixels of {name} were given away before")
        with np.errstate(over="ignore"):  # becomes infinite, which is refused
            image = Signal.image(self.pixels, steps)
        self.pixels = None  # a large frame is not kept twice
        image, notes = pre_processed(image, name, crop=crop, prepare=prepare)
        return image, replace(source, notes=(*source.notes, *notes))


def opened(path: Path, *, signal: str | None = None, channel: int | None = None) -> Opened:
    """Read a file's image and say what it holds; raises as :func:`read_image`."""
    return Opened(*_read(path, signal, channel))


def pre_processed(
    image: Signal,
    file: str,
    *,
    crop: tuple[int, int, int, int] | None = None,
    prepare: Iterable[Mapping[str, Any]] = (),
) -> tuple[Signal, tuple[str, ...]]:
    """An image of a file cropped, without bad pixels, prepared; and what is to be said of it.

    Raises :class:`UserError` where a step does not fit, or nothing is left to compare.
    """
    try:
        if crop is not None:
            image = cropped(image, crop)
        image, outliers = without_outliers(image)
        image = prepared(image, prepare)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    if not all(np.isfinite(band).all() for band in bands(image.data)):
        raise UserError(f"{file} has pixels that are not finite numbers; mask or crop them")
    if np.ptp(image.data) == 0:
        raise UserError(f"{file} is the same everywhere; check the file, its crop and prepare")
    check_saturation(image.data, file)
    return image, () if outliers is None else (str(outliers),)


def describe(path: Path, *, signal: str | None = None, channel: int | None = None) -> Source:
    """Say what a file holds, before anything is made of it; see :func:`read_image`."""
    return _read(path, signal, channel)[1]


def count_frames(path: Path, *, signal: str | None = None) -> int:
    """How many frames a file of a series holds; 1 where it holds one image.

    Raises as :func:`read_image` does, but for the choice of a frame.
    """
    record = without_ones(_chosen(_records(path), signal, path))
    frames = record.data.shape[: record.data.ndim - record.colors - 2]
    if len(frames) > 1:
        raise UserError(
            f"{path.name} has {record.data.ndim} dimensions; give a series of images (t, y, x)"
        )
    return int(frames[0]) if frames else 1


def _read(path: Path, signal: str | None, channel: int | None) -> tuple[NDArray[Any], Source]:
    """Pixels, shape (ny, nx), of the file's type, and what the file says of them."""
    record = without_ones(_chosen(_records(path), signal, path))
    steps, said = _steps_of(record, path.name)
    pixels = _plane(record, channel, path.name)
    if np.iscomplexobj(pixels):
        raise UserError(f"{path.name} holds complex numbers, as a Fourier transform; give an image")
    if pixels.dtype.kind not in "biuf":
        raise UserError(f"{path.name} holds {pixels.dtype} and no numbers; give an image")
    if min(pixels.shape) < 2:
        raise UserError(
            f"{path.name} is {pixels.shape[0]} x {pixels.shape[1]} px, which is no image"
        )
    if pixels.size > MOST_VALUES:
        raise UserError(
            f"{path.name} has {pixels.size:.3g} values, more than the {MOST_VALUES:.0e} that are "
            "compared; export the part that is of interest"
        )
    gray = pixels if pixels.ndim == 2 else pixels.mean(axis=2)
    colors = () if gray is pixels else (f"its {pixels.shape[2]} colors are averaged to gray",)
    notes = (*record.notes, *said, *colors, *saturation_notes(pixels))
    shape = (pixels.shape[0], pixels.shape[1])
    source = Source(path.name, record.name, shape, str(pixels.dtype), steps, record.detector, notes)
    return gray, source


def _records(path: Path) -> list[Record]:
    """All signals of a file that could be an image."""
    if path.is_dir():
        raise UserError(f"{path.name} is a folder; give a file, such as the one image as .tif")
    if not path.is_file():
        raise UserError(f"there is no image {path}; check the experiment's image")
    suffix = path.suffix.lower()
    if suffix not in KNOWN:
        raise UserError(f"{path.name} is of a kind that is not read; known are {', '.join(KNOWN)}")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 1e9:.1f} GB, more than the "
            f"{LARGEST_FILE / 1e9:.0f} GB that are read; export the one image to be compared"
        )
    with parsing(path, "an image", "it may be truncated, copy it again or export it as tif"):
        check_size(path)
        if suffix in READERS:
            return read_records(path, images_only=True)
        return _read_text(path) if suffix == ".txt" else _read_arrays(path)


def _steps_of(record: Record, file: str) -> tuple[Steps | None, tuple[str, ...]]:
    """Pixel size [Å/px] (y, x) of a file's image, and what is to be said of it.

    Raises :class:`UserError` for a diffraction pattern.
    """
    if unit := record.reciprocal:
        raise UserError(
            f"{file} is a diffraction pattern or Fourier transform with axes in {unit}; give an "
            "image, or compare it by a forward model of the kind pattern (docs/kinds.md)"
        )
    if len(record.axes) < 2:
        return None, ()
    y, x = (abs(axis.step) * angstrom(axis.unit) for axis in record.axes[-2:])
    if not (0.0 < y < np.inf and 0.0 < x < np.inf):
        return None, ()
    plain = all(abs(axis.step) == 1.0 for axis in record.axes[-2:])
    return (y, x), (("its pixel size of exactly 1 may only be a default",) if plain else ())


def _read_arrays(path: Path) -> list[Record]:
    """Numpy's arrays, which may hold any number of dimensions."""
    arrays = load_arrays(path)
    given = [(key, unit) for key, unit in SIZES.items() if key in arrays]
    steps = arrays[given[0][0]].astype(float).ravel() * angstrom(given[0][1]) if given else None
    names = [name for name, data in arrays.items() if data.ndim >= 2 or path.suffix == ".npy"]
    names.sort(key=lambda name: name != "image")  # the name that our own archives use
    return [_array(name, arrays[name], steps) for name in names]


def _array(name: str, data: NDArray[Any], steps: NDArray[np.float64] | None) -> Record:
    """An array whose last axis of two to four is of colors, where there are three."""
    colors = data.ndim == 3 and data.shape[2] in (2, 3, 4)
    axes = [FileAxis()] * (data.ndim - colors)
    if steps is not None:
        axes[-2:] = [FileAxis("y", steps[0], "Å"), FileAxis("x", steps[-1], "Å")]
    return Record(name, data, tuple(axes), colors)


def _read_text(path: Path) -> list[Record]:
    """Numbers in rows; ``# Width: 15 nm`` and ``# Height: 15 nm`` are the field of view.

    Heights that are said to be in a unit of length are converted to Å.
    """
    header = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.startswith("#"):
                break
            key, _, value = line.lstrip("# ").partition(":")
            header[key.strip().lower()] = value.strip()
    data = np.loadtxt(path, ndmin=2)
    if data.shape[1] < FEWEST_COLUMNS:
        raise UserError(
            f"{path.name} holds {data.shape[0]} rows of {data.shape[1]} numbers, which is a curve "
            "and no image; choose a forward model of curves for it"
        )
    fields = [_length(header.get(key, "")) for key in ("height", "width")]
    sizes = zip("yx", fields, data.shape, strict=True)
    axes = tuple(FileAxis(name, field / size, "Å") for name, field, size in sizes)
    unit = angstrom(header.get("value units", ""))
    notes = (f"heights converted from {header['value units']} to Å",) if unit else ()
    return [Record(header.get("channel", ""), data * (unit or 1.0), axes, notes=notes)]


def _length(text: str) -> float:
    """A length [Å] like ``15 nm``; 0 where it is none."""
    match = re.fullmatch(r"([-+.\deE]+)\s*(\S+)", text)
    return float(match[1]) * angstrom(match[2]) if match else 0.0


def _chosen(records: list[Record], signal: str | None, path: Path) -> Record:
    """The signal of that name, or the only one, or in an archive of numpy's the one named image."""
    file = path.name
    if not records:
        raise UserError(f"{file} holds no image, only spectra or numbers; give an image")
    names = [record.name for record in records]
    listed = ", ".join(f"{r.name} ({' x '.join(map(str, r.data.shape))})" for r in records)
    if signal is not None:
        alike = [r for r in records if r.name == signal]
        alike = alike or [r for r in records if r.name.lower() == signal.lower()]
        if len(alike) == 1:
            return alike[0]
        raise UserError(
            f"{file} has no signal {signal}, {plugins.suggest(signal, names)}: {listed}"
        )
    if len(records) > 1 and not (path.suffix.lower() == ".npz" and names[0] == "image"):
        raise UserError(
            f"{file} holds {len(records)} signals: {listed}; "
            f"choose one with the experiment's signal, such as signal: {names[0]}"
        )
    return records[0]


def _plane(record: Record, channel: int | None, file: str) -> NDArray[Any]:
    """One image (ny, nx), or its colors (ny, nx, n) without transparency, of the file's type."""
    data, colors = record.data, record.colors
    frames = data.shape[: data.ndim - colors - 2]
    if len(frames) > 1 or data.ndim < 2:
        raise UserError(
            f"the image {file} has {data.ndim} dimensions; give a single two-dimensional image"
            + (SCAN if data.ndim >= 4 else "")
        )
    series = bool(frames)
    count = frames[0] if series else data.shape[-1] if colors else 1
    if channel is not None and not 0 <= channel < count:
        if count == 1:
            raise UserError(f"{file} has one channel; leave channel {channel} out")
        raise UserError(f"{file} has no channel {channel}; give one from 0 to {count - 1}")
    if series and channel is None and count > 1:
        raise UserError(
            f"{file} is a series of {count} images; choose one with channel, from 0 to {count - 1}"
        )
    if series:
        data = data[channel or 0]
    elif colors and channel is not None:
        return np.asarray(data[..., channel])
    if not colors:
        return np.asarray(data)
    return data[..., :3] if data.shape[-1] > 2 else data[..., 0]  # two: gray and transparency
