"""Diffraction patterns and scans of them as detectors write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from htinvert.core import Axis, Signal, UserError
from htinvert.image.files import READERS, read_records
from htinvert.image.parsing import parsing
from htinvert.image.record import LOST, Record
from htinvert.image.sizes import check_size, load_arrays
from htinvert.image.units import RECIPROCAL, angstrom, known_unit
from htinvert.signals.scan import LARGEST, Flat, InParts, PatternScan, Reordered, Section

ARRAYS = (".npy", ".npz", ".zarr")
RAW = ".raw"  # of EMPAD, whose frames have two rows of its own below the pattern
FOLDERS = (".zarr", ".zspy")
LAZY = (
    *(".npy", ".zarr", ".raw", ".xml", ".mib", ".blo", ".hspy", ".zspy", ".emd", ".de5", ".dm3"),
    *(".dm4", ".nxs", ".tvips", ".prz", ".ser", ".mrc"),
)  # kinds that are left in the file
FRAME = (130, 128)
AXES = ("ky", "kx")


@dataclass(frozen=True, eq=False)
class _Record:
    """Values (..., ny, nx), step per detector pixel and its unit, steps of the scan [Å]."""

    data: InParts
    steps: tuple[float, float] | None = None
    unit: str = ""
    scan: tuple[float, ...] = ()


def read_pattern(
    path: Path,
    *,
    sampling: float | tuple[float, float] | None = None,
    unit: str | None = None,
    scan: float | None = None,
) -> tuple[Signal, str]:
    """Read a pattern (ky, kx), or a scan of them (y, x, ky, kx), and say what the file holds.

    Arguments and errors are those of :func:`open_patterns`; :class:`UserError` too where there are
    more than 2 GB.
    """
    found = open_patterns(path, sampling=sampling, unit=unit, scan=scan)
    pattern = found.load()
    return pattern, f"{path.name}: {words(pattern)}"


def open_patterns(
    path: Path,
    *,
    sampling: float | tuple[float, float] | None = None,
    unit: str | None = None,
    scan: float | None = None,
    places: tuple[int, int] | None = None,
    exchanged: bool = False,
    bare: bool = False,
) -> PatternScan:
    """A pattern (ky, kx), or a scan of them (y, x, ky, kx), left in its file where that can be.

    Args:
        path: what rosettasciio reads of diffraction data, EMPAD's raw file, a picture, ``.npy``,
            ``.npz`` or ``.zarr``.
        sampling: step per pixel (y, x) in ``unit``; replaces what the file says.
        unit: ``1/Å`` or ``mrad``; files in 1/nm are converted.
        scan: step of the scan [Å]; 1 where nobody says.
        places: rows and columns of the scan, for a file that holds frames in a row.
        exchanged: the file has the axes of the scan last.
        bare: a file without a step is taken as it is, with axes in px.

    The zero of both axes is the middle pixel, n // 2, until a step centers it.

    Raises:
        UserError: where the file is missing, of another kind, or has no step.
    """
    record = _ordered(_record(path, places), places, exchanged=exchanged, file=path.name)
    steps = record.steps if sampling is None else sampling
    if steps is None and not bare:
        raise UserError(
            f"{path.name} has no step per pixel; set the experiment's sampling, such as 0.02, and "
            "its unit, 1/Å or mrad, or disk, the radius of the bright disk [mrad]"
        )
    chosen = unit or (record.unit if sampling is None else "") or RECIPROCAL[0]
    known = ("px", 1.0) if steps is None else known_unit(chosen)
    if known is None or known[0] not in (*RECIPROCAL, "px"):
        raise UserError(f"{path.name} has axes in {chosen}; a pattern has them in 1/Å or mrad")
    pair = (1.0, 1.0) if steps is None else steps
    pair = (pair, pair) if isinstance(pair, int | float) else pair
    pair = (pair[0] * known[1], pair[1] * known[1])
    if not all(0.0 < step < np.inf for step in pair):
        raise UserError(f"{path.name} has steps of {pair[0]:g} and {pair[1]:g}; give them above 0")
    before = record.data.ndim - 2
    across = (float(scan),) * before if scan else record.scan or (1.0,) * before
    axes = pattern_axes(record.data.shape, pair, unit=known[0], scan=across)
    return PatternScan(record.data, axes, path.name)


def pattern_axes(
    shape: tuple[int, ...],
    sampling: tuple[float, float],
    *,
    unit: str = "1/Å",
    scan: tuple[float, ...] = (),
) -> tuple[Axis, ...]:
    """Axes of patterns of a ``shape``; see :func:`pattern_signal`."""
    axes = [
        Axis(name, "Å", float(step)) for name, step in zip("yx"[2 - len(scan) :], scan, strict=True)
    ]
    for name, step, size in zip(AXES, sampling, shape[-2:], strict=True):
        axes.append(Axis(name, unit, float(step), -float(step) * (size // 2)))
    return tuple(axes)


def pattern_signal(
    data: NDArray[Any],
    sampling: float | tuple[float, float],
    *,
    unit: str = "1/Å",
    scan: tuple[float, ...] = (),
) -> Signal:
    """A pattern (ky, kx), or a scan of them (y, x, ky, kx), from its values.

    ``sampling`` is in ``unit`` per pixel, one number or (ky, kx); ``scan`` the step of each axis
    before the last two [Å]. The zero of both axes is the middle pixel, index n // 2.
    """
    steps = (sampling, sampling) if isinstance(sampling, int | float) else sampling
    axes = pattern_axes(data.shape, steps, unit=unit, scan=scan)
    return Signal(np.ascontiguousarray(data, dtype=np.float32), axes)


def words(pattern: Signal | PatternScan) -> str:
    """Pixels, their size, and the scan, as ``256 x 256 px of 0.5 x 0.5 mrad, 8 x 8 places``."""
    one = pattern if isinstance(pattern, Signal) else pattern.pattern
    (ny, nx), axes = one.data.shape[-2:], one.axes[-2:]
    text = f"{ny} x {nx} px of {axes[0].step:.4g} x {axes[1].step:.4g} {axes[1].unit}"
    before = pattern.data.shape[:-2]
    if before:
        steps = " x ".join(f"{axis.step:.4g}" for axis in pattern.axes[: len(before)])
        text += f", {' x '.join(map(str, before))} places of {steps} Å"
    return text


def _record(path: Path, places: tuple[int, int] | None) -> _Record:
    """What a file holds, by its ending."""
    ending = path.suffix.lower()
    if path.is_dir() and ending not in FOLDERS:
        raise UserError(f"{path.name} is a folder; give a file, such as the patterns as .npy")
    if not path.exists():
        raise UserError(f"there is no file {path}; check the experiment's data")
    if ending not in (*READERS, *ARRAYS, RAW):
        known = ", ".join((*READERS, *ARRAYS, RAW))
        raise UserError(f"{path.name} is of a kind that is not read as a pattern; known: {known}")
    if ending not in LAZY and path.stat().st_size > LARGEST:
        raise UserError(
            f"{path.name} has {path.stat().st_size / 1e9:.1f} GB, more than the "
            f"{LARGEST / 1e9:.0f} GB that are read of a {ending}; write it as npy, hspy or zarr"
        )
    with parsing(path, "a pattern", "it may be truncated, copy it again or export it as npy"):
        record = _read(path, ending, places)
    data = record.data
    sizes = data.shape[-2:]
    if data.ndim < 2 or data.ndim > 4 or min(sizes) < 2 or data.dtype.kind not in "biuf":
        raise UserError(
            f"{path.name} holds {data.dtype} of shape {data.shape}; give one pattern, a row or a "
            "scan of them"
        )
    return record


def _read(path: Path, ending: str, places: tuple[int, int] | None) -> _Record:
    if ending == ".npy":
        return _Record(_flat(path))
    if ending == ".zarr":
        return _of_zarr(path)
    if ending == RAW and not path.with_suffix(".xml").is_file():
        return _Record(_of_empad(path, places))
    if ending not in LAZY:
        check_size(path)
    if ending == ".npz":
        return _of_arrays(path, load_arrays(path))
    if ending in (".dm3", ".dm4", ".mrc"):
        check_size(path)
    read = path.with_suffix(".xml") if ending == RAW else path
    records = read_records(read, lazy=ending in LAZY, places=places)
    if not records:
        raise UserError(f"{path.name} holds no pattern, only spectra or numbers")
    return _of_instrument(max(records, key=lambda record: record.data.ndim))


def _flat(path: Path) -> Flat:
    """The array of numpy's file, by its header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
        offset = file.tell()
    if dtype.hasobject or size - offset < dtype.itemsize * int(np.prod(shape, dtype=object)):
        raise ValueError(f"its header says {dtype} of shape {shape}, which it does not hold")
    return Flat(path, dtype, tuple(shape), offset, fortran=fortran)


