"""Which reader takes which file: values and axes as they are, for images and patterns."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

from htinvert.image.instrument import read_instrument
from htinvert.image.mrc import read_mrc
from htinvert.image.picture import read_picture
from htinvert.image.record import Record
from htinvert.image.tiff import read_tiff

INSTRUMENTS: Mapping[str, str] = {
    ".dm3": "digitalmicrograph",
    ".dm4": "digitalmicrograph",
    ".emd": "emd",
    ".hspy": "hspy",
    ".ser": "tia",
    ".blo": "blockfile",
    ".mib": "quantumdetector",
    ".xml": "empad",
    ".h5": "arina",
    ".tvips": "tvips",
    ".de5": "emd",
    ".nxs": "nexus",
    ".prz": "pantarhei",
    ".zspy": "zspy",
}  # and the name that rosettasciio gives its reader
MRC = (".mrc", ".mrcs", ".map", ".st", ".rec")
TIFF = (".tif", ".tiff")
PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
READERS = (*INSTRUMENTS, *MRC, *TIFF, *PICTURES)


def read_records(
    path: Path,
    *,
    images_only: bool = False,
    lazy: bool = False,
    places: tuple[int, int] | None = None,
) -> list[Record]:
    """All that a file holds of two dimensions or more, by the ending of its name.

    With ``images_only`` spectra that lie beside images are not loaded; with ``lazy`` values stay in
    the file where its reader can leave them there, until a part is taken; ``places`` are rows and
    columns of a scan whose file has no word of them. Raises whatever a reader does, see
    :func:`htinvert.image.parsing.parsing`.
    """
    ending = path.suffix.lower()
    if ending in MRC and not _is_scan(path):
        return read_mrc(path)
    if ending in TIFF:
        return read_tiff(path)
    if ending in PICTURES:
        return read_picture(path)
    images = ending == ".emd" and images_only
    options: dict[str, Any] = {"select_type": "images"} if images else {}
    if ending == ".mib" and places is not None:
        options["navigation_shape"] = places[::-1]
    return read_instrument(path, INSTRUMENTS.get(ending, "mrc"), lazy=lazy, **options)


def _is_scan(path: Path) -> bool:
    """Whether an MRC file is a scan of Direct Electron's, described in a text beside it."""
    start, ends, _ = path.stem.rpartition("_movie")
    return bool(ends) and any(path.parent.glob(f"{escape(start)}*info.txt"))
