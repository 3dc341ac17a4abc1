"""TIFF: every page of every compression by tifffile, as one sees it; pixel sizes by many tags."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from htinvert.core import UserError
from htinvert.image.instrument import jeol_axes
from htinvert.image.plausible import shows_atoms
from htinvert.image.record import FileAxis, Record
from htinvert.image.units import known_unit

WHITE_IS_ZERO, PALETTE, INKS = 0, 3, 5
COLORED = (2, 3, 5, 6)  # RGB, palette, CMYK, YCbCr
ALPHA = (1, 2)  # kinds of extra samples that are transparency
PRINTED = "its resolution is one for printing, not a pixel size"
OME_LENGTH = "µm"  # where an OME-TIFF gives none
PER_UNIT = {2: 2.54e8, 3: 1e8}  # Å in TIFF's inch and centimeter

GATAN_UNIT, GATAN_X, GATAN_Y = 65003, 65009, 65010  # tags
JEOL = "JEOL Ltd."
ZEISS_SCREEN = 1024  # px, for which Zeiss gives the size

Two = tuple[FileAxis, FileAxis]


def read_tiff(path: Path) -> list[Record]:
    """One record per series of pages that are alike; thumbnails are left out."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        series = [part for part in file.series if len(part.shape) >= 2]
        whole = [part for part in series if not part.keyframe.is_reduced] or series
        records = []
        for number, part in enumerate(whole, 1):
            name = "image" if number == 1 else f"image#{number}"
            records.append(_record(path, file, part, name, file.series.index(part)))
    return records


def _record(path: Path, file: Any, series: Any, name: str, index: int) -> Record:
    page = series.keyframe
    try:
        data = series.asarray()
    except ImportError as error:
        raise UserError(
            f"{path.name} is compressed in a way that needs another package ({error}); pip install "
            "imagecodecs, or save it without compression"
        ) from error
    data, letters = _in_order(data, str(series.axes))
    shown, colors, notes = _as_seen(data, page, letters, bool(file.is_imagej))
    turned = int(page.tags["Orientation"].value) if "Orientation" in page.tags else 1
    shown = _turned(shown, turned, colors=colors)
    axes, said = _axes(path, file, page, index)
    axes = axes[::-1] if turned > 4 else axes
    leading = tuple(FileAxis() for _ in range(shown.ndim - colors - 2))
    return Record(name, shown, (*leading, *axes), colors, notes=(*notes, *said))


def _in_order(data: NDArray[Any], letters: str) -> tuple[NDArray[Any], str]:
    """Frames in one axis before rows, columns, and what samples a pixel has; its axes' letters."""
    if not {"Y", "X"} <= set(letters):
        letters = letters[:-2] + "YX" if "S" not in letters else letters[:-3] + "YXS"
    last = "YXS" if "S" in letters else "YX"
    rest = [i for i, letter in enumerate(letters) if letter not in last]
    data = np.transpose(data, [*rest, *(letters.index(letter) for letter in last)])
    frames = int(np.prod(data.shape[: len(rest)], dtype=int))
    shape = data.shape[len(rest) :]
    if frames == 1:
        return data.reshape(shape), last
    return data.reshape(frames, *shape), f"I{last}"


def _as_seen(
    data: NDArray[Any], page: Any, letters: str, imagej: bool
) -> tuple[NDArray[Any], bool, tuple[str, ...]]:
    """Values that rise with what is seen, whether the last axis is of colors, and a note."""
    photometric = int(page.photometric)
    colors = False
    notes: tuple[str, ...] = ()
    if letters.endswith("S"):
        extra = tuple(int(kind) for kind in page.extrasamples)
        if extra and extra[-1] in ALPHA:
            data = data[..., : -len(extra)]
        if photometric == INKS and data.shape[-1] == 4:
            light = 1.0 - data / (2.0 ** int(page.bitspersample) - 1.0)
            data = (2 ** int(page.bitspersample) - 1) * light[..., :3] * light[..., 3:]
        colors = photometric in COLORED
        if data.shape[-1] == 1:
            data, colors = data[..., 0], False
        elif not colors:  # detectors, each an image
            data = np.moveaxis(data, -1, 0)
            data = data.reshape(-1, *data.shape[-2:])
    if photometric == WHITE_IS_ZERO:
        data = _inverted(data, int(page.bitspersample))
        notes = ("in it white is the smallest value (MinIsWhite): inverted",)
    if photometric == PALETTE and page.colormap is not None and not imagej:
        data, colors = np.moveaxis(np.asarray(page.colormap)[:, data], 0, -1), True
    return data, colors, notes