def _of_empad(path: Path, places: tuple[int, int] | None) -> InParts:
    """Frames of 130 x 128 floats, of which the last two rows are the detector's own."""
    frames, rest = divmod(path.stat().st_size, 4 * FRAME[0] * FRAME[1])
    side = isqrt(frames)
    if rest or not frames:
        raise UserError(
            f"{path.name} is not a whole number of frames of EMPAD, 130 x 128 floats; put its xml "
            "beside it, or write it as npy"
        )
    if places is None and side * side != frames:
        raise UserError(
            f"{path.name} holds {frames} frames in a row; say how many rows and columns the scan "
            "has, such as places: [64, 128], or put its xml beside it"
        )
    shape = places or (side, side)
    if shape[0] * shape[1] != frames:
        raise UserError(f"{path.name} holds {frames} frames, not {shape[0]} x {shape[1]}")
    whole = Flat(path, np.dtype("<f4"), (*shape, *FRAME))
    return Section(whole, tuple(slice(0, size) for size in (*shape, FRAME[1])))


def _ordered(
    record: _Record, places: tuple[int, int] | None, *, exchanged: bool, file: str
) -> _Record:
    """Frames in a row as a scan, and its axes before those of the detector."""
    data = record.data
    if places is not None and data.ndim == 3:
        if places[0] * places[1] != data.shape[0]:
            raise UserError(
                f"{file} holds {data.shape[0]} frames, not {places[0]} x "
                f"{places[1]}; correct places"
            )
        data = Reordered(data, places=places)
        record = replace(record, data=data, scan=record.scan * 2)
    elif places is not None and tuple(data.shape[:-2]) != tuple(places):
        raise UserError(f"{file} holds values of shape {data.shape}, not {places} places of it")
    if not exchanged:
        return record
    if data.ndim != 4:
        raise UserError(f"{file} has {data.ndim} axes and no two of a scan; leave exchanged out")
    return _Record(Reordered(data, exchanged=True))


