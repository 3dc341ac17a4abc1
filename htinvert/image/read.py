"""Micrographs as instruments write them; the only module that loads rosettasciio, which is GPL-3.

A header is read, not trusted: a pixel size that could show no atoms is refused, one that the
experiment gives replaces it, and :func:`describe` says what was found.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert import plugins
from htinvert.core import Signal, UserError
from htinvert.image.parsing import close_files, parsing
from htinvert.image.plausible import (
    Steps,
    check_saturation,
    check_steps,
    saturation_notes,
    shows_atoms,
)
from htinvert.image.prepare import crop as cropped
from htinvert.image.prepare import prepare as prepared
from htinvert.image.sizes import check_size, load_arrays

READERS = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".hspy": "hspy",
    ".mrc": "mrc",
    ".ser": "tia",
    ".tif": "tiff",
    ".tiff": "tiff",
}
PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz", ".txt")
LENGTHS = {
    **dict.fromkeys(("Å", "\u212b", "A", "angstrom", "angstroms"), 1.0),  # \u212b: the unit's sign
    **dict.fromkeys(("µm", "\u03bcm", "um", "micron", "microns"), 1e4),  # µ and mu
    **{"pm": 0.01, "nm": 10.0, "mm": 1e7, "cm": 1e8, "m": 1e10},
}  # in Å
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


@dataclass(frozen=True, eq=False)
class _ImageRecord:
    """One signal of a file as it is: two dimensions, or three, the last of them of colors."""

    name: str
    data: NDArray[Any]
    steps: Steps | None = None
    detector: str = ""
    notes: tuple[str, ...] = ()


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
    averaged to gray, transparency is left out. ``crop`` is top, bottom, left, right [px].

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
    """An image as :func:`read_image` reads it, and what its file says; read once."""
    pixels, source = _read(path, signal, channel)
    steps = source.sampling if sampling is None else sampling
    if steps is None:
        raise UserError(
            f"{path.name} has no pixel size; set the experiment's sampling [Å/px], such as 0.25"
        )
    check_steps((steps, steps) if isinstance(steps, int | float) else steps, path.name)
    with np.errstate(over="ignore"):  # becomes infinite, which is refused below
        image = Signal.image(pixels, steps)
    del pixels  # a large frame is not kept twice
    try:
        if crop is not None:
            image = cropped(image, crop)
        image = prepared(image, prepare)
    except UserError as error:
        raise UserError(f"{path.name}: {error}") from error
    if not np.isfinite(image.data).all():
        raise UserError(f"{path.name} has pixels that are not finite numbers; mask or crop them")
    if np.ptp(image.data) == 0:
        raise UserError(f"{path.name} is the same everywhere; check the file, its crop and prepare")
    check_saturation(image.data, path.name)
    return image, source


def describe(path: Path, *, signal: str | None = None, channel: int | None = None) -> Source:
    """Say what a file holds, before anything is made of it; see :func:`read_image`."""
    return _read(path, signal, channel)[1]


def _read(path: Path, signal: str | None, channel: int | None) -> tuple[NDArray[Any], Source]:
    """Pixels, shape (ny, nx), of the file's type, and what the file says of them."""
    record = _chosen(_records(path), signal, path)
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
    notes = (*record.notes, *colors, *saturation_notes(pixels))
    shape = (pixels.shape[0], pixels.shape[1])
    source = Source(
        path.name, record.name, shape, str(pixels.dtype), record.steps, record.detector, notes
    )
    return gray, source


def _records(path: Path) -> list[_ImageRecord]:
    """All signals of a file that could be an image."""
    if not path.is_file():
        raise UserError(f"there is no image {path}; check the experiment's image")
    suffix = path.suffix.lower()
    known = (*READERS, *PICTURES, *ARRAYS)
    if suffix not in known:
        raise UserError(f"{path.name} is of a kind that is not read; known are {', '.join(known)}")
    if path.stat().st_size > LARGEST_FILE:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 1e9:.1f} GB, more than the "
            f"{LARGEST_FILE / 1e9:.0f} GB that are read; export the one image to be compared"
        )
    with parsing(path, "an image", "it may be truncated, copy it again or export it as tif"):
        check_size(path)
        if suffix in READERS:
            return _read_instrument(path, READERS[suffix])
        return _read_text(path) if suffix == ".txt" else _read_plain(path, suffix)


def _read_instrument(path: Path, reader: str) -> list[_ImageRecord]:
    """What rosettasciio finds, one record per signal of two dimensions or more."""
    options = {"select_type": "images"} if reader == "emd" else {}  # leave its spectra alone
    try:
        signals = importlib.import_module(f"rsciio.{reader}").file_reader(str(path), **options)
    except Exception as error:
        if reader != "tiff":
            raise
        close_files(error)
        return _read_compressed(path)
    records: list[_ImageRecord] = []
    for found in signals:
        data = np.asarray(found["data"])
        if data.dtype.names:  # colors as a structure
            data = np.stack([data[name] for name in data.dtype.names], axis=-1)
        if data.ndim < 2:
            continue
        axes = [axis for axis in found["axes"] if not axis.get("navigate")][-2:]
        if len(axes) < 2:
            axes = list(found["axes"])[-2:]
        title = str(found["metadata"].get("General", {}).get("title") or "image")
        names = {record.name for record in records}
        title = title if title not in names else f"{title}#{len(names) + 1}"
        steps, notes = _steps_of(axes, path, reader)
        records.append(_ImageRecord(title, data, steps, _detector(found), notes))
    return records


def _read_compressed(path: Path) -> list[_ImageRecord]:
    """A TIFF by pillow, for compressions that tifffile leaves to a package of its own."""
    from imageio.v3 import imread

    steps, notes = _tiff_steps(path)
    return [_ImageRecord("image", imread(path, plugin="pillow"), steps, notes=notes)]


