"""Experiments in, structures and tables out."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import write
from numpy.typing import NDArray

from htinvert.core import Signal, UserError

RASTER = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
ARRAY = (".npy", ".npz", ".txt")


def read_image(
    path: Path,
    *,
    sampling: float | tuple[float, float] | None = None,
    crop: tuple[int, int, int, int] | None = None,
) -> Signal:
    """Read a micrograph as an image (y, x); ``crop`` is top, bottom, left, right [px].

    ``sampling`` [Å/px], one number or (y, x), replaces what the file says. Colors are averaged to
    gray, transparency is left out. Raises :class:`UserError` where the file is missing or
    unreadable, no pixel size is known, or the crop leaves nothing.
    """
    if not path.is_file():
        raise UserError(f"there is no image {path}; check the experiment's image")
    pixels, found = _read(path)
    steps = sampling if sampling is not None else found
    if steps is None:
        raise UserError(
            f"{path.name} has no pixel size; set the experiment's sampling [Å/px], such as 0.25"
        )
    if not np.isfinite(pixels).all():
        raise UserError(f"{path.name} has pixels that are not finite numbers; mask or crop them")
    return Signal.image(_cropped(pixels, crop, path.name), steps)


def write_structures(path: Path, structures: Iterable[Atoms]) -> None:
    """Write structures as extended XYZ, or as numbered files where the format holds only one."""
    structures = list(structures)
    if path.suffix == ".xyz":
        write(path, structures, format="extxyz")
        return
    for number, atoms in enumerate(structures, 1):
        write(path.with_stem(f"{path.stem}-{number:02d}"), atoms)


def write_table(path: Path, rows: list[Mapping[str, Any]]) -> None:
    """Write rows, all with the same columns, as comma-separated values with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


def _read(path: Path) -> tuple[NDArray[np.float64], float | tuple[float, float] | None]:
    """Pixels as float64, shape (ny, nx), and the pixel size [Å/px] where the file has one."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                sampling = archive["sampling"].ravel() if "sampling" in archive else None
                return _gray(archive["image"]), _steps(sampling)
        if suffix == ".npy":
            return _gray(np.load(path, allow_pickle=False)), None
        if suffix == ".txt":
            return _gray(np.loadtxt(path)), None
        if suffix in RASTER:
            from imageio.v3 import imread

            return _gray(imread(path.read_bytes(), extension=suffix)), None
    except UserError:
        raise
    except Exception as error:  # image readers raise whatever their parsers raise
        raise UserError(f"{path.name} could not be read as an image ({error})") from error
    raise UserError(
        f"{path.name} is of a kind that is not read; known are {', '.join(RASTER + ARRAY)}"
    )


def _steps(sampling: NDArray[np.float64] | None) -> float | tuple[float, float] | None:
    if sampling is None:
        return None
    return (float(sampling[0]), float(sampling[-1]))


def _gray(pixels: NDArray[Any]) -> NDArray[np.float64]:
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = pixels[..., :-1]
    gray = pixels.mean(axis=2) if pixels.ndim == 3 else pixels
    if gray.ndim != 2:
        raise UserError(
            f"the image has {pixels.ndim} dimensions; give a single two-dimensional image"
        )
    return np.asarray(gray, dtype=np.float64)


def _cropped(
    pixels: NDArray[np.float64], crop: tuple[int, int, int, int] | None, name: str
) -> NDArray[np.float64]:
    if crop is None:
        return pixels
    top, bottom, left, right = crop
    height, width = pixels.shape
    if not (0 <= top < bottom <= height and 0 <= left < right <= width):
        raise UserError(
            f"crop {list(crop)} does not fit {name}, which is {height} x {width} px; "
            "give top, bottom, left, right with top < bottom and left < right"
        )
    return pixels[top:bottom, left:right]