def _of_zarr(path: Path) -> _Record:
    """The only array of two or more axes of a zarr folder, or the one named pattern."""
    import zarr

    found: Any = zarr.open(str(path), mode="r")
    said = dict(found.attrs)
    if not hasattr(found, "shape"):
        arrays = {name: array for name, array in found.arrays() if len(array.shape) >= 2}
        if len(arrays) != 1 and "pattern" not in arrays:
            raise UserError(
                f"{path.name} holds {', '.join(sorted(arrays)) or 'no array'}; name the one pattern"
            )
        found = arrays["pattern"] if "pattern" in arrays else next(iter(arrays.values()))
        said |= dict(found.attrs)
    return _said(found, {key: np.asarray(said[key]) for key in NAMED if key in said})


NAMED = ("sampling", "unit", "scan")  # of an archive or of attributes, as an experiment says them


def _said(data: InParts, said: Mapping[str, NDArray[Any]]) -> _Record:
    """Values with the steps, unit and scan that stand beside them."""
    scan = said["scan"].ravel().astype(float) if "scan" in said else np.zeros(0)
    before = data.ndim - 2
    across = tuple(float(step) for step in np.broadcast_to(scan, before)) if scan.size else ()
    if "sampling" not in said:
        return _Record(data, scan=across)
    step = said["sampling"].ravel().astype(float)
    unit = str(said["unit"]) if "unit" in said else ""
    return _Record(data, (float(step[0]), float(step[-1])), unit, across)


def _of_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> _Record:
    """The only array of numpy's file that could be a pattern, or the one of that name."""
    names = [name for name, data in arrays.items() if data.ndim >= 2]
    if not names:
        shapes = ", ".join(str(data.shape) for data in arrays.values()) or "nothing"
        raise UserError(f"{path.name} holds {shapes}; give one pattern, a row or a scan of them")
    if len(names) != 1 and "pattern" not in names:
        raise UserError(f"{path.name} holds {', '.join(arrays)}; name the one to take pattern")
    data = arrays["pattern" if "pattern" in names else names[0]]
    return _said(data, arrays)


def _of_instrument(found: Record) -> _Record:
    """A reader's record: detector axes last, the scan's before; colors averaged to gray."""
    data = found.data[..., :3].mean(axis=-1) if found.colors else found.data
    if found.reciprocal == LOST:
        y, x = (abs(axis.step) * angstrom(axis.unit) for axis in found.axes[-2:])
        return _Record(data, (y * 1e-20, x * 1e-20), "1/Å")  # 1/m that were taken for m
    units = [known_unit(axis.unit) for axis in found.axes]
    scales = [abs(axis.step) for axis in found.axes]
    scan = tuple(
        scale * pair[1] if scale and pair is not None and pair[0] == "Å" else 1.0
        for scale, pair in zip(scales[:-2], units[:-2], strict=True)
    )
    if not all(unit is not None and unit[0] in RECIPROCAL for unit in units[-2:]):
        return _Record(data, scan=scan)
    (unit, factor), (_, other) = (pair or ("", 1.0) for pair in units[-2:])
    return _Record(data, (scales[-2] * factor, scales[-1] * other), unit, scan)