def _steps_of(
    axes: list[Mapping[str, Any]], path: Path, reader: str
) -> tuple[Steps | None, tuple[str, ...]]:
    """Pixel size [Å/px] (y, x) from a reader's axes, and what is to be said of it."""
    units = [str(axis.get("units") or "").strip() for axis in axes]
    values = [abs(float(axis.get("scale", 0))) for axis in axes]
    if any("1/" in unit.replace(" ", "") or "^-1" in unit for unit in units):
        raise UserError(
            f"{path.name} is a diffraction pattern or Fourier transform with axes in {units[0]}; "
            "give an image"
        )
    if reader == "tiff" and not all(unit in LENGTHS for unit in units):
        return _tiff_steps(path)
    if reader == "mrc" and values == [1.0, 1.0]:  # rosettasciio's word for none
        return None, ()
    if not all(unit in LENGTHS for unit in units) or not all(0 < v < np.inf for v in values):
        return None, ()
    y, x = (value * LENGTHS[unit] for value, unit in zip(values, units, strict=True))
    ones = ("its pixel size of exactly 1 may only be a default",) if values == [1.0, 1.0] else ()
    return (y, x), ones


def _tiff_steps(path: Path) -> tuple[Steps | None, tuple[str, ...]]:
    """Pixel size by TIFF's own tags: ImageJ's unit, or a resolution that could show atoms."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        tags = {tag.name: tag.value for tag in file.pages.first.tags}
        unit = _unescaped(str((file.imagej_metadata or {}).get("unit", "")))
    if not {"XResolution", "YResolution"} <= tags.keys():
        return None, ()
    (y, y_per), (x, x_per) = tags["YResolution"], tags["XResolution"]
    if min(y, x) <= 0:
        return None, ()
    inch_or_centimeter = {2: 2.54e8, 3: 1e8}.get(int(tags.get("ResolutionUnit", 1)), 0.0)
    length = LENGTHS.get(unit, inch_or_centimeter)
    steps = (y_per / y * length, x_per / x * length)
    if unit in LENGTHS or all(map(shows_atoms, steps)):
        return steps, ()
    return None, ("its resolution is one for printing, not a pixel size",)


def _unescaped(text: str) -> str:
    r"""Text with ImageJ's escapes, as ``\u00C5`` for Å, replaced by what they stand for."""
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda code: chr(int(code[1], 16)), text)


def _detector(found: Mapping[str, Any]) -> str:
    """The detector's name where the metadata has one in a place that we know."""
    tem = found["metadata"].get("Acquisition_instrument", {}).get("TEM", {})
    detector = tem.get("Detector") or tem.get("detector") or ""
    return detector if isinstance(detector, str) else ", ".join(map(str, detector))


def _read_plain(path: Path, suffix: str) -> list[_ImageRecord]:
    """Pictures and numpy's arrays, which may hold any number of dimensions."""
    if suffix in PICTURES:
        from imageio.v3 import imread

        note = "a picture has no pixel size and few gray levels, prefer the instrument's own file"
        return [_ImageRecord("", imread(path.read_bytes(), extension=suffix), notes=(note,))]
    arrays = load_arrays(path)
    if suffix == ".npy":
        return [_ImageRecord("", data) for data in arrays.values()]
    given = [key for key in ("sampling", "pixel_size_angstrom") if key in arrays]
    size = arrays[given[0]].ravel() if given else None
    steps = (float(size[0]), float(size[-1])) if size is not None else None
    names = [name for name, data in arrays.items() if data.ndim >= 2]
    names.sort(key=lambda name: name != "image")  # the name that our own archives use
    return [_ImageRecord(name, arrays[name], steps) for name in names]


def _read_text(path: Path) -> list[_ImageRecord]:
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
    steps = None
    if all(fields):
        steps = (fields[0] / data.shape[0], fields[1] / data.shape[1])
    unit = LENGTHS.get(header.get("value units", ""), 0.0)
    notes = (f"heights converted from {header['value units']} to Å",) if unit else ()
    return [_ImageRecord(header.get("channel", ""), data * (unit or 1.0), steps, notes=notes)]


def _length(text: str) -> float:
    """A length [Å] like ``15 nm``; 0 where it is none."""
    match = re.fullmatch(r"([-+.\deE]+)\s*(\S+)", text)
    return float(match[1]) * LENGTHS.get(match[2], 0.0) if match else 0.0


def _chosen(records: list[_ImageRecord], signal: str | None, path: Path) -> _ImageRecord:
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


def _plane(record: _ImageRecord, channel: int | None, file: str) -> NDArray[Any]:
    """One image (ny, nx), or its colors (ny, nx, n) without transparency, of the file's type."""
    data = record.data
    colored = data.ndim == 3 and data.shape[2] in (2, 3, 4)
    if not colored:
        data = data.reshape([n for n in data.shape if n != 1] if data.ndim > 2 else data.shape)
    if data.ndim not in (2, 3):
        raise UserError(
            f"the image {file} has {data.ndim} dimensions; give a single two-dimensional image"
        )
    if data.ndim == 2:
        if channel:
            raise UserError(f"{file} has one channel; leave channel {channel} out")
        return data
    count = data.shape[2] if colored else data.shape[0]
    if channel is not None and not 0 <= channel < count:
        raise UserError(f"{file} has no channel {channel}; give one from 0 to {count - 1}")
    if colored:
        if channel is None:  # two are gray and transparency
            return data[..., :3] if count > 2 else data[..., 0]
        return data[..., channel]
    if channel is None:
        raise UserError(
            f"{file} is a series of {count} images; choose one with channel, from 0 to {count - 1}"
        )
    return np.asarray(data[channel])