def _inverted(data: NDArray[Any], bits: int) -> NDArray[Any]:
    """White for black: an unsigned value less than the largest of its bits, others negative."""
    if data.dtype.kind == "b":
        return np.logical_not(data)
    if data.dtype.kind == "u":
        return np.asarray((2**bits - 1) - data, dtype=data.dtype)
    return np.asarray(~data if data.dtype.kind == "i" else -data)


def _turned(data: NDArray[Any], orientation: int, *, colors: bool) -> NDArray[Any]:
    """Rows from the top and columns from the left, by TIFF's eight orientations."""
    y, x = (-3, -2) if colors else (-2, -1)
    if orientation in (5, 6, 7, 8):
        data = np.swapaxes(data, y, x)
    if orientation in (2, 3, 6, 7):
        data = np.flip(data, x)
    if orientation in (3, 4, 7, 8):
        data = np.flip(data, y)
    return data


def _axes(path: Path, file: Any, page: Any, index: int) -> tuple[Two, tuple[str, ...]]:
    """Rows and columns by OME, by what instruments write, by ImageJ, by the resolution."""
    if file.ome_metadata and (found := _ome(file.ome_metadata, index)):
        return found, ()
    if found := _vendor(file, page):
        return found, ()
    if "Make" in page.tags and page.tags["Make"].value == JEOL and (found := jeol_axes(path)):
        return found, ()
    unit = str((file.imagej_metadata or {}).get("unit") or "")
    return _resolution({tag.name: tag.value for tag in page.tags}, unit)


def _ome(text: str, index: int) -> Two | None:
    """Sizes of the pixels of an image in OME's XML, if it gives both."""
    root = ElementTree.fromstring(text)  # noqa: S314  (expat bounds what entities unfold to)
    pixels = [node for node in root.iter() if node.tag.rsplit("}")[-1] == "Pixels"]
    if index >= len(pixels):
        return None
    said = pixels[index].attrib
    if not {"PhysicalSizeX", "PhysicalSizeY"} <= said.keys():
        return None
    y, x = (
        FileAxis(
            name.lower(),
            float(said[f"PhysicalSize{name}"]),
            said.get(f"PhysicalSize{name}Unit", OME_LENGTH),
        )
        for name in "YX"
    )
    return y, x


def _vendor(file: Any, page: Any) -> Two | None:
    """Sizes of the pixels by what FEI, Zeiss, TVIPS, Olympus and Gatan write."""
    tags = {tag.code: tag.value for tag in page.tags}
    scan = (file.fei_metadata or {}).get("Scan", {}) if file.is_fei else {}
    zeiss = tuple((file.sem_metadata or {}).get("", ())) if file.is_sem else ()
    screen = dict.fromkeys("yx", zeiss[3] * ZEISS_SCREEN / page.imagewidth) if zeiss[3:] else {}
    tvips = (file.tvips_metadata or {}) if file.is_tvips else {}
    sis = (file.sis_metadata or {}) if file.is_sis else {}
    said: tuple[tuple[Mapping[Any, Any], Any, Any, str], ...] = (
        (scan, "PixelHeight", "PixelWidth", "m"),
        (screen, "y", "x", "m"),
        (tvips, "PixelSizeY", "PixelSizeX", "nm"),
        (sis, "pixelsizey", "pixelsizex", "m"),
        (tags, GATAN_Y, GATAN_X, str(tags.get(GATAN_UNIT, ""))),
    )
    for values, y, x, unit in said:
        if {y, x} <= values.keys():
            return FileAxis("y", float(values[y]), unit), FileAxis("x", float(values[x]), unit)
    return None


def _resolution(tags: dict[str, Any], unit: str) -> tuple[Two, tuple[str, ...]]:
    """By TIFF's own tags: in ImageJ's unit, or a resolution that could show atoms."""
    nothing = FileAxis("y"), FileAxis("x")
    if not {"XResolution", "YResolution"} <= tags.keys():
        return nothing, ()
    steps = [_per(tags[name]) for name in ("YResolution", "XResolution")]
    if min(steps) <= 0.0:
        return nothing, ()
    if known_unit(unit) is not None:
        return (FileAxis("y", steps[0], unit), FileAxis("x", steps[1], unit)), ()
    length = PER_UNIT.get(int(tags.get("ResolutionUnit", 1)), 0.0)
    if length and all(shows_atoms(step * length) for step in steps):
        y, x = (FileAxis(name, step * length, "Å") for name, step in zip("yx", steps, strict=True))
        return (y, x), ()
    return nothing, (PRINTED,)


def _per(resolution: Sequence[int]) -> float:
    """Length of a pixel of a resolution that is given as a fraction; 0 where it is none."""
    pixels, lengths = resolution
    return lengths / pixels if pixels > 0 and lengths > 0 else 0.0
